"""When to ask a server for an MCP answer, and what it answered last.

A probe is a call like any other: sent through the proxy it counts as traffic and would keep a machine awake for ever.
So a server is probed when it has something to prove: a new version, a restart, a check that failed since, or a probe
that went unanswered. A server that never sleeps is also probed again now and then. What sleeps is never woken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import structlog

from reconciler.core.remotes import RemoteProgram
from reconciler.core.types import IdleAction, MachineState, ObservedMachine, ProbeResult, ServerSpec
from reconciler.core.verdict import needs_probe
from reconciler.loop.concurrency import each
from reconciler.loop.faults import problems_of, stack_of
from reconciler.loop.ports import Clock, Prober
from reconciler.loop.setup import PassSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

REMOTE_MISSES: Final = 3
"""After so many lost answers in a row a remote server counts as failed."""

Life: TypeAlias = frozenset[tuple[str, str, datetime | None, int]]
"""Which runs of which versions of which machines an answer came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    life: Life
    result: ProbeResult
    at: datetime
    witness: str
    """The machine that was asked."""
    misses: int = 0
    """How many times in a row a remote server has not answered."""


class Probes:
    """The newest MCP answer of every server."""

    def __init__(self, prober: Prober, clock: Clock, settings: PassSettings) -> None:
        self._prober = prober
        self._clock = clock
        self._settings = settings
        self._proofs: dict[str, _Proof] = {}

    async def refresh(self, servers: Sequence[tuple[ServerSpec, tuple[ObservedMachine, ...]]]) -> None:
        """Probes the servers that have something to prove, and forgets what is no longer so."""
        for spec, machines in servers:
            self._drop_outdated(spec, machines)
        due = [(spec, machines) for spec, machines in servers if self._due(spec, machines)]
        await each(due, self._probe, limit=self._settings.probes_at_once)
        known = {spec.app for spec, _ in servers}
        self._proofs = {app: proof for app, proof in self._proofs.items() if app in known}

    def result(self, spec: ServerSpec) -> ProbeResult | None:
        """The newest answer of the version that exists now; none when there is none yet."""
        proof = self._proofs.get(spec.app)
        return proof.result if proof is not None else None

    @property
    def mute_machines(self) -> frozenset[str]:
        """Machines whose checks pass and that gave no MCP answer: no other machine is given up for one of them."""
        return frozenset(
            proof.witness for proof in self._proofs.values() if proof.witness and not proof.result.answered
        )

    def _drop_outdated(self, spec: ServerSpec, machines: tuple[ObservedMachine, ...]) -> None:
        proof = self._proofs.get(spec.app)
        if proof is not None and (proof.life != _life(machines) or _unwell(machines)):
            del self._proofs[spec.app]

    def _due(self, spec: ServerSpec, machines: tuple[ObservedMachine, ...]) -> bool:
        if spec.suspended or not (isinstance(spec.package, RemoteProgram) or needs_probe(machines)):
            return False
        proof = self._proofs.get(spec.app)
        if proof is None or not proof.result.answered or proof.misses:
            return True
        again = timedelta(seconds=self._settings.probe_again_s)
        return (
            isinstance(spec.package, RemoteProgram) or _never_sleeps(spec)
        ) and self._clock.now() - proof.at >= again

    async def _probe(self, server: tuple[ServerSpec, tuple[ObservedMachine, ...]]) -> None:
        spec, machines = server
        witness = _witness(machines)
        try:
            result = await self._prober.probe(spec.app, machine_id=witness)
        except Exception as error:  # noqa: BLE001  # A probe that breaks says nothing about the other servers.
            log.error("probe-crashed", server=spec.name, fault=type(error).__name__, stack=stack_of(error))
            result = ProbeResult(answered=False, problem=problems_of(error)[0].message)
        proof = _Proof(life=_life(machines), result=result, at=self._clock.now(), witness=witness)
        self._proofs[spec.app] = (
            _patiently(self._proofs.get(spec.app), proof) if isinstance(spec.package, RemoteProgram) else proof
        )


def _patiently(last: _Proof | None, proof: _Proof) -> _Proof:
    """A remote server is reached over the Internet: one lost answer makes it doubtful, three in a row make it failed.

    Doubtful is told as an answer with a problem: what it offered before is still what is known of it.
    """
    misses = 0 if proof.result.answered else (last.misses if last is not None else 0) + 1
    if misses and misses < REMOTE_MISSES and last is not None and last.result.answered:
        doubtful = replace(last.result, problem=proof.result.problem)
        return replace(proof, result=doubtful, misses=misses)
    return replace(proof, misses=misses)


def _witness(machines: Sequence[ObservedMachine]) -> str:
    """Which machine must answer: one of those that the verdict is about, not the old version beside it."""
    return min((machine.id for machine in machines if needs_probe([machine])), default="")


def _unwell(machines: Sequence[ObservedMachine]) -> bool:
    awake = any(machine.state is MachineState.STARTED for machine in machines)
    return awake and not needs_probe(machines)


def _never_sleeps(spec: ServerSpec) -> bool:
    return spec.scale.minimum > 0 or spec.scale.idle is IdleAction.KEEP


def _life(machines: Sequence[ObservedMachine]) -> Life:
    """Waking from sleep keeps a life; an update, a replacement, and a crash with its restart begin a new one."""
    return frozenset(_run(machine) for machine in machines)


def _run(machine: ObservedMachine) -> tuple[str, str, datetime | None, int]:
    last = machine.last_exit
    crashed = last is not None and not last.requested
    if last is None or not crashed:
        return (machine.id, machine.instance_id, None, 0)
    return (machine.id, machine.instance_id, last.occurred_at, last.restart_count)
