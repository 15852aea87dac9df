# The worker of the queue `remote`, which sends pictures to model servers. No ML framework.
ARG PYTHON_VERSION=3.11
# Your catalogue, mounted at run time, names the model servers.
ARG MODEL=none

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends binutils
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY docker/environment docker/
RUN --mount=type=cache,target=/root/.cache/uv docker/environment base remote s3
# Deletes what this worker never opens: migrations (the API runs them), Celery's shell, debug symbols.
RUN cd /venv/lib/python3*/site-packages \
    && rm -r alembic mako sqlalchemy/dialects/mssql sqlalchemy/dialects/mysql sqlalchemy/dialects/oracle \
    && rm -r prompt_toolkit wcwidth click_repl \
    && find . -name '*.so' ! -path './*.libs/*' -exec strip --strip-unneeded {} +
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY detectors detectors
COPY engine engine
COPY jobs jobs
COPY weights weights
COPY worker worker
ARG MODEL
RUN docker/application "${MODEL}" remote

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
CMD ["python", "-m", "worker", "remote"]
# Whether the worker takes jobs, not only whether its process runs.
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["python", "-m", "worker.health", "remote"]

ARG PYTHON_VERSION
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/worker-remote" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} MODEL=${MODEL}"
