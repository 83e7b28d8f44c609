"""The catalog: one client for all registries, with their settings read once."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, assert_never

import anyio
import httpx

from reconciler.core.executables import executable_problem
from reconciler.core.problems import Problem
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Registry
from reconciler.errors import SourceError
from reconciler.sources.packages.cache import AnswerCache, cache_folder
from reconciler.sources.packages.fetch import certificates
from reconciler.sources.packages.lookups import RegistryTransport
from reconciler.sources.packages.npm import npm_registry_name, npm_release
from reconciler.sources.packages.npm_settings import NpmSettings
from reconciler.sources.packages.pypi import pypi_release
from reconciler.sources.packages.resolution import KEEP_FOR, fault_of, refusal, resolution_of
from reconciler.sources.packages.session import Session
from reconciler.sources.packages.settings import ClientSettings
from reconciler.sources.packages.uv_settings import netrc_auth

CONNECTIONS: Final = 16
RESOLUTIONS: Final = 4
"""Runs of uv at once."""


def system_now() -> datetime:
    """The time of this machine: a cache outlives its process, so that no other clock serves."""
    return datetime.now(UTC)  # noqa: TID251 - The door to the clock for ages on disk.


class PackageCatalog:
    """Implements the `PackageCatalog` port. Use it as a context: it holds connections."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        npm: NpmSettings | None = None,
        indexes: tuple[str, ...] | None = None,
    ) -> None:
        """`environment` is that of the clients whose settings count, this process's own by default; `npm` and `indexes`
        are settings that need not be asked for.
        """
        self._environment = dict(os.environ if environment is None else environment)
        self._cache = AnswerCache(cache_folder(self._environment), system_now)
        self._opening = anyio.Lock()
        self._resolving = anyio.CapacityLimiter(RESOLUTIONS)
        self._client: httpx.AsyncClient | None = None
        self._settings = ClientSettings(self._environment, self._cache, npm=npm, indexes=indexes)

    async def __aenter__(self) -> Self:
        self._session = Session(self._opened_client, self._cache, system_now)
        self._netrc = await anyio.to_thread.run_sync(netrc_auth, self._environment)
        return self

    async def _opened_client(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                trusted = await anyio.to_thread.run_sync(certificates, self._environment)
                self._client = httpx.AsyncClient(
                    verify=trusted,
                    transport=RegistryTransport(verify=trusted, most_connections=CONNECTIONS),
                    follow_redirects=True,
                )
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await anyio.to_thread.run_sync(self._cache.tidy)
        if self._client is not None:
            await self._client.aclose()

    async def check(self, reference: PackageReference, *, entrypoint: str = "") -> Release | None:
        """Refuses what cannot start: a package, version or executable that does not exist.

        Returns:
            What its registry says; none for npm packages where there is no npm that could say which registry it uses.

        Raises:
            SourceError: it does not exist, or has nothing to run.
            Unavailable: the registry does not answer, which proves nothing about the package.
        """
        release = await self.release(reference)
        if release is None or release.executables is None:
            return release
        if problem := executable_problem(release.package, release.executables, entrypoint):
            raise SourceError(problem.code, problem.message, hint=problem.hint)
        return release

    async def release(self, reference: PackageReference, *, complete: bool = False) -> Release | None:
        """What the registry says about one version, without judging it; without a version about the newest.

        Args:
            reference: the package.
            complete: with dates and links, which some registries tell on another page alone.

        Raises:
            SourceError: the package or the version does not exist.
            Unavailable: the registry does not answer, and nothing of it was kept.
        """
        match reference.registry:
            case Registry.NPM:
                settings = await self._settings.npm()
                if settings is None:
                    return None
                return await npm_release(self._session, settings, reference, complete=complete)
            case Registry.PYPI:
                return await pypi_release(self._session, await self._settings.indexes(), reference, self._netrc)
            case _:
                assert_never(reference.registry)

    async def resolve(self, release: Release, as_of: str = "") -> None:
        """Refuses a PyPI package whose dependencies cannot be had any more; says nothing about other packages.

        Args:
            release: the package.
            as_of: `resolve_as_of` of the manifest: `latest`, a date, or nothing for the day after its publication.

        Raises:
            SourceError: its dependencies cannot be resolved.
            Unavailable: the index does not answer.
        """
        if release.package.registry is not Registry.PYPI:
            return
        resolution = resolution_of(release, as_of)
        kept = self._cache.get(*resolution.key)
        if kept is not None and kept.fresh:
            fault = str(kept.facts)
        else:
            async with self._resolving:
                fault = await fault_of(resolution, self._environment)
            self._cache.put(*resolution.key, facts=fault, fresh_for=KEEP_FOR)
        if fault:
            raise refusal(release, fault)

    async def registry_name(self, release: Release) -> str:
        """The name under which the MCP registry lists a package; empty where the package states none.

        Raises:
            Unavailable: the package registry does not answer.
        """
        if release.registry_name or release.package.registry is not Registry.NPM:
            return release.registry_name
        settings = await self._settings.npm()
        return await npm_registry_name(self._session, settings, release.package) if settings is not None else ""

    @property
    def session(self) -> Session:
        """The connections and the cache, for other questions about the same packages."""
        return self._session

    @property
    def outdated(self) -> tuple[Problem, ...]:
        """Registries that could not be asked although answers were given, from what they said before."""
        return self._session.outdated
