# syntax=docker/dockerfile:1
# One image for every process: `sightline worker`, `sightline api`, `sightline bridge`, …
# Not yet run anywhere: the machines that build this project have no Docker engine. The stages, the
# pinned files and the users are checked by tests/unit/test_compose.py.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/sightline
WORKDIR /src
# Dependencies first: they change less often than the code.
COPY requirements/services.txt requirements/services.txt
RUN /opt/sightline/bin/pip install --require-hashes -r requirements/services.txt
COPY . .
RUN /opt/sightline/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim AS run
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/sightline sightline
COPY --from=build /opt/sightline /opt/sightline
ENV PATH=/opt/sightline/bin:$PATH PYTHONUNBUFFERED=1
USER sightline
WORKDIR /var/lib/sightline
ENTRYPOINT ["sightline"]
CMD ["--help"]

# The whole test suite, with what `make tools` looks for.
FROM python:3.13-slim AS tests
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        bash chromium default-jdk-headless git golang-go make maven \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home sightline
USER sightline
WORKDIR /home/sightline/checkout
COPY --chown=sightline . .
RUN make venv tools
CMD ["make", "test"]

# The object store, built from the version that the tests run: the project has stopped publishing
# images of its own.
FROM golang:1.26-alpine AS minio-build
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
RUN CGO_ENABLED=0 GOBIN=/out go install github.com/minio/minio@${MINIO_VERSION}

FROM alpine:3.22 AS minio
RUN adduser -D -u 10002 minio && mkdir /data && chown minio /data
COPY --from=minio-build /out/minio /usr/local/bin/minio
USER minio
VOLUME /data
ENTRYPOINT ["minio"]
CMD ["server", "/data", "--address", ":9000"]

FROM run
