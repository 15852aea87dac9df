# The worker of the queue `libtorch`: packages of AOTInductor, run from C++. No Python torch, no TensorFlow.
ARG PYTHON_VERSION=3.11
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Your catalogue names the models: native code that `boxqueue models compile --runtime libtorch` makes.
ARG MODEL=none

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /app
# Debian's own Python has its headers in a separate package.
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils g++ \
    && headers=$(python -c "import sysconfig; print(sysconfig.get_path('include'))") \
    && (test -f "${headers}/Python.h" || apt-get install -y --no-install-recommends python3-dev)
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
# The build links against PyTorch's wheel. The image takes the linked libraries, and none of PyTorch's Python code.
ARG TORCH_INDEX
RUN --mount=type=cache,target=/root/.cache/uv \
    python -m venv --without-pip /torch \
    && export VIRTUAL_ENV=/torch UV_LINK_MODE=copy \
    && uv pip install --require-hashes -r requirements/libtorch.txt \
    && uv pip install --no-deps --default-index "${TORCH_INDEX}" "$(grep '^torch==' requirements/pytorch.in)"
COPY docker/environment docker/
RUN --mount=type=cache,target=/root/.cache/uv TORCH_INDEX= docker/environment base engine s3
# Deletes what this worker never opens: migrations (the API runs them), Celery's shell.
RUN cd /venv/lib/python3*/site-packages \
    && rm -r alembic mako sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle \
    && rm -r prompt_toolkit wcwidth click_repl
COPY detectors detectors
# Debug symbols are a fifth of the library.
RUN PATH=/torch/bin:$PATH; cd detectors/runtimes/libtorch \
    && cmake -S . -B /build -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release \
        -DPython_EXECUTABLE=/torch/bin/python \
    && cmake --build /build \
    && cmake --install /build --prefix . --strip \
    && strip --strip-unneeded lib/libtorch_cpu.so \
    && rm -rf bin ./*.cpp ./*.h CMakeLists.txt
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY engine engine
COPY jobs jobs
COPY weights weights
COPY worker worker
ARG MODEL
RUN docker/application "${MODEL}" libtorch

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin boxqueue \
    && install -d -o boxqueue -g boxqueue /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BOXQUEUE_DATA=/data
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "worker", "libtorch"]
# Whether the worker takes jobs, not only whether its process runs.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "worker.health", "libtorch"]

ARG PYTHON_VERSION
ARG TORCH_INDEX
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/worker-libtorch" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL}"
