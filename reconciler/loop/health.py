"""The health window: looks at servers that are coming up until they have arrived, or their time is over.

The window ends early when something wakes the loop, because a newer commit or a crash elsewhere must not wait for a
slow install. Nothing is lost by that: the next pass goes on watching whatever has not arrived. A server that has been
on its way for longer than its grace is not watched any more; the health ticks still look at it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import anyio

from reconciler.core.types import Observation, ServerSpec, ServerStatus
from reconciler.core.verdict import settling
from reconciler.errors import CatwalkError
from reconciler.loop.probes import Probes
from reconciler.loop.progress import ServerChanged, ServerRemoved
from reconciler.loop.setup import PassSettings, Ports
from reconciler.loop.verdicts import Scene, by_server, judge_all, machines_by_app


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

    async def watch(self, scene: Scene, woken: anyio.Event) -> tuple[ServerStatus, ...]:
        """Looks until every server has arrived, its time is over, or `woken` is set; the last verdicts come back."""
        statuses = await self._look(scene)
        specs = {server.spec.name: server.spec for server in scene.desired.servers}
        while any(self._worth_waiting(status, specs[status.server]) for status in statuses):
            if await self._ports.pause(woken, self._settings.look_again_s):
                break
            scene = replace(scene, observation=await self._observe_again(scene), previous=await self.last())
            statuses = await self._look(scene)
        return statuses

    async def _observe_again(self, scene: Scene) -> Observation:
        """One look that fails in the middle of the window is no news about the servers."""
        try:
            return await self._ports.fleet.observe()
        except CatwalkError:
            return scene.observation

    async def _look(self, scene: Scene) -> tuple[ServerStatus, ...]:
        machines = machines_by_app(scene.desired, scene.observation)
        servers = [(server.spec, machines.get(server.spec.app, ())) for server in scene.desired.servers]
        await self._probes.refresh(servers)
        statuses = judge_all(scene, self._probes, now=self._ports.clock.now())
        self._tell(statuses, await self.last())
        self._statuses = by_server(statuses)
        return statuses

    def _tell(self, statuses: tuple[ServerStatus, ...], last: Mapping[str, ServerStatus]) -> None:
        for status in statuses:
            previous = last.get(status.server)
            if previous is None or _shown(status) != _shown(previous):
                self._ports.progress.on_event(ServerChanged(status=status, previous=previous))
        for server in sorted(last.keys() - by_server(statuses).keys()):
            self._ports.progress.on_event(ServerRemoved(server=server))

    def _worth_waiting(self, status: ServerStatus, spec: ServerSpec) -> bool:
        since: datetime = status.since or self._ports.clock.now()
        patience = timedelta(seconds=spec.health.grace_s + self._settings.window_margin_s)
        return settling(status) and self._ports.clock.now() - since < patience


def _shown(status: ServerStatus) -> tuple[object, ...]:
    return (status.state, status.cause, status.detail)
