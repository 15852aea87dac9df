# A function of AWS Lambda on the CPU, with the framework of its TARGET_API alone and the client of Lambda's runtime API.
ARG PYTHON_VERSION=3.11
ARG TARGET_API=pytorch
ARG TORCHVISION=0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG MODEL=embedded

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends binutils
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY docker/environment docker/
ARG TARGET_API
ARG TORCHVISION
ARG TORCH_INDEX
RUN --mount=type=cache,target=/root/.cache/uv \
    case "${TARGET_API}" in \
    pytorch) docker/environment base pytorch-cpu s3 lambda ;; \
    saved_model | frozen_graph) TORCH_INDEX= TORCHVISION= docker/environment base tensorflow s3 lambda ;; \
    onnx) TORCH_INDEX= TORCHVISION= docker/environment base onnx s3 lambda ;; \
    remote) TORCH_INDEX= TORCHVISION= docker/environment base remote s3 lambda ;; \
    *) echo "TARGET_API=${TARGET_API} is none of pytorch, saved_model, frozen_graph, onnx and remote."; exit 1 ;; \
    esac
# Deletes what the workers' images lack too, and the queue's packages: a function rings no doorbell.
RUN cd /venv/lib/python3*/site-packages \
    && case "${TARGET_API}" in \
    pytorch) \
        find torch/bin -type f ! -name torch_shm_manager -delete \
        && rm -rf torch/test torch/lib/*test* \
        && strip --strip-unneeded torch/lib/libtorch*.so \
        && /venv/bin/python -P -c "import torch" ;; \
    saved_model | frozen_graph) \
        rm -r clang libclang* \
        && strip --strip-unneeded tensorflow/libtensorflow_*.so.2 \
        && /venv/bin/python -P -c "import tensorflow" ;; \
    onnx) \
        rm -r onnxruntime/tools onnxruntime/transformers onnxruntime/quantization \
        && /venv/bin/python -P -c "import onnxruntime" ;; \
    esac \
    && rm -r alembic mako celery kombu billiard amqp vine redis prompt_toolkit wcwidth click_repl
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY detectors detectors
COPY engine engine
COPY jobs jobs
COPY serverless serverless
COPY weights weights
COPY wire wire
ARG MODEL
RUN docker/application "${MODEL}" "${TARGET_API}"

FROM python:${PYTHON_VERSION}-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin boxqueue
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
ARG TARGET_API
# On Lambda only /tmp is writable.
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BOXQUEUE_DATA=/tmp/boxqueue \
    BOXQUEUE_DEVICE=cpu \
    TARGET_API=${TARGET_API}
# Lambda starts a process for each concurrent request, supervises it and ends it: no init and no health check here.
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["serverless.aws_lambda.handler"]

ARG PYTHON_VERSION
ARG TORCHVISION
ARG TORCH_INDEX
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} TARGET_API=${TARGET_API} TORCHVISION=${TORCHVISION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/lambda" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} TARGET_API=${TARGET_API} TORCHVISION=${TORCHVISION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL}"
