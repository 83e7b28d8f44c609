"""Connections to registries, whose hosts are looked up once for all of them.

Fifty packages are asked for at two or three hosts, over many connections at once. Left alone, every connection looks
its host up by itself, all of them in the few threads that the event loop has for that; a resolver that loses one answer
waits five seconds for it (resolv.conf(5), `timeout`), and everybody behind it waits too. Here one lookup serves all who
want it, in a thread of its own, and is asked for a second time when the answer takes long. Addresses are remembered;
that a host was not found is not, because it may be a fault of the moment.
"""

import socket
import ssl
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import anyio
import anyio.abc
import anyio.to_thread
import httpcore
import httpx

PATIENCE_S: Final = 1.0
"""After which a lookup is asked for once more beside the first; resolvers answer within a tenth of that."""
ASKED: Final = 3
"""How often at most."""
NEXT_ADDRESS_S: Final = 1.0
"""After which the next address of a host is tried (RFC 8305 has a quarter of a second, and tries them side by side)."""

Address = str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a lookup found. Without an address it serves those alone who waited for it."""

    addresses: tuple[Address, ...]
    ended_s: float


class LookedUpOnce(httpcore.AsyncNetworkBackend):
    """Opens connections; knows the addresses of every host that it ever connected to."""

    def __init__(self) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        self._asked: dict[str, _Answer] = {}
        self._turns: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is the library's.
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that takes one; `timeout` in seconds is for each of the two steps.

        Raises:
            httpcore.ConnectError: the host is unknown, or none of its addresses answers.
            httpcore.ConnectTimeout: nobody answers in time.
        """
        *others, last = await self._addresses(host, timeout)
        for address in others:
            patience_s = NEXT_ADDRESS_S if timeout is None else min(timeout, NEXT_ADDRESS_S)
            try:
                return await self._inner.connect_tcp(address, port, patience_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def _addresses(self, host: str, timeout_s: float | None) -> tuple[Address, ...]:
        came_s = anyio.current_time()
        try:
            with anyio.fail_after(timeout_s):
                async with self._turns[host]:
                    known = self._asked.get(host)
                    if known is None or not (known.addresses or known.ended_s >= came_s):
                        known = _Answer(addresses=await _look_up(host), ended_s=anyio.current_time())
                        self._asked[host] = known
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} was not looked up in time") from error
        if not known.addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        return known.addresses


async def _look_up(host: str) -> tuple[Address, ...]:
    """The first answer; nothing for a host that does not exist."""
    answers: list[tuple[Address, ...]] = []

    async def ask(group: anyio.abc.TaskGroup) -> None:
        answers.append(await anyio.to_thread.run_sync(_resolve, host, abandon_on_cancel=True))
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(ASKED):
            group.start_soon(ask, group)
            await anyio.sleep(PATIENCE_S)
    return answers[0]


def _resolve(host: str) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return ()
    return tuple(dict.fromkeys(str(address[4][0]) for address in found))


class RegistryTransport(httpx.AsyncHTTPTransport):
    """The ordinary transport, but for its lookups. Behind a proxy it is the proxy that looks hosts up, and httpx takes
    a transport of its own for that.
    """

    def __init__(self, *, verify: ssl.SSLContext, most_connections: int) -> None:
        super().__init__(verify=verify)
        # httpx has no place to say how hosts are looked up, the pool beneath it has.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=most_connections,
            max_keepalive_connections=most_connections,
            keepalive_expiry=30.0,
            network_backend=LookedUpOnce(),
        )


__all__ = ["LookedUpOnce", "RegistryTransport"]
