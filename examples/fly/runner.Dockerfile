# The runner: what every MCP server's machine starts from. Built from the root of the repository:
#   docker build --file examples/fly/runner.Dockerfile .
# The repository that it is pushed to must be called `catwalk-runner`.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS node

FROM ${PYTHON_IMAGE} AS build
COPY . /source
RUN /source/examples/fly/install.sh /source /opt/runner runner

FROM ${PYTHON_IMAGE}
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules /usr/local/lib/node_modules
# git fetches servers that are named by a commit.
# hadolint ignore=DL3008
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --uid 10001 --home-dir /srv/runner --create-home runner
COPY --from=build /opt/runner /opt/runner
ENV PATH=/opt/runner/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /srv/runner
EXPOSE 8080
ENTRYPOINT ["python", "-m", "gateway.adapter", "--host", "::", "--port", "8080", "--workdir", "/srv/runner/work", "--cache-dir", "/srv/runner/cache"]
