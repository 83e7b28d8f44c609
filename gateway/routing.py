"""Which server names exist, and where their machines are reached.

The table is the only thing that the control plane tells the data plane. It is replaced as a whole, so that a request
sees one state or the next and never a mixture, and every state has a generation number: whoever remembers a decision
that was made from the table remembers the number beside it and forgets the decision when the number moves on. The
table refuses two routes of one name. It holds no health: a sleeping or failing server keeps its route, because the
proxy in front of its machines wakes it and its own answer explains more than ours could.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.remote import RemoteSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where the machines of one server are reached over plain HTTP."""

    server: str
    """The name in `/servers/{name}/mcp`."""
    app: str
    """The Fly app that runs it: `acme-time`."""
    host: str
    """What to connect to: a Flycast name, or a loopback address when the embedded engine stands in for it."""
    port: int
    authority: str
    """The `Host` header, by which Flycast and the engine's proxy find the app: `acme-time.flycast`."""
    path: str = "/mcp"
    remote: RemoteSide | None = None
    """Of a server that somebody else runs; None for one with machines of its own."""


class DuplicateRoute(ValueError):
    """Two routes claim one server name."""


class RouteTable:
    """The routes of the moment. Replaced from the event loop's thread, read from it, never edited."""

    def __init__(self, routes: Iterable[Upstream] = ()) -> None:
        self._by_server: Mapping[str, Upstream] = MappingProxyType({})
        self._names: tuple[str, ...] = ()
        self._generation = 0
        self.replace(routes)

    @property
    def generation(self) -> int:
        """Grows with every replacement that changed something."""
        return self._generation

    def replace(self, routes: Iterable[Upstream]) -> None:
        """Put a new set of routes in place of the old one, at once and as a whole.

        Raises:
            DuplicateRoute: two of them have one name; the old routes stay.
        """
        by_server = _index(routes)
        if by_server != self._by_server:
            self._by_server = MappingProxyType(by_server)
            self._names = tuple(sorted(by_server))
            self._generation += 1

    def find(self, server: str) -> Upstream | None:
        """The route of that server, or None where there is no such server."""
        return self._by_server.get(server)

    @property
    def servers(self) -> tuple[str, ...]:
        """The names of all servers, in order."""
        return self._names

    def __len__(self) -> int:
        return len(self._by_server)


def _index(routes: Iterable[Upstream]) -> dict[str, Upstream]:
    by_server: dict[str, Upstream] = {}
    for route in routes:
        if route.server in by_server:
            raise DuplicateRoute(f"two routes are called {route.server!r}: {by_server[route.server].app}, {route.app}")
        by_server[route.server] = route
    return by_server
