# The worker of the queue `onnx`, on the CPU or on CUDA: ONNX Runtime alone.
ARG PYTHON_VERSION=3.11
ARG DEVICE=cpu
ARG MODEL=embedded

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends binutils
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY docker/environment docker/
ARG DEVICE
RUN --mount=type=cache,target=/root/.cache/uv \
    case "${DEVICE}" in \
    cpu) docker/environment base onnx s3 ;; \
    cuda) docker/environment base onnx-cuda s3 ;; \
    *) echo "DEVICE=${DEVICE} is neither cpu nor cuda."; exit 1 ;; \
    esac
# Deletes what this worker never opens: migrations (the API runs them), Celery's shell, ONNX Runtime's tools, debug symbols.
RUN cd /venv/lib/python3*/site-packages \
    && rm -r alembic mako sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle \
    && rm -r prompt_toolkit wcwidth click_repl onnxruntime/tools onnxruntime/transformers onnxruntime/quantization \
    && find . -name '*.so' ! -path './*.libs/*' -exec strip --strip-unneeded {} + \
    && /venv/bin/python -P -c "import onnxruntime"
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY detectors detectors
COPY engine engine
COPY jobs jobs
COPY weights weights
COPY worker worker
ARG MODEL
RUN docker/application "${MODEL}" onnx

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
ARG DEVICE
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BOXQUEUE_DATA=/data \
    BOXQUEUE_DEVICE=${DEVICE}
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "worker", "onnx"]
# Whether the worker takes jobs, not only whether its process runs.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "worker.health", "onnx"]

ARG PYTHON_VERSION
ARG DEVICE
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} DEVICE=${DEVICE} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/worker-onnx" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} DEVICE=${DEVICE} MODEL=${MODEL}"
