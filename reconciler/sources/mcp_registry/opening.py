"""Opens a registry for as long as a command needs it: connection, certificates, and the answers kept on disk."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
import httpx

from reconciler.errors import EnvironmentFault
from reconciler.sources.mcp_registry.client import MCPRegistry
from reconciler.sources.packages.cache import AnswerCache, cache_folder
from reconciler.sources.packages.catalog import system_now
from reconciler.sources.packages.fetch import certificates
from reconciler.sources.packages.session import Session


@asynccontextmanager
async def open_registry(environment: Mapping[str, str], url: str) -> AsyncGenerator[MCPRegistry]:
    """A registry at `url`, its answers kept where those of package registries are.

    Raises:
        EnvironmentFault: the address is none.
    """
    _check(url)
    cache = AnswerCache(cache_folder(environment), system_now)
    trusted = await anyio.to_thread.run_sync(certificates, environment)
    async with httpx.AsyncClient(verify=trusted, follow_redirects=True) as client:
        yield MCPRegistry(Session(client, cache, system_now), url)


def _check(url: str) -> None:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in {"http", "https"} or not address.host:
        raise EnvironmentFault(
            "bad-registry-url",
            "CATWALK_MCP_REGISTRY_URL is no address of the form https://HOST",
            hint="unset it to use the official MCP registry",
        )
