"""The catalog: one client for all registries, with their settings read once."""

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, assert_never

import anyio
import httpx

from reconciler.core.types import PackageReference, Registry
from reconciler.sources.packages.fetch import certificates
from reconciler.sources.packages.npm import check_npm
from reconciler.sources.packages.npm_settings import NpmSettings, read_npm_settings
from reconciler.sources.packages.pypi import check_pypi, read_indexes

CONNECTIONS: Final = 16


class PackageCatalog:
    """Implements the `PackageCatalog` port. Use it as a context: it holds connections."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is that of the clients whose settings count; this process's own by default."""
        self._environment = dict(os.environ if environment is None else environment)
        self._reading = anyio.Lock()
        self._npm: NpmSettings | None = None
        self._indexes: tuple[str, ...] | None = None
        self._npm_known = False

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(
            verify=await anyio.to_thread.run_sync(certificates, self._environment),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            follow_redirects=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def check(self, reference: PackageReference, *, entrypoint: str = "") -> None:
        """Refuses what cannot start: a package, version or executable that does not exist.

        Raises:
            SourceError: it does not exist, or has nothing to run.
            Unavailable: the registry does not answer, which proves nothing about the package.
        """
        match reference.registry:
            case Registry.NPM:
                settings = await self._npm_settings()
                if settings is not None:
                    await check_npm(self._client, settings, reference, entrypoint)
            case Registry.PYPI:
                await check_pypi(self._client, await self._index_urls(), reference)
            case _:
                assert_never(reference.registry)

    async def _npm_settings(self) -> NpmSettings | None:
        async with self._reading:
            if not self._npm_known:
                self._npm = await read_npm_settings(self._environment)
                self._npm_known = True
        return self._npm

    async def _index_urls(self) -> tuple[str, ...]:
        async with self._reading:
            if self._indexes is None:
                self._indexes = await read_indexes(self._environment)
        return self._indexes
