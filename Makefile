# The commands of a checkout; `make` lists them. They need Python 3.11, make and git.
#
# uv makes the environment `.venv` from requirements/*.txt and checks every wheel against its hash. It is updated when
# those files change. TORCH=cpu installs PyTorch's own CPU-only wheels instead of PyPI's CUDA ones.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# `.venv/made` names the checkout and the kind of PyTorch of the environment. It does not exist during an installation, so
# that the environment of an interrupted run is recognised and made anew.
TORCH ?= $(or $(word 1,$(shell cat .venv/made 2>/dev/null)),pypi)
MADE := $(TORCH) $(CURDIR)
UV = $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode $$(test -t 2 || echo --quiet)
PYTORCH := $(if $(filter cpu,$(TORCH)),pytorch-cpu,pytorch)
# $(1): uv with the environment, $(2): the lists. The lists have the hashes of PyPI, but PyTorch's index has other builds:
# the pinned version and TLS take their place.
install = $(1) --require-hashes $(foreach file,$(2),-r $(file)) \
	$(if $(filter %/pytorch-cpu.txt,$(2)),&& $(1) --no-deps --torch-backend=cpu -r requirements/pytorch.in)

APP := base api cli $(PYTORCH) tensorflow onnx remote
ISOLATED := $(foreach name,pytorch tensorflow onnx remote libtorch service lambda azure detr kserve moto,.venv-isolation/$(name)/made)
# Pinned versions, compiled from the .in files by `make requirements`.
compiled = $(foreach name,$(1),requirements/$(name).txt)

LIBTORCH := detectors/runtimes/libtorch
# Without a compiler, the tests of libtorch are skipped; in CI they fail.
BUILDABLE := $(if $(shell command -v $(CXX) 2>/dev/null),libtorch)
# $(1): CMake's build folder, $(2): the compiler, $(3): options. CMake builds only what has changed.
cmake = @.ci/find-compiler $(2) $(BIN)/python && $(BIN)/cmake -S $(LIBTORCH) -B $(LIBTORCH)/$(1) -G Ninja \
	--log-level=WARNING -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja -DCMAKE_CXX_COMPILER=$(2) \
	-DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python $(3) && $(BIN)/cmake --build $(LIBTORCH)/$(1)

