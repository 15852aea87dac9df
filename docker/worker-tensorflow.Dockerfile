# The worker of the queue `tensorflow`, on the CPU or on CUDA: SavedModels or frozen graphs. No PyTorch.
ARG PYTHON_VERSION=3.11
ARG DEVICE=cpu
ARG TARGET_API=saved_model
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
    cpu) docker/environment base tensorflow s3 ;; \
    cuda) docker/environment base tensorflow-cuda s3 ;; \
    *) echo "DEVICE=${DEVICE} is neither cpu nor cuda."; exit 1 ;; \
    esac
# Deletes a parser of C that nothing calls, and TensorFlow's debug symbols: a quarter of the library.
RUN cd /venv/lib/python3*/site-packages \
    && rm -r clang libclang* \
    && strip --strip-unneeded tensorflow/libtensorflow_*.so.2 \
    && /venv/bin/python -P -c "import tensorflow"
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY detectors detectors
COPY engine engine
COPY jobs jobs
COPY weights weights
COPY worker worker
ARG MODEL
ARG TARGET_API
RUN docker/application "${MODEL}" "${TARGET_API}"

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
CMD ["python", "-m", "worker", "tensorflow"]
# Whether the worker takes jobs, not only whether its process runs.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "worker.health", "tensorflow"]

ARG PYTHON_VERSION
ARG DEVICE
ARG TARGET_API
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} DEVICE=${DEVICE} TARGET_API=${TARGET_API} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/worker-tensorflow" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} DEVICE=${DEVICE} TARGET_API=${TARGET_API} MODEL=${MODEL}"
