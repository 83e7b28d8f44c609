# syntax=docker/dockerfile:1
# The image of every Catwalk machine: the adapter, Node with npm, uv with a Python, git and ssh. Built from the root of the
# repository, and named so that its last part is `catwalk-runner`, by which Catwalk knows it:
#
#   docker build --file gateway/adapter/runner.Dockerfile --tag registry.fly.io/catwalk-runner:0.1.0 .
#
# Pass the three bases by digest (`--build-arg PYTHON=python@sha256:…`) for a build that is the same tomorrow.
ARG PYTHON=python:3.13-slim-trixie
ARG NODE=node:24-trixie-slim
ARG UV=ghcr.io/astral-sh/uv:0.13.9

# A server's `engines` and `requires-python` choose the runtime: Node 24 and Python 3.13 satisfy nearly all, and the adapter
# brings others into the cache.
FROM ${UV} AS uv
FROM ${NODE} AS node

# The adapter has an environment of its own, which no server is installed into and none sees.
FROM ${PYTHON} AS adapter
COPY --from=uv /uv /usr/local/bin/uv
COPY gateway/adapter/runner.requirements.txt /tmp/requirements.txt
RUN uv venv --no-project /opt/catwalk \
    && uv pip install --python /opt/catwalk/bin/python --no-cache --compile-bytecode --requirement /tmp/requirements.txt
COPY gateway/__init__.py /opt/catwalk/lib/python3.13/site-packages/gateway/
COPY gateway/adapter /opt/catwalk/lib/python3.13/site-packages/gateway/adapter
COPY gateway/protocol /opt/catwalk/lib/python3.13/site-packages/gateway/protocol

FROM ${PYTHON}
# Versions of Debian's packages are those of the base's release: pinned ones are gone from the archive after the next fix.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git libatomic1 libstdc++6 openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home catwalk \
    && install --directory --owner=catwalk --group=catwalk /cache /data
COPY --from=uv /uv /uvx /usr/local/bin/
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
COPY --from=adapter /opt/catwalk /opt/catwalk

# Everything that is written at run time is below these: the root file system may be read-only, and /cache a volume.
ENV HOME=/home/catwalk \
    NPM_CONFIG_CACHE=/cache/npm \
    NPM_CONFIG_UPDATE_NOTIFIER=false \
    PYTHONDONTWRITEBYTECODE=1 \
    UV_CACHE_DIR=/cache/uv \
    UV_LINK_MODE=copy \
    UV_NO_PROGRESS=1 \
    UV_PYTHON_INSTALL_DIR=/cache/python
USER 10001:10001
WORKDIR /home/catwalk
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/catwalk/bin/python", "-m", "gateway.adapter", "--workdir", "/home/catwalk", "--cache-dir", "/cache/catwalk"]