ifneq ($(filter-out pypi cpu,$(TORCH)),)
$(error TORCH=$(TORCH) is not known: use TORCH=cpu for PyTorch's own CPU-only wheels, or TORCH=pypi for those on PyPI)
endif

.PHONY: help
help: ## list these targets
	@echo "Boxqueue: pictures in, boxes out."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  TORCH=cpu in front installs PyTorch's own CPU-only wheels (smaller; from download.pytorch.org)."

.PHONY: demo
demo: .venv/app ## show it working on the samples or on your pictures: make demo PICTURES=folder
	@exec $(BIN)/boxqueue demo $${PICTURES:+--pictures "$$PICTURES"}

.PHONY: up
up: .venv/app ## the whole service in the foreground; Ctrl-C stops it
	@exec $(BIN)/boxqueue up

.PHONY: train
train: .venv/training ## train on your labelled pictures: make train DATA=folder; without DATA, train the bundled model again
	@exec $(BIN)/python -m $(if $(DATA),training --data "$$DATA",training.bundled $${REAL:+--real "$$REAL"})

.PHONY: libtorch
libtorch: .venv/libtorch ## build the runtime libtorch and the program detect; needs g++ and Python's headers
	$(call cmake,build,$(CXX),-DCMAKE_BUILD_TYPE=Release)
	@$(BIN)/cmake --install $(LIBTORCH)/build --prefix $(LIBTORCH) > $(LIBTORCH)/build/installed
	@echo "The runtime libtorch is built: boxqueue models compile NAME --runtime libtorch makes a model for it."

.PHONY: libtorch-sanitize
libtorch-sanitize: .venv/libtorch ## run its C++ with AddressSanitizer and UndefinedBehaviorSanitizer
	$(call cmake,build-sanitize,$(CXX),-DCMAKE_BUILD_TYPE=RelWithDebInfo -DSANITIZE=ON)
	@$(BIN)/python -m tests.sanitized $(LIBTORCH)/build-sanitize

.PHONY: libtorch-fuzz
libtorch-fuzz: .venv/libtorch ## decode damaged pictures: make libtorch-fuzz SECONDS=60; needs clang++
	$(call cmake,build-fuzz,$(if $(filter g++,$(CXX)),clang++,$(CXX)),-DCMAKE_BUILD_TYPE=RelWithDebInfo -DFUZZ=ON)
	@mkdir -p $(LIBTORCH)/build-fuzz/corpus
	@$(LIBTORCH)/build-fuzz/fuzz -max_total_time=$(or $(SECONDS),60) -timeout=20 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix=$(LIBTORCH)/build-fuzz/ $(LIBTORCH)/build-fuzz/corpus samples

# One process for each core, and one thread in each: more threads would compete for the same cores. The tests run in the
# order of `testpaths`, long ones first.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(or $(PROCESSES),$(shell nproc)) --no-loadscope-reorder --durations 15

.PHONY: test
test: lint ## lint, types and the quick tests, with real Redis and PostgreSQL (about 5 minutes)
	@$(PYTEST) -m "not slow"

.PHONY: test-slow
test-slow: .venv/dev $(ISOLATED) $(BUILDABLE) ## the slow tests: whole services, chaos, sabotage, compiled models, libtorch, isolation
	@$(PYTEST) -m slow

.PHONY: test-all
test-all: test test-slow ## every test (15 to 25 minutes on two cores); a compiler is needed in CI

# Processes that tests start are measured too, except killed ones.
COVERAGE = COVERAGE_FILE=$(CURDIR)/.coverage/data
.PHONY: coverage
coverage: .venv/dev $(ISOLATED) $(BUILDABLE) ## measure which branches `make test` runs, and which all tests run
	@rm -rf .coverage && mkdir .coverage
	@$(COVERAGE) $(subst -m pytest,-m coverage run -m pytest,$(PYTEST)) -m "not slow"
	@$(COVERAGE) $(BIN)/coverage combine --quiet && $(COVERAGE) $(BIN)/coverage report
	@mv .coverage/data .coverage/data.quick
	@$(COVERAGE) $(subst -m pytest,-m coverage run -m pytest,$(PYTEST)) -m slow
	@$(COVERAGE) $(BIN)/coverage combine --quiet && $(COVERAGE) $(BIN)/coverage report

.PHONY: lint
lint: .venv/dev ## check style, types and the directions of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: chaos
chaos: .venv/dev ## break a service on purpose and count lost jobs: make chaos JOBS=10000 KILLS=100 REDIS_RESTARTS=10 DB_RESTARTS=3
	@exec $(BIN)/python -m tests.chaos run $(if $(JOBS),--jobs $(JOBS)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(REDIS_RESTARTS),--redis-restarts $(REDIS_RESTARTS)) $(if $(DB_RESTARTS),--db-restarts $(DB_RESTARTS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--database $(DATABASE)) $(if $(URL),--url $(URL) --model "$(MODEL)")

.PHONY: test-isolation
test-isolation: .venv/dev $(ISOLATED) $(BUILDABLE) ## the isolation tests alone: each framework in its own environment, the API without any, Lambda, Azure, DETR, KServe
	@$(PYTEST) tests/isolation

IMAGES ?= $(patsubst docker/%.Dockerfile,%,$(wildcard docker/*.Dockerfile))
TAG ?= test
# Build arguments are variables of make: make images DEVICE=cuda IMAGES=worker-pytorch TAG=cuda. BUILD has options of
# `docker build`: BUILD="--network host".
ARGUMENTS = $(foreach name,PYTHON_VERSION TARGET_API DEVICE TORCHVISION TORCH_INDEX MODEL FUNCTIONS_HOST,\
	$(if $($(name)),--build-arg $(name)="$($(name))"))

.PHONY: images
images: ## build the images of docker/ as boxqueue/<kind>:test: make images IMAGES="api worker-pytorch"
	@for image in $(IMAGES); do \
		DOCKER_BUILDKIT=1 docker build $(BUILD) --file docker/$$image.Dockerfile --tag boxqueue/$$image:$(TAG) \
			--build-arg COMMIT_SHA=$$(git rev-parse HEAD) --build-arg BRANCH_NAME=$$(git rev-parse --abbrev-ref HEAD) \
			--build-arg BUILD_DATE=$$(date -u +%Y-%m-%dT%H:%M:%SZ) $(ARGUMENTS) . || exit 1; \
	done

.PHONY: test-images
test-images: .venv/dev ## test the images and the stack of compose.yaml, also with failures; needs `make images`
	@TAG=$(TAG) $(BIN)/python -m pytest tests/images --timeout 1500

.PHONY: requirements
requirements: .venv/build ## compile requirements/*.in to *.txt; UPGRADE=1 takes new versions
	@.ci/compile-requirements $(if $(UPGRADE),--upgrade)

KUBECTL ?= kubectl
REGISTRY ?= boxqueue
OVERLAYS := cpu gpu managed

.PHONY: manifests
manifests: ## render deploy/ into manifests/: make manifests REGISTRY=ghcr.io/you/boxqueue TAG=v1.0.0
	@mkdir -p manifests
	@for overlay in $(OVERLAYS); do \
		$(KUBECTL) kustomize deploy/overlays/$$overlay --output manifests/$$overlay.yaml || exit 1; \
		sed -i 's|image: boxqueue/\(.*\):latest|image: $(REGISTRY)/\1:$(TAG)|' manifests/$$overlay.yaml; \
	done

.PHONY: try-image
try-image: ## run a job through a built image: make try-image IMAGE=worker-pytorch TAG=test
	@.ci/try-image $(IMAGE) $(TAG)

# 0.74.0. Only vulnerabilities with a fix count, and none of Microsoft's Functions host, which this project can't fix.
TRIVY := aquasec/trivy@sha256:62b1e65e8869bc4b4c6aa4fa2b21595256c7c2f6018a9d9ad61caf87187c1969

.PHONY: scan-images
scan-images: ## scan built images for known vulnerabilities: make scan-images IMAGES="api worker-pytorch" TAG=test
	@for image in $(IMAGES); do \
		docker run --rm --volume /var/run/docker.sock:/var/run/docker.sock:ro $(TRIVY) image --quiet --ignore-unfixed \
			--scanners vuln --severity HIGH,CRITICAL --exit-code 1 \
			--skip-dirs /azure-functions-host,/FuncExtensionBundles,/usr/share/dotnet boxqueue/$$image:$(TAG) || exit 1; \
	done

.PHONY: clean
clean: ## remove the environments, the caches and demo-output; data/ stays
	rm -rf $(addprefix $(LIBTORCH)/,build build-sanitize build-fuzz lib bin *.so)
	rm -rf .venv .venv-isolation demo-output *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf manifests

# --- environments -----------------------------------------------------------------------------------------------

# An environment can't be used in a moved checkout, without its Python, or with another TORCH, although its files exist.
USABLE := $(shell test "$$(cat .venv/made 2>/dev/null)" = "$(MADE)" && $(BIN)/python -c '' 2>/dev/null && echo yes)

ifeq ($(USABLE),)
.PHONY: unusable
.venv/made .venv/build .venv/app .venv/training .venv/dev .venv/libtorch $(ISOLATED): unusable
endif

.venv/made:
	@rm -rf .venv
	@python=$$(.ci/find-python) || exit 1; \
	echo "Making the environment .venv with $$python (once; 1 to 5 minutes, most of it PyTorch and TensorFlow)."; \
	"$$python" -m venv .venv
	@echo "$(MADE)" > $@

.venv/build: requirements/build.txt | .venv/made
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

.venv/app: $(call compiled,$(APP)) pyproject.toml .venv/build | .venv/made
	@rm -f .venv/made
	@$(call install,$(UV),$(call compiled,$(APP)))
	@$(UV) --no-deps --no-build-isolation --editable .
	@echo "$(MADE)" > .venv/made
	@touch $@

.venv/training .venv/libtorch: .venv/app
.venv/dev: .venv/training
.venv/training .venv/dev .venv/libtorch: .venv/%: requirements/%.txt | .venv/made
	@rm -f .venv/made
	@$(UV) --require-hashes -r $<
	@echo "$(MADE)" > .venv/made
	@touch $@

# Always made anew, so that a package removed from a list is removed from the environment too. uv links the files from its
# cache, so this takes seconds and hardly any disk.
.venv-isolation/pytorch/made: $(call compiled,build base $(PYTORCH))
.venv-isolation/tensorflow/made: $(call compiled,build base tensorflow)
.venv-isolation/onnx/made: $(call compiled,build base onnx)
.venv-isolation/remote/made: $(call compiled,build base remote)
.venv-isolation/libtorch/made: $(call compiled,build base engine)
.venv-isolation/service/made: $(call compiled,build base api cli)
.venv-isolation/lambda/made: $(call compiled,build base $(PYTORCH) s3 lambda)
.venv-isolation/azure/made: $(call compiled,build base $(PYTORCH) s3 azure)
.venv-isolation/detr/made: $(call compiled,build base $(PYTORCH) detr)
.venv-isolation/kserve/made: $(call compiled,build kserve)
.venv-isolation/moto/made: $(call compiled,build moto)
$(ISOLATED): pyproject.toml | .venv/dev
	@echo "Making the environment $(@D)."
	@rm -rf $(@D)
	@$(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(call install,$(BIN)/uv pip install --quiet --python $(@D)/bin/python,$(filter %.txt,$^))
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@
