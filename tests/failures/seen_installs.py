"""Servers that cannot be installed."""

import json

from reconciler.core.log_causes_rules import LogCause
from tests.failures.provoked import Provoked, Source

_DEAD = "http://127.0.0.1:{closed}"


def _node(**fields: object) -> str:
    return json.dumps({"name": "notes", "version": "1.0.0", "bin": "server.js", **fields})


def _python(dependencies: str = "", requires: str = ">=3.11") -> str:
    return (
        f'[project]\nname = "notes"\nversion = "1.0.0"\nrequires-python = "{requires}"\n'
        f'dependencies = [{dependencies}]\n[project.scripts]\nnotes = "notes:main"\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )


_MAIN = {"notes.py": "def main():\n    raise SystemExit('never')\n"}

INSTALLS = (
    Provoked(
        name="npm-scope-unknown", cause=LogCause.PACKAGE_NOT_FOUND, how="a scope that nobody has", source=Source.NPM,
        package="@catwalk-nobody/no-such-server@1.0.0",
    ),
    Provoked(
        name="npm-name-misspelt", cause=LogCause.PACKAGE_NOT_FOUND, how="a letter is missing in the name",
        source=Source.NPM, package="@modelcontextprotocol/server-filesystm@2026.8.31",
    ),
    Provoked(
        name="pypi-name-misspelt", cause=LogCause.PACKAGE_NOT_FOUND, how="letters are swapped in the name",
        source=Source.PYPI, package="mcp-sevrer-time-catwalk@1.0.0",
    ),
    Provoked(
        name="git-no-repository", cause=LogCause.PACKAGE_NOT_FOUND, how="the host has no such repository",
        source=Source.GIT, package="http://{git}/another/.git@8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e",
    ),
    Provoked(
        name="npm-version-unknown", cause=LogCause.VERSION_NOT_FOUND, how="a version that was never published",
        source=Source.NPM, package="@modelcontextprotocol/server-memory@99.1.0",
    ),
    Provoked(
        name="pypi-version-unknown", cause=LogCause.VERSION_NOT_FOUND, how="a version that was never published",
        source=Source.PYPI, package="mcp-server-fetch@0.0.1",
    ),
    Provoked(
        name="git-commit-unknown", cause=LogCause.VERSION_NOT_FOUND, how="a commit that is in no branch",
        source=Source.GIT, package="@8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e", files={"server.js": ""},
    ),
    Provoked(
        name="npm-library", cause=LogCause.NO_EXECUTABLE, how="a library without an executable", source=Source.NPM,
        package="zod@3.25.76",
    ),
    Provoked(
        name="pypi-library", cause=LogCause.NO_EXECUTABLE, how="a library without an executable", source=Source.PYPI,
        package="attrs@25.3.0",
    ),
    Provoked(
        name="npm-entrypoint-unknown", cause=LogCause.NO_EXECUTABLE, how="an executable that the package has not",
        source=Source.NPM, package="@modelcontextprotocol/server-memory@2026.8.31", options=("--entrypoint=memory",),
    ),
    Provoked(
        name="pypi-entrypoint-unknown", cause=LogCause.NO_EXECUTABLE, how="an executable that the package has not",
        source=Source.PYPI, package="mcp-server-time@2026.10.19", options=("--entrypoint=time-server",),
    ),
    Provoked(
        name="directory-without-program", cause=LogCause.NO_EXECUTABLE, how="a folder that names no program",
        source=Source.DIRECTORY, files={"package.json": '{"name": "notes", "version": "1.0.0"}', "lib.js": ""},
    ),
    Provoked(
        name="directory-node-too-new", cause=LogCause.RUNTIME_UNAVAILABLE, how="engines ask for a Node of the future",
        source=Source.DIRECTORY, files={"package.json": _node(engines={"node": ">=99"}), "server.js": ""},
    ),
    Provoked(
        name="directory-python-too-new", cause=LogCause.RUNTIME_UNAVAILABLE, how="requires-python asks for the future",
        source=Source.DIRECTORY, files={"pyproject.toml": _python(requires=">=3.99"), **_MAIN},
    ),
    Provoked(
        name="directory-python-too-old", cause=LogCause.RUNTIME_UNAVAILABLE, how="requires-python asks for the past",
        source=Source.DIRECTORY, files={"pyproject.toml": _python(requires="<3.6"), **_MAIN},
    ),
    Provoked(
        name="npm-integrity", cause=LogCause.INTEGRITY_MISMATCH, how="the lock has another digest", source=Source.NPM,
        package="@modelcontextprotocol/server-memory@2026.8.31", options=("--integrity=sha512-" + "A" * 86 + "==",),
    ),
    Provoked(
        name="npm-registry-closed", cause=LogCause.REGISTRY_UNAVAILABLE, how="nobody listens at the registry's "
            "address",
        source=Source.NPM, package="@modelcontextprotocol/server-slack@2025.4.25",
        environment={"npm_config_registry": _DEAD, "npm_config_fetch_retries": "0"},
    ),
    Provoked(
        name="npm-registry-name-unknown", cause=LogCause.REGISTRY_UNAVAILABLE, how="the registry's name is in no DNS",
        source=Source.NPM, package="@modelcontextprotocol/server-slack@2025.4.25",
        environment={"npm_config_registry": "https://packages.acme.invalid", "npm_config_fetch_retries": "0"},
    ),
    Provoked(
        name="npm-registry-untrusted", cause=LogCause.REGISTRY_UNAVAILABLE, how="the registry's certificate is "
            "its own",
        source=Source.NPM, package="@modelcontextprotocol/server-slack@2025.4.25",
        environment={"npm_config_registry": "{tls}", "npm_config_fetch_retries": "0"},
    ),
    Provoked(
        name="pypi-index-closed", cause=LogCause.REGISTRY_UNAVAILABLE, how="nobody listens at the index's address",
        source=Source.PYPI, package="mcp-server-sentry@2025.1.14",
        environment={"UV_DEFAULT_INDEX": f"{_DEAD}/simple", "UV_HTTP_RETRIES": "0"},
    ),
    Provoked(
        name="pypi-index-fails", cause=LogCause.REGISTRY_UNAVAILABLE, how="the index answers 500", source=Source.PYPI,
        package="mcp-server-sentry@2025.1.14",
        environment={"UV_DEFAULT_INDEX": "{500}/simple", "UV_HTTP_RETRIES": "0"},
    ),
    Provoked(
        name="git-host-closed", cause=LogCause.REGISTRY_UNAVAILABLE, how="nobody listens at the git host",
        source=Source.GIT, package="http://127.0.0.1:9/acme/wiki.git@8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e",
    ),
    Provoked(
        name="npm-registry-refuses", cause=LogCause.BAD_TOKEN, how="a private registry refuses the token (401)",
        source=Source.NPM, package="@acme/private-server@1.0.0", environment={"npm_config_registry": "{401}"},
    ),
    Provoked(
        name="pypi-python-absent", cause=LogCause.RUNTIME_UNAVAILABLE, how="a Python that is neither here nor "
            "in reach",
        source=Source.PYPI, package="postgres-mcp@0.3.0", arguments=("postgresql://u:p@127.0.0.1:5432/db",),
    ),
    Provoked(
        name="directory-python-dependency-unknown", cause=LogCause.INSTALL_FAILED, how="it asks for a missing library",
        source=Source.DIRECTORY, files={"pyproject.toml": _python('"catwalk-no-such-library-4711"'), **_MAIN},
    ),
    Provoked(
        name="directory-node-dependency-unknown", cause=LogCause.INSTALL_FAILED, how="it asks for a missing library",
        source=Source.DIRECTORY,
        files={"package.json": _node(dependencies={"catwalk-no-such-library-4711": "1.0.0"}), "server.js": ""},
    ),
    Provoked(
        name="git-node-peers-conflict", cause=LogCause.INSTALL_FAILED, how="two dependencies exclude each other",
        source=Source.GIT,
        files={
            "package.json": _node(dependencies={"react": "17.0.2", "react-dom": "18.2.0"}), "server.js": "",
        },
    ),
    Provoked(
        name="git-python-conflict", cause=LogCause.INSTALL_FAILED, how="two dependencies exclude each other",
        source=Source.GIT, files={"pyproject.toml": _python('"pydantic==2.7.0", "pydantic-core==2.20.0"'), **_MAIN},
    ),
    Provoked(
        name="directory-python-native", cause=LogCause.INSTALL_FAILED, how="a C extension without its library",
        source=Source.DIRECTORY, files={"pyproject.toml": _python('"mysqlclient==2.2.4"'), **_MAIN},
    ),
    Provoked(
        name="directory-python-native-headers", cause=LogCause.INSTALL_FAILED, how="a C extension without its headers",
        source=Source.DIRECTORY, files={"pyproject.toml": _python('"python-ldap==3.4.4"'), **_MAIN},
    ),
    Provoked(
        name="git-node-build-script", cause=LogCause.INSTALL_FAILED, how="the build script does not compile",
        source=Source.GIT,
        files={
            "package.json": _node(
                bin="dist/server.js", scripts={"build": "tsc"}, devDependencies={"typescript": "5.6.3"}
            ),
            "tsconfig.json": '{"compilerOptions": {"outDir": "dist", "strict": true}}',
            "server.ts": "const limit: number = 'ten';\nconsole.log(limit);\n",
        },
    ),
    Provoked(
        name="git-node-lock-stale", cause=LogCause.INSTALL_FAILED, how="the lock file does not fit package.json",
        source=Source.GIT,
        files={
            "package.json": _node(dependencies={"zod": "3.25.76"}), "server.js": "",
            "package-lock.json": json.dumps(
                {"name": "notes", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "notes"}}}
            ),
        },
    ),
    Provoked(
        name="git-python-build-backend", cause=LogCause.INSTALL_FAILED, how="the build backend fails",
        source=Source.GIT, files={"setup.py": "from setuptools import setup\nsetup(name='notes', "
            "version=open('VERSION').read())\n"},
        options=("--runtime=python",),
    ),
)  # fmt: skip
