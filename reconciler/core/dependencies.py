"""Which server waits for which: changes go from the ground up, removals from the top down."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from reconciler.core.fleet_index import FleetIndex
from reconciler.core.parts import Wait
from reconciler.core.remotes import RemoteProgram
from reconciler.core.removals import Leaving
from reconciler.core.standing import standing_of
from reconciler.core.types import DesiredServer, ServerSpec, Snapshot


def cycles(dependencies: Mapping[str, Collection[str]]) -> Iterator[tuple[str, ...]]:
    """Every circle of servers that wait for each other, each once, beginning with its first name in the alphabet.

    A server that is named and not a key depends on nothing.
    """
    done: set[str] = set()
    for start in sorted(dependencies):
        path: dict[str, int] = {}
        trail = [iter((start,))]
        while trail:
            name = next(trail[-1], None)
            if name is None:
                trail.pop()
                done.update(path.popitem()[:1] if path else ())
            elif name in path:
                yield _turned(list(path)[path[name] :])
            elif name not in done:
                path[name] = len(path)
                trail.append(iter(sorted(dependencies.get(name, ()))))


def _turned(circle: Sequence[str]) -> tuple[str, ...]:
    first = circle.index(min(circle))
    return (*circle[first:], *circle[:first])


class Dependencies:
    """Looks up, in one snapshot, whether the servers that others depend on are ready."""

    def __init__(self, snapshot: Snapshot, index: FleetIndex) -> None:
        self._snapshot = snapshot
        self._index = index
        self._desired = {server.spec.name: server for server in snapshot.desired}
        self._ready: dict[str, bool] = {}

    def unready(self, spec: ServerSpec) -> Wait | None:
        """What a server waits for: the first that it depends on and that is not as wanted and healthy.

        A server that went back is healthy with an earlier configuration, which is not what the others were written
        for. A suspended server is in other hands and one that is not declared cannot come: nobody waits for these.
        """
        for name in spec.depends_on:
            if name in self._index.blocked:
                return Wait(until=f"server {name}, which it depends on, can be resolved", awaits=name)
            if name in self._snapshot.gone_back:
                return Wait(until=f"server {name}, which it depends on, runs what the revision asks for", awaits=name)
            server = self._desired.get(name)
            if server is not None and self._is_waited_for(server) and not self._is_ready(server):
                return Wait(until=f"server {name}, which it depends on, is as wanted and healthy", awaits=name)
        return None

    def _is_waited_for(self, server: DesiredServer) -> bool:
        """A suspended server and a remote one are in other hands."""
        return not server.spec.suspended and not isinstance(server.spec.package, RemoteProgram)

    def dependents(self, leaving: Sequence[Leaving]) -> Mapping[str, Collection[str]]:
        """For each server that leaves, those that depended on it and still stand in its way.

        One that leaves as well stands there until it is gone, one that stays until it runs without it, which one that
        went back does not.
        """
        going = {found.server for found in leaving if not found.shared}
        former: Mapping[str, Collection[str]] = self._snapshot.former_dependencies if going else {}
        circular = {name for circle in cycles(former) for name in circle}
        found: dict[str, set[str]] = {}
        for dependent, names in former.items():
            server = self._desired.get(dependent)
            unsettled = server is not None and (dependent in self._snapshot.gone_back or not self._is_ready(server))
            stays = server is not None and not server.spec.suspended and unsettled
            if dependent not in circular and (stays or dependent in going):
                for name in going.intersection(names):
                    found.setdefault(name, set()).add(dependent)
        return found

    def _is_ready(self, server: DesiredServer) -> bool:
        name = server.spec.name
        if name not in self._ready:
            machines = self._index.ours.get(server.spec.app, ())
            self._ready[name] = standing_of(server, machines, self._snapshot.mute_machines).ready
        return self._ready[name]
