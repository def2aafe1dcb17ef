# Two targets:
#   runner  the gate alone; reuse it by FROM and a COPY of alembic.ini and the migrations to /migrations
#   app     the sample service, and the gate beside it for its own migrations: the chart's hook runs this image too
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie

# pip has an environment of its own, /build, and fills the one that ships, /opt/venv, from outside: nothing that can
# install or compile gets into an image.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_CACHE_DIR=/pip-cache PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY ci/requirements-build.txt /requirements-build.txt
RUN --mount=type=cache,target=/pip-cache \
    python3 -m venv /build \
    && /build/bin/pip install --require-hashes --only-binary=:all: --requirement /requirements-build.txt \
    && python3 -m venv --without-pip /opt/venv

FROM build AS wheel
COPY runner /runner
RUN /build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheel /runner

FROM build AS runner-venv
COPY runner/requirements.txt /requirements.txt
RUN --mount=type=cache,target=/pip-cache \
    /build/bin/pip --python /opt/venv install --require-hashes --only-binary=:all: --requirement /requirements.txt
COPY --from=wheel /wheel /wheel
RUN /build/bin/pip --python /opt/venv install --no-deps --no-index /wheel/*.whl \
    && /build/bin/pip --python /opt/venv check

FROM runner-venv AS app-venv
COPY backend/requirements.txt /requirements.txt
RUN --mount=type=cache,target=/pip-cache \
    /build/bin/pip --python /opt/venv install --require-hashes --only-binary=:all: --requirement /requirements.txt \
    && /build/bin/pip --python /opt/venv check

# What was reviewed, for `upgrade --require-review`. A revision that was not is left out, so that this image can run where
# that is not asked for.
FROM app-venv AS reviewed
WORKDIR /app
COPY backend/alembic.ini ./
COPY backend/migrations ./migrations
COPY backend/docs/cycles ./docs/cycles
RUN /opt/venv/bin/sage-migrate review export --partial

FROM ${PYTHON_IMAGE} AS base
# The interpreter's own pip goes too. The user gets a name because the C library and asyncpg ask for one.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    && echo 'nonroot:x:65532:65532:nonroot:/nonexistent:/usr/sbin/nologin' >>/etc/passwd \
    && echo 'nonroot:x:65532:' >>/etc/group
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
ARG VERSION=0.0.0 REVISION=unknown
LABEL org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}

FROM base AS runner
LABEL org.opencontainers.image.title=sage-migrate \
      org.opencontainers.image.description="Migration gate for PostgreSQL and Alembic"
COPY --from=runner-venv /opt/venv /opt/venv
WORKDIR /migrations
ENTRYPOINT ["sage-migrate"]
CMD ["upgrade"]

FROM base AS app
LABEL org.opencontainers.image.title=sage-app \
      org.opencontainers.image.description="Sample service of sage-migrate"
COPY --from=app-venv /opt/venv /opt/venv
WORKDIR /app
COPY backend/alembic.ini ./
COPY --from=reviewed /app/migrations ./migrations
COPY backend/app ./app
EXPOSE 8000
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
