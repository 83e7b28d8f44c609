"""The settings of npm and uv, asked for once and remembered for a while.

Each client takes some tenths of a second to say where it gets packages from, which is longer than everything else when
answers are cached. So its addresses are kept on disk under what they depend on: the variables and files that the client
reads. Credentials are never kept: addresses that carry some are asked for anew, and tokens are read from their file.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import anyio

from reconciler.core.digests import JSON
from reconciler.sources.packages.cache import AnswerCache
from reconciler.sources.packages.npm_settings import NpmSettings, npm_addresses, npm_tokens
from reconciler.sources.packages.uv_settings import read_indexes

KEPT_FOR: Final = timedelta(minutes=10)


class ClientSettings:
    """What npm and uv are configured with."""

    def __init__(
        self,
        environment: Mapping[str, str],
        cache: AnswerCache,
        *,
        npm: NpmSettings | None = None,
        indexes: tuple[str, ...] | None = None,
    ) -> None:
        """`npm` and `indexes` are settings that are known already, so that the client is not asked."""
        self._environment = environment
        self._cache = cache
        self._asking_npm, self._asking_uv = anyio.Lock(), anyio.Lock()
        self._npm = npm
        self._indexes = indexes

    async def npm(self) -> NpmSettings | None:
        """Of npm; none where there is no npm.

        Raises:
            Unavailable: npm is there and does not answer.
        """
        async with self._asking_npm:
            if self._npm is None:
                self._npm = await self._read_npm()
        return self._npm

    async def _read_npm(self) -> NpmSettings | None:
        key = ("npm-settings", self._fingerprint("npm_config_", (".npmrc", "NPM_CONFIG_USERCONFIG")))
        kept = self._cache.get(*key)
        if kept is not None and kept.fresh:
            facts = cast("Mapping[str, JSON]", kept.facts)
        else:
            found = await npm_addresses(self._environment)
            if found is None:
                return None
            facts = found
            self._cache.put(*key, facts=facts, fresh_for=KEPT_FOR)
        tokens = await anyio.to_thread.run_sync(npm_tokens, cast("list[str]", facts["files"]), self._environment)
        scopes = cast("Mapping[str, str]", facts["scopes"])
        return NpmSettings(registry=str(facts["registry"]), scopes=scopes, tokens=tokens)

    async def indexes(self) -> tuple[str, ...]:
        """The index addresses of uv, in the order in which it asks them.

        Raises:
            Unavailable: uv does not answer.
        """
        async with self._asking_uv:
            if self._indexes is None:
                self._indexes = await self._read_indexes()
        return self._indexes

    async def _read_indexes(self) -> tuple[str, ...]:
        files = (".config/uv/uv.toml", "UV_CONFIG_FILE", "/etc/uv/uv.toml")
        key = ("uv-settings", self._fingerprint("uv_", files))
        kept = self._cache.get(*key)
        if kept is not None and kept.fresh:
            return tuple(cast("list[str]", kept.facts))
        indexes = await read_indexes(self._environment)
        if not any(urlsplit(index).username or urlsplit(index).password for index in indexes):
            self._cache.put(*key, facts=list(indexes), fresh_for=KEPT_FOR)
        return indexes

    def _fingerprint(self, prefix: str, files: Iterable[str]) -> str:
        """A digest of what a client's settings depend on. Values are hashed, so that no credential can be read."""
        names = ("PATH", "HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "PREFIX")
        relevant = {
            name: value for name, value in self._environment.items() if name.lower().startswith(prefix) or name in names
        }
        found = [_identity(self._path(file)) for file in files]
        return hashlib.sha256(repr((sorted(relevant.items()), found)).encode()).hexdigest()

    def _path(self, file: str) -> Path:
        """A file by its absolute path, by the variable that names it, or below the home directory."""
        named = self._environment.get(file, "")
        return Path(named) if named else Path(self._environment.get("HOME", "/")) / file


def _identity(file: Path) -> tuple[str, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_mtime_ns, status.st_size
