# Azure Functions on the CPU: Microsoft's Functions host, and the custom handler that it starts, with the framework of its
# TARGET_API alone.
ARG PYTHON_VERSION=3.11
ARG TARGET_API=pytorch
ARG TORCHVISION=0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG MODEL=embedded
ARG FUNCTIONS_HOST=mcr.microsoft.com/azure-functions/base:4

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
    pytorch) docker/environment base pytorch-cpu s3 azure ;; \
    saved_model | frozen_graph) TORCH_INDEX= TORCHVISION= docker/environment base tensorflow s3 azure ;; \
    onnx) TORCH_INDEX= TORCHVISION= docker/environment base onnx s3 azure ;; \
    remote) TORCH_INDEX= TORCHVISION= docker/environment base remote s3 azure ;; \
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

# The Functions host, the extensions with its triggers, and .NET if they need it. Another FUNCTIONS_HOST, such as Python's
# own image, has none of these: the custom handler is then started directly.
FROM ${FUNCTIONS_HOST} AS host
ARG FUNCTIONS_HOST
RUN mkdir -p /azure-functions-host /FuncExtensionBundles /usr/share/dotnet \
    && case "${FUNCTIONS_HOST}" in \
    */azure-functions/*) test -x /azure-functions-host/Microsoft.Azure.WebJobs.Script.WebHost ;; \
    esac

FROM python:${PYTHON_VERSION}-slim-bookworm
# Libraries that .NET loads.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgssapi-krb5-2 libicu72 libssl3 libstdc++6 tini zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin boxqueue \
    && install -d -o boxqueue -g boxqueue /data
COPY --from=host /usr/share/dotnet /usr/share/dotnet
COPY --from=host /azure-functions-host /azure-functions-host
COPY --from=host /FuncExtensionBundles /FuncExtensionBundles
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
# No USER: Microsoft's host has to run as root. The custom handler drops root in the process that reads pictures.
ARG TARGET_API
ENV PATH=/venv/bin:$PATH \
    HOME=/home \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BOXQUEUE_DATA=/data \
    BOXQUEUE_DEVICE=cpu \
    TARGET_API=${TARGET_API} \
    ASPNETCORE_CONTENTROOT=/azure-functions-host \
    ASPNETCORE_URLS=http://+:80 \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true \
    AzureWebJobsScriptRoot=/app/serverless/azure_functions \
    DOTNET_RUNNING_IN_CONTAINER=true \
    DOTNET_USE_POLLING_FILE_WATCHER=true \
    FUNCTIONS_WORKER_RUNTIME=custom
EXPOSE 80
# Azure starts the container, checks it and ends it: no health check here.
ENTRYPOINT ["tini", "--"]
CMD ["/azure-functions-host/Microsoft.Azure.WebJobs.Script.WebHost"]

ARG PYTHON_VERSION
ARG TORCHVISION
ARG TORCH_INDEX
ARG MODEL
ARG FUNCTIONS_HOST
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} TARGET_API=${TARGET_API} TORCHVISION=${TORCHVISION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL} FUNCTIONS_HOST=${FUNCTIONS_HOST}"
LABEL org.opencontainers.image.title="boxqueue/azure" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} TARGET_API=${TARGET_API} TORCHVISION=${TORCHVISION} TORCH_INDEX=${TORCH_INDEX} MODEL=${MODEL} FUNCTIONS_HOST=${FUNCTIONS_HOST}"
