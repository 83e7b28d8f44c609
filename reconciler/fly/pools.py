"""Several small connection pools in the place of a large one.

For each request the HTTP library looks at every connection that rests in its pool, so that a look at a thousand
machines through one pool costs twice as much processor time as through four (tests/bench/README.md). All of them share
their cookies, because a cookie says which node has seen a write.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final
from urllib.parse import urlsplit

import httpx

from reconciler.fly import lanes
from reconciler.fly.affinity import Affinity, no_cookies

POOLS: Final = 4
CONNECTIONS: Final = lanes.WAITS + lanes.UNDER_LEASE + lanes.SHORT
"""In all of them: as many as there are calls under way at once, so that none waits for a connection."""
CONNECT_TIMEOUT_S: Final = 5.0


class Pools:
    """What a client needs of the HTTP library."""

    def __init__(self, *, base_url: str, headers: Mapping[str, str], verify: SSLContext | bool) -> None:
        """Opens no connection yet.

        Args:
            base_url: scheme and host, without `/v1`.
            headers: sent with every request.
            verify: the certificates that are trusted; true stands for those that the HTTP library brings.
        """
        trusted = httpx.create_ssl_context() if verify is True else verify
        self._clients = [_client(base_url, headers, trusted) for _ in range(POOLS)]
        self._cookies = Affinity()
        self._in_flight = [0] * POOLS
        self.host = self._clients[0].base_url.host
        """For messages."""

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> AsyncGenerator[httpx.Response]:
        """Sends a request by the pool that has least to do, and gives its answer while the block lasts.

        Raises:
            httpx.HTTPError: what the HTTP library raises.
        """
        chosen = min(range(POOLS), key=self._in_flight.__getitem__)
        self._in_flight[chosen] += 1
        try:
            client = self._clients[chosen]
            request = client.build_request(method, path, params=params, headers=headers, content=content)
            self._cookies.add_to(request)
            response = await client.send(request, stream=True)
            try:
                self._cookies.keep(response)
                yield response
            finally:
                await response.aclose()
        finally:
            self._in_flight[chosen] -= 1

    async def aclose(self) -> None:
        """Closes all connections."""
        for client in self._clients:
            await client.aclose()


def _client(base_url: str, headers: Mapping[str, str], verify: SSLContext | bool) -> httpx.AsyncClient:
    each = CONNECTIONS // POOLS
    return httpx.AsyncClient(
        base_url=base_url.rstrip("/"),
        headers=headers,
        cookies=no_cookies(),
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        limits=httpx.Limits(max_connections=each, max_keepalive_connections=each),
        # A proxy of the environment is right for Fly and wrong for an engine on this machine.
        trust_env=not _is_loopback(base_url),
        verify=verify,
    )


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")
