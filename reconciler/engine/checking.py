"""Health checks of one running machine: which there are, when each is made, and what is published.

Names are the platform's: `servicecheck-00-http-8080` for the checks of services, counted over all services; top-level
checks keep their own. Within the grace period a failure is not published, because it says nothing yet; a pass is. Until
the first pass a check is made more often than its interval, because somebody waits for it.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.engine import durations
from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.config import Check, MachineConfig
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import CheckResult, CheckStatus, Machine
from reconciler.engine.runtime import Probe, ProbeKind, Run
from reconciler.engine.settings import Timings

DEFAULT_INTERVAL_S = 15.0
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_GRACE_S = 1.0
SHORTEST_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCheck:
    name: str
    probe: Probe
    interval_s: float
    grace_s: float
    routes: bool
    """Whether the proxy sends no requests to the machine while it fails."""


def checks_of(config: MachineConfig) -> tuple[NamedCheck, ...]:
    """Every check that a configuration asks for, in the platform's order."""
    return (*_service_checks(config), *_top_checks(config))


def _service_checks(config: MachineConfig) -> Iterator[NamedCheck]:
    pairs = [(service, check) for service in config.services or () for check in service.checks or ()]
    for index, (service, check) in enumerate(pairs):
        kind = check.type or "tcp"
        name = f"servicecheck-{index:02d}-{kind}-{check.port or service.internal_port}"
        yield _named(name, check, routes=True)


def _top_checks(config: MachineConfig) -> Iterator[NamedCheck]:
    for name, check in (config.checks or {}).items():
        yield _named(name, check, routes=check.kind == "readiness")


def _named(name: str, check: Check, *, routes: bool) -> NamedCheck:
    headers = tuple((header.name, value) for header in check.headers or () for value in header.values)
    probe = Probe(
        kind=ProbeKind(check.type or "tcp"),
        method=check.method or "GET",
        path=check.path or "/",
        headers=headers,
        timeout_s=_seconds(check.timeout, DEFAULT_TIMEOUT_S),
    )
    return NamedCheck(
        name=name,
        probe=probe,
        interval_s=max(_seconds(check.interval, DEFAULT_INTERVAL_S), SHORTEST_INTERVAL_S),
        grace_s=_seconds(check.grace_period, DEFAULT_GRACE_S),
        routes=routes,
    )


def _seconds(text: str | None, default_s: float) -> float:
    return default_s if text is None else durations.seconds(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """Makes the checks of machines and publishes what they say."""

    inventory: Inventory
    clock: Clock
    timings: Timings

    async def watch(self, machine: Machine, run: Run) -> None:
        """Checks until it is cancelled."""
        async with asyncio.TaskGroup() as rounds:
            for check in checks_of(machine.config):
                rounds.create_task(self._repeat(machine, run, check))

    async def _repeat(self, machine: Machine, run: Run, check: NamedCheck) -> None:
        began_ns = self.clock.now_ns()
        never = asyncio.Event()
        passed = False
        while True:
            answer = await run.probe(check.probe)
            passed = passed or answer.status is CheckStatus.PASSING
            in_grace = self.clock.now_ns() - began_ns < check.grace_s * NANOSECONDS
            if answer.status is CheckStatus.PASSING or not in_grace or passed:
                self._publish(machine, check, answer.status, answer.output)
            pause_s = check.interval_s if passed else min(check.interval_s, self.timings.startup_check_interval_s)
            await self.clock.wait(never, pause_s)

    def _publish(self, machine: Machine, check: NamedCheck, status: CheckStatus, output: str) -> None:
        result = CheckResult(name=check.name, status=status, output=output, updated_ns=self.clock.now_ns())
        self.inventory.put_check(machine, result)
