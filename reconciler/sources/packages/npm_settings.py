"""Where npm packages come from, and with which credentials: what npm itself is configured with.

npm is asked for its registries rather than its files guessed at, so that environment, user, project and global settings
count as they do for npm. It does not tell its tokens, so those are read from the user's file. Where there is no npm,
nothing is known: the machine brings its own and finds out.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import anyio

from reconciler.errors import Unavailable

TIMEOUT_S: Final = 20.0
_TOKEN_LINE: Final = re.compile(r"^\s*(//[^\s=]+?/?):_authToken\s*=\s*\"?([^\s\"]+)\"?\s*$", re.MULTILINE)
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmSettings:
    """The registries of npm."""

    registry: str
    scopes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Registries of their own, by scope with its `@`."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Bearer tokens, by `//host/path` without a slash at the end."""

    def registry_of(self, package: str) -> str:
        """The base address for a package, without a slash at the end."""
        scope = package.split("/", maxsplit=1)[0] if package.startswith("@") else ""
        return self.scopes.get(scope, self.registry).rstrip("/")

    def authorization(self, registry: str) -> dict[str, str]:
        """The header for a registry; the longest path that fits decides, as in npm."""
        address = registry.split(":", 1)[1]
        fitting = [prefix for prefix in self.tokens if address == prefix or address.startswith(f"{prefix}/")]
        return {"Authorization": f"Bearer {self.tokens[max(fitting, key=len)]}"} if fitting else {}


async def read_npm_settings(environment: Mapping[str, str]) -> NpmSettings | None:
    """What npm says; none where there is no npm.

    Raises:
        Unavailable: npm is there and does not answer.
    """
    npm = shutil.which("npm", path=environment.get("PATH"))
    if npm is None:
        return None
    try:
        with anyio.fail_after(TIMEOUT_S):
            finished = await anyio.run_process([npm, "config", "list", "--json"], env=dict(environment), check=False)
        settings = cast("dict[str, object]", json.loads(finished.stdout))
        registry = str(settings["registry"])
    except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise Unavailable("registry-unavailable", "npm does not say which registry it uses") from error
    scopes = {key.removesuffix(":registry"): str(value) for key, value in settings.items() if key.endswith(":registry")}
    tokens = await anyio.to_thread.run_sync(_tokens, settings.get("userconfig"), environment)
    return NpmSettings(registry=registry, scopes=scopes, tokens=tokens)


def _tokens(file: object, environment: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(file, str) or not os.access(file, os.R_OK):
        return {}
    text = Path(file).read_text(encoding="utf-8", errors="replace")
    return {
        prefix.rstrip("/"): _VARIABLE.sub(lambda name: environment.get(name[1], ""), token)
        for prefix, token in _TOKEN_LINE.findall(text)
    }
