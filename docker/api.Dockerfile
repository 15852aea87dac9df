# The HTTP service, and `python -m jobs.migrate`. No ML framework.
ARG PYTHON_VERSION=3.11
ARG MODEL=embedded

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
WORKDIR /app
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY docker/environment docker/
RUN --mount=type=cache,target=/root/.cache/uv docker/environment base api s3
COPY docker/application docker/models.py docker/
COPY pyproject.toml LICENSE NOTICE.md ./
COPY api api
COPY detectors detectors
COPY engine engine
COPY jobs jobs
COPY migrations migrations
COPY weights weights
COPY wire wire
ARG MODEL
RUN docker/application "${MODEL}"

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
    BOXQUEUE_DATA=/data \
    BOXQUEUE_HOST=0.0.0.0 \
    BOXQUEUE_PORT=8000
EXPOSE 8000
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "api"]
# Readiness, not only liveness: the API also has to reach the database and the store.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"BOXQUEUE_PORT\"]}/readyz')"]

ARG PYTHON_VERSION
ARG MODEL
ARG COMMIT_SHA=""
ARG BRANCH_NAME=""
ARG BUILD_DATE=""
ENV BOXQUEUE_COMMIT=${COMMIT_SHA} \
    BOXQUEUE_BRANCH=${BRANCH_NAME} \
    BOXQUEUE_BUILD_TIME=${BUILD_DATE} \
    BOXQUEUE_BUILD_OPTIONS="PYTHON_VERSION=${PYTHON_VERSION} MODEL=${MODEL}"
LABEL org.opencontainers.image.title="boxqueue/api" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.created="${BUILD_DATE}" \
    boxqueue.branch="${BRANCH_NAME}" \
    boxqueue.build-options="PYTHON_VERSION=${PYTHON_VERSION} MODEL=${MODEL}"
