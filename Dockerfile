# The service as an image: dependencies by the hashed lock, no build tools, no root, a root file system that may be read-only.
# `scripts/replay_dockerfile.py` carries these steps out on a machine without an engine; the tests lint them.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY config/requirements-build.txt requirements.txt ./
RUN python -m venv /build/tools \
 && /build/tools/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements-build.txt
RUN python -m venv --without-pip /opt/sensor-storage \
 && /build/tools/bin/pip --python /opt/sensor-storage/bin/python install --quiet --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt
COPY pyproject.toml CHANGELOG.md LICENSE ./
COPY src ./src
RUN /build/tools/bin/hatchling build -t wheel -d /build/dist \
 && /build/tools/bin/pip --python /opt/sensor-storage/bin/python install --quiet --no-cache-dir --no-deps --no-index /build/dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Sensor Data Storage Service" \
      org.opencontainers.image.description="Keeps sensor readings from Kafka: every reading exactly once, in plain Parquet files." \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 sensor-storage \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin sensor-storage \
 && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/sensor-storage /opt/sensor-storage
ENV PATH=/opt/sensor-storage/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOCAL_STORAGE_PATH=/data/raw \
    SERVICE_HOST=0.0.0.0 \
    LOG_FORMAT=json
WORKDIR /data
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["sensor-storage", "check", "--only", "service", "--quiet"]
ENTRYPOINT ["sensor-storage"]
CMD ["run"]
