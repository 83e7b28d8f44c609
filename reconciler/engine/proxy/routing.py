"""Which machine gets a request: a decision over the machines of one app as they are now.

The order follows Fly Proxy (docs, "Dynamic request routing", "Autostop/autostart" and "Load balancing"): a forced
instance or nothing; a preferred one if it is well; else one below its soft limit, the nearest wanted region first, then
the least busy; above the soft limit the request still goes, and one more machine is started; above the hard limit it
waits. Where nobody is well, wait for one that is coming; else wake one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

ANY_REGION = "any"
"""Ends a list of regions: everywhere else is as good."""


class Readiness(Enum):
    READY = auto()
    """Started, and every check that counts for routing passes."""
    COMING = auto()
    """On its way: starting, being replaced, or started and not checked yet."""
    LEAVING = auto()
    """Being stopped; a request can start it once it has."""
    ASLEEP = auto()
    """Stopped, and may be started by a request."""
    OUT = auto()
    """Not to be used: failing, stopped for good, cordoned, or being destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a machine may be given, in the unit of its `concurrency.type`."""

    soft: int = 20
    """From here on others are preferred; Fly's default."""
    hard: int | None = None
    """From here on it gets nothing more; None is without limit, as on Fly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    machine_id: str
    readiness: Readiness
    load: int = 0
    """Requests or connections under way, whichever its limits count."""
    limits: Limits = Limits()
    region: str = ""

    @property
    def is_over_soft(self) -> bool:
        return self.load >= self.limits.soft

    @property
    def is_full(self) -> bool:
        return self.limits.hard is not None and self.load >= self.limits.hard


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the request itself, or a replay of it, says about its machine. Empty means nothing."""

    forced: str = ""
    preferred: str = ""
    regions: tuple[str, ...] = ()
    """The best first."""
    regions_only: bool = False
    """Whether a machine anywhere else is no answer."""
    excluded: str = ""
    """The machine that wants somebody else to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    machine_id: str
    preferred_missed: bool = False
    reinforcement: str = ""
    """A sleeping machine to start as well, because everyone is above the soft limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Look again when something has changed."""

    coming: frozenset[str] = frozenset()
    """The machines that are on their way. None: the request waits for room, or for a stop to end."""
    full: bool = False
    """Whether there are machines that are well, all at their hard limit."""


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
    eligible = [one for one in candidates if _is_eligible(one, demand)]
    if demand.forced and not eligible:
        return Nobody(code="PR02", message=f"machine not found: {demand.forced}")
    groups = {kind: [one for one in eligible if one.readiness is kind] for kind in Readiness}
    if not any(groups[kind] for kind in Readiness if kind is not Readiness.OUT):
        return _nobody(eligible)
    if with_room := [one for one in groups[Readiness.READY] if not one.is_full]:
        return _send(with_room, groups, demand)
    coming = frozenset(one.machine_id for one in groups[Readiness.COMING])
    if groups[Readiness.ASLEEP] and not coming:
        return Wake(machine_id=_best(groups[Readiness.ASLEEP], demand).machine_id)
    return Hold(coming=coming, full=bool(groups[Readiness.READY]))


def _is_eligible(one: Candidate, demand: Demand) -> bool:
    if one.machine_id == demand.excluded or demand.forced not in {"", one.machine_id}:
        return False
    return not demand.regions_only or ANY_REGION in demand.regions or one.region in demand.regions


def _nobody(eligible: Sequence[Candidate]) -> Nobody:
    if eligible:
        return Nobody(code="PR01", message="no known healthy instances found for route")
    return Nobody(code="PR03", message="could not find a good candidate within 1 attempts at load balancing")


def _send(with_room: Sequence[Candidate], groups: dict[Readiness, list[Candidate]], demand: Demand) -> Send:
    chosen = _best(with_room, demand)
    asleep = groups[Readiness.ASLEEP]
    more = chosen.is_over_soft and bool(asleep) and not groups[Readiness.COMING]
    return Send(
        machine_id=chosen.machine_id,
        preferred_missed=demand.preferred not in {"", chosen.machine_id},
        reinforcement=_best(asleep, demand).machine_id if more else "",
    )


def _best(candidates: Sequence[Candidate], demand: Demand) -> Candidate:
    return min(
        candidates,
        key=lambda one: (
            one.machine_id != demand.preferred,
            one.is_over_soft,
            _distance(one.region, demand.regions),
            one.load,
            one.machine_id,
        ),
    )


def _distance(region: str, wanted: tuple[str, ...]) -> int:
    return wanted.index(region) if region in wanted else len(wanted)
