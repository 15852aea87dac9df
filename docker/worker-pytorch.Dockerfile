# The worker of the queue `pytorch`, on the CPU or on CUDA. No TensorFlow.
ARG PYTHON_VERSION=3.11
ARG DEVICE=cpu
ARG TORCHVISION=0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG MODEL=embedded

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends binutils
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY docker/environment docker/
# For the CPU, wheels without CUDA come from PyTorch's own index; for CUDA, the matching pair comes from PyPI.
ARG DEVICE
ARG TORCHVISION
ARG TORCH_INDEX
RUN --mount=type=cache,target=/root/.cache/uv \
    case "${DEVICE}" in \
    cpu) docker/environment base pytorch-cpu s3 ;; \
    cuda) TORCH_INDEX= docker/environment base pytorch s3 ;; \
    *) echo "DEVICE=${DEVICE} is neither cpu nor cuda."; exit 1 ;; \
    esac
# Deletes PyTorch's tests, its build tools and its debug symbols: a fifth of the library.
RUN cd /venv/lib/python3*/site-packages/torch \
    && find bin -type f ! -name torch_shm_manager -delete \
    && rm -rf test lib/*test* \
    && strip --strip-unneeded lib/libtorch*.so \
    && /venv/bin/python -P -c "import torch"
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY detectors detectors
COPY engine engine
COPY jobs jobs
COPY weights weights
COPY worker worker
ARG MODEL
RUN docker/application "${MODEL}" pytorch

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
CMD ["python", "-m", "worker", "pytorch"]
# Whether the worker takes jobs, not only whether its process runs.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "worker.health", "pytorch"]

ARG PYTHON_VERSION
ARG DEVICE
ARG TORCHVISION
ARG TORCH_INDEX
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} DEVICE=${DEVICE} TORCHVISION=${TORCHVISION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/worker-pytorch" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} DEVICE=${DEVICE} TORCHVISION=${TORCHVISION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL}"
