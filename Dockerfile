# syntax=docker/dockerfile:1

# Another base, such as one pinned by its digest or from a mirror:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:… .
ARG PYTHON_IMAGE=python:3.13-slim-trixie

# ── build: the environment from the lock, and the wheel ─────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS build

WORKDIR /build
ENV UV_PYTHON_DOWNLOADS=never \
    PIP_ROOT_USER_ACTION=ignore
# hadolint ignore=DL3008  # make alone, and only here: the base's release decides its version
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

# Into its final place, since an environment cannot be moved. This layer is made anew only when the lock is.
COPY Makefile pyproject.toml requirements.lock README.md LICENSE ./
RUN make .uv/bin/uv \
    && .uv/bin/uv venv --quiet --python python3 /opt/gateway \
    && .uv/bin/uv pip install --quiet --python /opt/gateway/bin/python --compile-bytecode \
        --require-hashes --constraints requirements.lock --requirements pyproject.toml

COPY gateway/graphiql gateway/graphiql
RUN make graphiql

COPY . .
RUN .uv/bin/uv build --quiet --wheel --out-dir dist --build-constraints requirements.lock --require-hashes \
    && .uv/bin/uv pip install --quiet --python /opt/gateway/bin/python --compile-bytecode --no-deps dist/*.whl

# ── the image: Python, the environment, nobody's account ────────────────────────────────────────
FROM ${PYTHON_IMAGE}

COPY --from=build /opt/gateway /opt/gateway

ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# By number: Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=2)"]

ENTRYPOINT ["gateway"]
CMD ["serve", "--host", "0.0.0.0"]
