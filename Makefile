# The commands of a checkout. `make` lists them. Only Python 3.11, make and git have to be there.
#
# The environment `.venv` is made by uv from requirements/*.txt, every wheel checked against its hash, and made
# again only when those files change. TORCH=cpu takes PyTorch's own CPU-only wheels instead of PyPI's CUDA ones.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# `.venv/made` names the checkout and the kind of PyTorch that the environment was made for. It is taken away while
# something is installed, so what an interrupted run left behind is recognised and thrown away as a whole.
TORCH ?= $(or $(word 1,$(shell cat .venv/made 2>/dev/null)),pypi)
MADE := $(TORCH) $(CURDIR)
UV = $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode $$(test -t 2 || echo --quiet)

APP := base api cli pytorch tensorflow
ISOLATED := .venv-isolation/pytorch/made .venv-isolation/tensorflow/made .venv-isolation/service/made
# Pinned versions, compiled from the .in files by `make requirements`.
compiled = $(foreach name,$(1),requirements/$(name).txt)

ifneq ($(filter-out pypi cpu,$(TORCH)),)
$(error TORCH=$(TORCH) is not known: TORCH=cpu takes PyTorch's own CPU-only wheels, TORCH=pypi the ones on PyPI)
endif

.PHONY: help
help: ## list these targets
	@echo "Boxqueue: pictures in, boxes out."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  TORCH=cpu in front takes PyTorch's own CPU-only wheels (smaller; from download.pytorch.org)."

.PHONY: demo
demo: .venv/app ## show it working on the samples, or on your own: make demo PICTURES=folder
	@exec $(BIN)/boxqueue demo $${PICTURES:+--pictures "$$PICTURES"}

.PHONY: up
up: .venv/app ## the whole service in the foreground; Ctrl-C stops it
	@exec $(BIN)/boxqueue up

.PHONY: train
train: .venv/training ## train on your labelled pictures: make train DATA=folder; without DATA the bundled model again
	@exec $(BIN)/python -m $(if $(DATA),training --data "$$DATA",training.bundled $${REAL:+--real "$$REAL"})

.PHONY: test
test: lint ## lint, types and all tests, real Redis and PostgreSQL among them (about 16 minutes on two cores)
	@$(BIN)/python -m pytest

.PHONY: lint
lint: .venv/dev ## style, types and the directions of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: chaos
chaos: .venv/dev ## break a service on purpose and count: make chaos JOBS=10000 KILLS=100 REDIS_RESTARTS=10 DB_RESTARTS=3
	@exec $(BIN)/python -m tests.chaos run $(if $(JOBS),--jobs $(JOBS)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(REDIS_RESTARTS),--redis-restarts $(REDIS_RESTARTS)) $(if $(DB_RESTARTS),--db-restarts $(DB_RESTARTS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--database $(DATABASE)) $(if $(URL),--url $(URL) --model "$(MODEL)")

.PHONY: test-isolation
test-isolation: .venv/dev $(ISOLATED) ## each framework in an environment of its own, and the API without any
	@$(BIN)/python -m pytest tests/isolation

.PHONY: requirements
requirements: .venv/build ## compile requirements/*.in to *.txt; UPGRADE=1 takes new versions
	@.ci/compile-requirements $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove the environments, the caches and demo-output; data/ stays
	rm -rf .venv .venv-isolation demo-output *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments -----------------------------------------------------------------------------------------------

# A moved checkout, a Python that is gone or another TORCH makes an environment useless although its files are there.
USABLE := $(shell test "$$(cat .venv/made 2>/dev/null)" = "$(MADE)" && $(BIN)/python -c '' 2>/dev/null && echo yes)

ifeq ($(USABLE),)
.PHONY: unusable
.venv/made .venv/build .venv/app .venv/training .venv/dev $(ISOLATED): unusable
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

.venv/app: $(call compiled,$(APP) pytorch-cpu) pyproject.toml .venv/build | .venv/made
	@rm -f .venv/made
ifeq ($(TORCH),cpu)
	@$(UV) --require-hashes $(foreach file,$(call compiled,base api cli pytorch-cpu tensorflow),-r $(file))
	@# PyTorch's index serves builds of its own, whose hashes the ones of PyPI are not: version and TLS stand for them.
	@$(UV) --no-deps --torch-backend=cpu -r requirements/pytorch.in
else
	@$(UV) --require-hashes $(foreach file,$(call compiled,$(APP)),-r $(file))
endif
	@$(UV) --no-deps --no-build-isolation --editable .
	@echo "$(MADE)" > .venv/made
	@touch $@

.venv/training: requirements/training.txt .venv/app | .venv/made
	@rm -f .venv/made
	@$(UV) --require-hashes -r requirements/training.txt
	@echo "$(MADE)" > .venv/made
	@touch $@

.venv/dev: requirements/dev.txt .venv/training | .venv/made
	@rm -f .venv/made
	@$(UV) --require-hashes -r requirements/dev.txt
	@echo "$(MADE)" > .venv/made
	@touch $@

# Always from nothing, so that what was taken out of a list is out of the environment too; uv links the files from
# its cache, so this takes seconds and hardly any disk.
.venv-isolation/pytorch/made: $(call compiled,build base pytorch)
.venv-isolation/tensorflow/made: $(call compiled,build base tensorflow)
.venv-isolation/service/made: $(call compiled,build base api cli)
$(ISOLATED): pyproject.toml | .venv/dev
	@echo "Making the environment $(@D)."
	@rm -rf $(@D)
	@$(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes $(foreach file,$(filter %.txt,$^),-r $(file))
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@
