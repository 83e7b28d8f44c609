"""Where npm packages come from, and with which credentials: what npm itself is configured with.

npm is asked for its registries rather than its files guessed at, so that environment, user, project and global settings
count as they do for npm. It does not tell its tokens, so those are read from the user's file. Where there is no npm,
nothing is known: the machine brings its own and finds out.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import anyio

from reconciler.core.digests import JSON
from reconciler.errors import Unavailable

TIMEOUT_S: Final = 20.0
_TOKEN_LINE: Final = re.compile(r"^\s*(//[^\s=]+?/?):(_authToken|_auth)\s*=\s*\"?([^\s\"]+)\"?\s*$", re.MULTILINE)
_SCHEMES: Final[Mapping[str, str]] = {"_authToken": "Bearer", "_auth": "Basic"}
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmSettings:
    """The registries of npm."""

    registry: str
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Registries of their own, by scope with its `@`."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Values of the `Authorization` header, by `//host/path` without a slash at the end."""

    def registry_of(self, package: str) -> str:
        """The base address for a package, without a slash at the end."""
        scope = package.split("/", maxsplit=1)[0] if package.startswith("@") else ""
        return self.scopes.get(scope, self.registry).rstrip("/")

    def authorization(self, registry: str) -> dict[str, str]:
        """The header for a registry; the longest path that fits decides, as in npm."""
        address = registry.split(":", 1)[1]
        fitting = [prefix for prefix in self.tokens if address == prefix or address.startswith(f"{prefix}/")]
        return {"Authorization": self.tokens[max(fitting, key=len)]} if fitting else {}


async def npm_addresses(environment: Mapping[str, str]) -> Mapping[str, JSON] | None:
    """`{"registry": …, "scopes": {"@scope": …}, "files": […]}` as npm says it, without any credential; none where
    there is no npm.

    Raises:
        Unavailable: npm is there and does not answer.
    """
    npm = shutil.which("npm", path=environment.get("PATH"))
    if npm is None:
        return None
    try:
        with anyio.fail_after(TIMEOUT_S):
            # In the folder in which the machine installs: a project's own settings are none of a server's.
            finished = await anyio.run_process(
                [npm, "config", "list", "--json"], env=dict(environment), check=False, cwd="/"
            )
        settings = cast("dict[str, object]", json.loads(finished.stdout))
        registry = str(settings["registry"])
    except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise Unavailable("registry-unavailable", "npm does not say which registry it uses") from error
    scopes = {key.removesuffix(":registry"): str(value) for key, value in settings.items() if key.endswith(":registry")}
    files = [str(settings[key]) for key in ("globalconfig", "userconfig") if settings.get(key)]
    return {"registry": registry, "scopes": scopes, "files": list(files)}


async def read_npm_settings(environment: Mapping[str, str]) -> NpmSettings | None:
    """What npm says, with the tokens of its files; none where there is no npm.

    Raises:
        Unavailable: npm is there and does not answer.
    """
    found = await npm_addresses(environment)
    if found is None:
        return None
    tokens = await anyio.to_thread.run_sync(npm_tokens, cast("list[str]", found["files"]), environment)
    return NpmSettings(
        registry=str(found["registry"]), scopes=cast("Mapping[str, str]", found["scopes"]), tokens=tokens
    )


def npm_tokens(files: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Authorization values by `//host/path`; a later file wins over an earlier one.

    npm knows bearer tokens (`_authToken`) and Base64 of `user:password` (`_auth`).
    """
    found: dict[str, str] = {}
    for file in files:
        if os.access(file, os.R_OK):
            text = Path(file).read_text(encoding="utf-8", errors="replace")
            for prefix, kind, value in _TOKEN_LINE.findall(text):
                written = _VARIABLE.sub(lambda name: environment.get(name[1], ""), value)
                found[prefix.rstrip("/")] = f"{_SCHEMES[kind]} {written}"
    return found
