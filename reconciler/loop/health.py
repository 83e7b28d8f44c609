"""The health window: verdicts on servers that are coming up, and whether another look is worth the wait.

The window ends early when something wakes the loop, because a newer commit or a crash elsewhere must not wait for a
slow install. Nothing is lost by that: the next pass goes on watching whatever has not arrived. A server that has been
on its way for longer than its grace is not watched any more; the health ticks still look at it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from reconciler.core.types import ServerSpec, ServerStatus
from reconciler.core.verdict import settling
from reconciler.loop.desired import Desired
from reconciler.loop.probes import Probes
from reconciler.loop.progress import ServerChanged, ServerRemoved
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.verdicts import Scene, by_server, judge_all, machines_by_app, speaking


class HealthWindow:
    """Passes verdicts on the fleet and remembers the last ones."""

    def __init__(self, ports: Ports, settings: PassSettings) -> None:
        self._ports = ports
        self._settings = settings
        self._probes = Probes(ports.prober, ports.clock, settings)
        self._statuses: dict[str, ServerStatus] | None = None

    async def last(self) -> Mapping[str, ServerStatus]:
        """The last verdicts by server; after a restart those that the memory kept.

        What was on its way when the last process ended begins anew: its patience was that process's.
        """
        if self._statuses is None:
            remembered = await self._ports.memory.statuses()
            self._statuses = by_server(status for status in remembered if not settling(status))
        return self._statuses

    async def look(self, scene: Scene) -> tuple[ServerStatus, ...]:
        """The verdicts of now: told to listeners where they are new, and remembered."""
        machines = machines_by_app(scene.desired, scene.observation)
        servers = [(server.spec, speaking(server, machines)) for server in scene.desired.servers]
        await self._probes.refresh(servers)
        statuses = judge_all(scene, self._probes, now=self._ports.clock.now())
        self._tell(statuses, await self.last())
        self._statuses = by_server(statuses)
        return statuses

    @property
    def mute_machines(self) -> frozenset[str]:
        """Machines that pass their checks and did not answer MCP."""
        return self._probes.mute_machines

    def _tell(self, statuses: tuple[ServerStatus, ...], last: Mapping[str, ServerStatus]) -> None:
        for status in statuses:
            previous = last.get(status.server)
            if previous is None or _shown(status) != _shown(previous):
                self._ports.progress.on_event(ServerChanged(status=status, previous=previous))
        for server in sorted(last.keys() - by_server(statuses).keys()):
            self._ports.progress.on_event(ServerRemoved(server=server))

    def worth_waiting(self, desired: Desired, statuses: Sequence[ServerStatus]) -> bool:
        """Whether some server is on its way and has patience left."""
        specs = {server.spec.name: server.spec for server in desired.servers}
        return any(self._is_coming(status, specs[status.server]) for status in statuses)

    def _is_coming(self, status: ServerStatus, spec: ServerSpec) -> bool:
        since: datetime = status.since or self._ports.clock.now()
        patience = timedelta(seconds=spec.health.grace_s + self._settings.window_margin_s)
        return settling(status) and self._ports.clock.now() - since < patience


def _shown(status: ServerStatus) -> tuple[object, ...]:
    """What people are told of. A change may be in place before anybody looks: then its version alone tells of it."""
    return (status.state, status.cause, status.detail, status.package, status.revision)
