"""Real servers and packages that nobody looked at before the patterns stood."""

import json

from reconciler.core.log_causes_rules import LogCause
from tests.failures.provoked import Provoked, Source

_BUILT = (
    '[project]\nname = "notes"\nversion = "1.0.0"\nrequires-python = ">=3.11"\ndependencies = ["{}"]\n'
    '[project.scripts]\nnotes = "notes:main"\n[build-system]\nrequires = ["hatchling"]\n'
    'build-backend = "hatchling.build"\n'
)
_LOCK = {
    "name": "notes",
    "version": "1.0.0",
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "notes", "version": "1.0.0", "dependencies": {"semver": "7.6.3"}},
        "node_modules/semver": {"version": "7.6.3", "integrity": "sha512-" + "A" * 86 + "=="},
    },
}


def _without(package: str, source: Source = Source.NPM) -> Provoked:
    name = package.rpartition("@")[0].strip("@").replace("/", "-") + "-no-variables"
    return Provoked(
        name=name, cause=LogCause.MISSING_VARIABLE, how="started without its variables", source=source, package=package
    )


SERVERS = (
    _without("@sentry/mcp-server@0.39.0"),
    Provoked(
        name="figma-developer-mcp-no-variables", cause=LogCause.NOT_AN_MCP_SERVER,
        how="it speaks HTTP where it is not told otherwise", source=Source.NPM,
        package="figma-developer-mcp@0.13.2",
    ),
    _without("airtable-mcp-server@1.14.0"),
    _without("@apify/actors-mcp-server@0.16.0"),
    Provoked(
        name="heroku-mcp-server-no-variables", cause=LogCause.CRASH_LOOP,
        how="a module of another program that it looks for is missing", source=Source.NPM,
        package="@heroku/mcp-server@1.2.8",
    ),
    Provoked(
        name="brightdata-mcp-no-variables", cause=LogCause.NO_EXECUTABLE,
        how="a server that installs no executable", source=Source.NPM,
        package="@brightdata/mcp@2.11.3",
    ),
    _without("mcp-mongo-server@3.0.1"),
    _without("@tacticlaunch/mcp-linear@1.4.3"),
    Provoked(
        name="neondatabase-mcp-server-neon-no-variables", cause=LogCause.INSTALL_FAILED,
        how="a dependency that cannot be had as of its date", source=Source.NPM,
        package="@neondatabase/mcp-server-neon@0.6.5",
    ),
    Provoked(
        name="mcp-server-qdrant-no-variables", cause=LogCause.SERVICE_UNREACHABLE,
        how="it fetches a model from a name that is not reached", source=Source.PYPI,
        package="mcp-server-qdrant@0.8.1",
    ),
    _without("mcp-server-odoo@0.9.0", Source.PYPI),
    Provoked(
        name="logfire-mcp-no-variables", cause=LogCause.CRASH_LOOP,
        how="a server that was given up and ends by itself", source=Source.PYPI,
        package="logfire-mcp@0.9.0",
    ),
    Provoked(
        name="mcp-discord-no-variables", cause=LogCause.RUNTIME_UNAVAILABLE,
        how="its code is written for Python 3.12, and it does not say so", source=Source.PYPI,
        package="mcp-discord@0.1.0",
    ),
    Provoked(
        name="gitlab-mcp-no-variables", cause=LogCause.NO_EXECUTABLE,
        how="a server that installs no executable", source=Source.PYPI,
        package="gitlab-mcp@0.1.7",
    ),
    Provoked(
        name="todoist-mcp-server-no-variables", cause=LogCause.RUNTIME_UNAVAILABLE,
        how="a Python that is neither here nor in reach", source=Source.PYPI,
        package="todoist-mcp-server@0.1.3",
    ),
    _without("telegram-mcp@0.6.3", Source.PYPI),
    Provoked(
        name="mcp-server-jira-no-variables", cause=LogCause.MISSING_ARGUMENTS,
        how="started without its arguments", source=Source.PYPI,
        package="mcp-server-jira@0.1.1",
    ),
    Provoked(
        name="database-server-no-arguments", cause=LogCause.INSTALL_FAILED, how="its native module is not built",
        source=Source.NPM, package="@executeautomation/database-server@1.1.0",
    ),
    Provoked(
        name="git-unknown-option", cause=LogCause.MISSING_ARGUMENTS, how="an option that it does not know",
        source=Source.PYPI, package="mcp-server-git@2026.10.19", arguments=("--repo", "/srv"),
    ),
    Provoked(
        name="docker-no-socket", cause=LogCause.RUNTIME_UNAVAILABLE, how="a Python that is neither here nor in reach",
        source=Source.PYPI, package="mcp-server-docker@0.3.0",
    ),
    Provoked(
        name="npm-unscoped-unknown", cause=LogCause.PACKAGE_NOT_FOUND, how="a name that nobody has", source=Source.NPM,
        package="catwalk-mcp-server-nobody-has-4712@0.1.0",
    ),
    Provoked(
        name="pypi-git-version", cause=LogCause.VERSION_NOT_FOUND, how="a version that was never published",
        source=Source.PYPI, package="mcp-server-git@1.0.0",
    ),
    Provoked(
        name="npm-figma-version", cause=LogCause.VERSION_NOT_FOUND, how="a version that was never published",
        source=Source.NPM, package="figma-developer-mcp@9999.0.0",
    ),
    Provoked(
        name="npm-react", cause=LogCause.NO_EXECUTABLE, how="a library", source=Source.NPM, package="react@18.3.1",
    ),
    Provoked(
        name="semver-as-server", cause=LogCause.NOT_AN_MCP_SERVER, how="a program that prints and ends",
        source=Source.NPM, package="semver@7.6.3", arguments=("1.2.3",),
    ),
    Provoked(
        name="http-server-as-server", cause=LogCause.NOT_AN_MCP_SERVER, how="a server of files", source=Source.NPM,
        package="http-server@14.1.1", arguments=("-p", "0", "-a", "127.0.0.1"),
    ),
    Provoked(
        name="directory-lock-integrity", cause=LogCause.INTEGRITY_MISMATCH, how="the lock file has another digest",
        source=Source.DIRECTORY,
        files={
            "package.json": json.dumps(
                {"name": "notes", "version": "1.0.0", "bin": "server.js", "dependencies": {"semver": "7.6.3"}}
            ),
            "package-lock.json": json.dumps(_LOCK), "server.js": "",
        },
    ),
    Provoked(
        name="directory-graphviz", cause=LogCause.INSTALL_FAILED, how="a C extension without its headers",
        source=Source.DIRECTORY,
        files={"pyproject.toml": _BUILT.format("pygraphviz==1.14"), "notes.py": "def main():\n    import pygraphviz\n"},
    ),
    Provoked(
        name="pypi-index-forbids", cause=LogCause.BAD_TOKEN, how="a private index refuses the token (403)",
        source=Source.PYPI, package="acme-private-server@1.0.0", environment={"UV_DEFAULT_INDEX": "{403}/simple"},
    ),
)  # fmt: skip
