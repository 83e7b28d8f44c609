"""Which machine gets a request: a decision over the machines of one app as they are now.

The order follows Fly Proxy (docs, "Dynamic request routing" and "Autostop/autostart"): a forced instance or nothing; a
preferred one if it is well; else the least busy that is well; else wait for one that is coming; else wake one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto


class Readiness(Enum):
    READY = auto()
    """Started, and every check that counts for routing passes."""
    COMING = auto()
    """On its way: starting, being replaced, or started and not checked yet."""
    ASLEEP = auto()
    """Stopped, and may be started by a request."""
    OUT = auto()
    """Not to be used: failing, stopped for good, cordoned, or being destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    machine_id: str
    readiness: Readiness
    load: int
    """Requests under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the request itself says about its machine. Empty text means nothing."""

    forced: str = ""
    preferred: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    machine_id: str
    preferred_missed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Look again when something has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    machine_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """No machine for this request; the code is one of Fly Proxy's (docs, "Error codes")."""

    code: str
    message: str


Decision = Send | Hold | Wake | Nobody


def decide(candidates: Sequence[Candidate], demand: Demand) -> Decision:
    if demand.forced:
        candidates = [one for one in candidates if one.machine_id == demand.forced]
        if not candidates:
            return Nobody(code="PR02", message=f"machine not found: {demand.forced}")
    by_readiness = {kind: [one for one in candidates if one.readiness is kind] for kind in Readiness}
    if ready := by_readiness[Readiness.READY]:
        return _send(ready, demand.preferred)
    if by_readiness[Readiness.COMING]:
        return Hold()
    if asleep := by_readiness[Readiness.ASLEEP]:
        return Wake(machine_id=_wanted(asleep, demand.preferred).machine_id)
    if candidates:
        return Nobody(code="PR01", message="no known healthy instances found for route")
    return Nobody(code="PR03", message="could not find a good candidate within 1 attempts at load balancing")


def _send(ready: Sequence[Candidate], preferred: str) -> Send:
    chosen = _wanted(ready, preferred)
    return Send(machine_id=chosen.machine_id, preferred_missed=preferred not in {"", chosen.machine_id})


def _wanted(candidates: Sequence[Candidate], preferred: str) -> Candidate:
    return min(candidates, key=lambda one: (one.machine_id != preferred, one.load, one.machine_id))
