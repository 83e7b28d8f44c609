"""Keeps the gateway's routes in step with the fleet.

A server gets its route with its first verdict and loses it when it leaves the fleet. A sleeping or failing one keeps
it: the proxy in front of its machines wakes it, and its own answer explains more than a missing route would.
"""

from gateway.relay import OutsideRules
from gateway.routing import RouteTable, Upstream
from reconciler.cli.remote_servers import RemoteServers
from reconciler.fly.probe import DataPath
from reconciler.loop.progress import PassFinished, PlanMade, ProgressEvent, ServerChanged, ServerRemoved


class RouteKeeper:
    """Listens to passes and replaces the routes."""

    def __init__(self, routes: RouteTable, data_path: DataPath, remotes: RemoteServers | None = None) -> None:
        """`remotes` are the servers that have no machines, and routes of their own."""
        self._routes = routes
        self._data_path = data_path
        self._remotes = remotes or RemoteServers(OutsideRules())
        self._remotes.on_change = self._publish
        self._fleet = ""
        self._servers: set[str] = set()

    def remember(self, fleet: str, servers: set[str]) -> None:
        """Begins with what an earlier process knew, so that calls get through before the first pass is done."""
        self._fleet, self._servers = fleet, set(servers)
        self._publish()

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case PlanMade():
                self._fleet = event.plan.fleet
            case ServerChanged():
                self._servers.add(event.status.server)
            case ServerRemoved():
                self._servers.discard(event.server)
            case PassFinished():
                self._fleet = event.finished.fleet or self._fleet
                self._servers |= {status.server for status in event.finished.statuses}
            case _:
                return
        self._publish()

    def _publish(self) -> None:
        if self._fleet:
            routes = (self._route(server) for server in self._servers)
            self._routes.replace(route for route in routes if route is not None)

    def _route(self, server: str) -> Upstream | None:
        if self._remotes.is_remote(server):
            return self._remotes.upstream(server)
        app = f"{self._fleet}-{server}"
        authority = f"{app}.flycast"
        host = self._data_path.host or authority
        return Upstream(server=server, app=app, host=host, port=self._data_path.port, authority=authority)
