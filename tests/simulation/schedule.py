"""What happens in a run, made up from its seed: a list of words, each of which can be read and done again."""

from dataclasses import dataclass
from random import Random
from typing import Final

from reconciler.core.types import Trigger
from reconciler.engine.faults import (
    ClockJump,
    Conflict,
    ConflictReason,
    Effect,
    FlappingChecks,
    ForeignLease,
    InsufficientCapacity,
    LostAnswer,
    LostCookie,
    ManifestUnknown,
    PreconditionFailed,
    PreconditionReason,
    RateLimited,
    Rule,
    ServerError,
    SlowBody,
    StuckTransition,
    TimedOut,
    TruncatedBody,
    UnreachableHost,
)
from tests.simulation.fleetfile import Fleetfile, changed, made_up

MOST_STEPS: Final = 14
MOST_CHANGES: Final = 16
"""Of a pass that may be killed at one of them."""
_APP, _MACHINE = "/v1/apps/{app}", "/v1/apps/{app}/machines/{machine}"
READS: Final = (
    "/v1/apps",
    "/v1/orgs/{org}/machines",
    f"{_APP}/ip_assignments",
    f"{_APP}/secrets",
    f"{_APP}/machines",
    _MACHINE,
    f"{_MACHINE}/wait",
    f"{_MACHINE}/lease",
)
CREATE: Final = ("POST", f"{_APP}/machines")
UPDATE: Final = ("POST", _MACHINE)
AT_MACHINES: Final = (
    UPDATE,
    ("DELETE", _MACHINE),
    ("POST", f"{_MACHINE}/lease"),
    ("DELETE", f"{_MACHINE}/lease"),
    ("POST", f"{_MACHINE}/stop"),
    ("POST", f"{_MACHINE}/start"),
    ("POST", f"{_MACHINE}/cordon"),
    ("POST", f"{_MACHINE}/uncordon"),
)
CHANGES: Final = (
    ("POST", "/v1/apps"),
    ("DELETE", _APP),
    ("POST", f"{_APP}/ip_assignments"),
    ("POST", f"{_APP}/secrets"),
    CREATE,
    CREATE,
    UPDATE,
    *AT_MACHINES,
)
CALLS: Final = (("", ""), *CHANGES, *(("GET", route) for route in READS))
TRIGGERS: Final = (Trigger.COMMIT, Trigger.POLL, Trigger.HEALTH, Trigger.HEALTH, Trigger.COMMAND, Trigger.START)
VERBS: Final = {
    "pass": 24,
    "commit": 18,
    "fault": 22,
    "kill": 9,
    "heal": 5,
    "time": 7,
    "restart": 4,
    "crash": 4,
    "sleep": 3,
    "meddle": 4,
    "stranger": 2,
    "clock": 2,
    "source": 2,
    "github": 3,
    "registry": 1,
    "secrets": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    verb: str
    choice: int = 0
    """What chooses among what is there when the step comes."""
    seconds: float = 0.0
    trigger: Trigger = Trigger.POLL
    fleet: Fleetfile | None = None
    """What is committed; none is a file that cannot be read."""
    rule: Rule | None = None
    before: bool = False

    def __str__(self) -> str:
        match self.verb:
            case "pass":
                return f"pass {self.trigger}"
            case "commit":
                return f"commit {'; '.join(map(str, self.fleet)) if self.fleet else 'a broken file'}"
            case "fault":
                return f"fault {self.rule}"
            case "kill":
                when = "before" if self.before else "after"
                return f"kill {when} change {self.choice % MOST_CHANGES + 1} of pass {self.trigger}"
            case "time" | "clock":
                return f"{self.verb} {self.seconds:+.0f} s"
            case _:
                return f"{self.verb} {self.choice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    seed: int
    first: Fleetfile
    steps: tuple[Step, ...]
    last: Fleetfile
    """What is committed at the end, when nothing disturbs any more."""
    lag_s: float


def schedule(seed: int) -> Schedule:
    """The same for the same seed."""
    chance = Random(f"schedule {seed}")
    fleet = first = made_up(chance)
    steps: list[Step] = []
    for _ in range(chance.randint(4, MOST_STEPS)):
        step = _step(fleet, chance)
        if step.verb == "commit" and step.fleet is not None:
            fleet = step.fleet
        steps.append(step)
        if step.verb == "commit":
            steps.append(_after_commit(chance))
    last = changed(fleet, chance, ill=0.3)
    return Schedule(seed=seed, first=first, steps=tuple(steps), last=last, lag_s=chance.choice((0, 0, 0, 2, 8)))


def _after_commit(chance: Random) -> Step:
    """A commit is looked at soon, by a process that may be killed at it."""
    if chance.random() < 0.35:
        return Step(verb="kill", choice=chance.randrange(24), trigger=Trigger.COMMIT, before=chance.random() < 0.5)
    return Step(verb="pass", trigger=Trigger.COMMIT)


def _step(fleet: Fleetfile, chance: Random) -> Step:
    verb = chance.choices(list(VERBS), weights=list(VERBS.values()))[0]
    step = Step(verb=verb, choice=chance.randrange(1_000_000), trigger=chance.choice(TRIGGERS))
    match verb:
        case "commit":
            wanted = None if chance.random() < 0.15 else changed(fleet, chance, ill=0.3)
            return Step(verb=verb, fleet=wanted)
        case "fault":
            return Step(verb=verb, rule=_rule(fleet, chance))
        case "kill":
            return Step(verb=verb, choice=step.choice, trigger=step.trigger, before=chance.random() < 0.5)
        case "time":
            return Step(verb=verb, seconds=chance.choice((1, 5, 15, 60, 120, 300)))
        case "clock":
            return Step(verb=verb, seconds=chance.choice((-3600, -90, -5, 5, 90, 3600)))
        case _:
            return step


def _rule(fleet: Fleetfile, chance: Random) -> Rule:
    effect = _effect(chance)
    name = chance.choice(fleet).name
    if isinstance(effect, StuckTransition | FlappingChecks | UnreachableHost):
        machine = f"{name}-*" if chance.random() < 0.7 else ""
        return Rule(effect=effect, machine=machine, nth=chance.choice((1, 1, 2, 5)))
    method, route = chance.choice(_calls(effect))
    lasting = chance.random() < 0.3
    return Rule(
        effect=effect,
        method=method,
        route=route,
        app=f"acme-{name}" if "{app}" in route and chance.random() < 0.3 else "",
        nth=chance.choice((1, 1, 1, 2, 3)),
        times=None if lasting else chance.randint(1, 4),
        probability=chance.choice((1.0, 0.5, 0.2)) if lasting else 1.0,
        seed=chance.randrange(1000),
    )


def _calls(effect: Effect) -> tuple[tuple[str, str], ...]:
    """Calls that an effect can happen to."""
    match effect:
        case InsufficientCapacity():
            return (CREATE,)
        case ManifestUnknown():
            return (CREATE, UPDATE)
        case ForeignLease():
            return AT_MACHINES
        case Conflict() | PreconditionFailed():
            return CHANGES
        case _:
            return CALLS


def _effect(chance: Random) -> Effect:
    makers = (
        lambda: TimedOut(committed=chance.random() < 0.7),
        lambda: TimedOut(committed=True),
        lambda: ServerError(status=chance.choice((500, 502, 503, 504)), committed=chance.random() < 0.5),
        lambda: LostAnswer(committed=chance.random() < 0.7),
        lambda: LostAnswer(committed=True),
        lambda: Conflict(reason=chance.choice(list(ConflictReason))),
        lambda: PreconditionFailed(reason=chance.choice(list(PreconditionReason))),
        InsufficientCapacity,
        RateLimited,
        ManifestUnknown,
        lambda: TruncatedBody(keep=chance.choice((0.0, 0.3, 0.9))),
        lambda: SlowBody(pause_s=chance.choice((0.1, 1.0, 8.0)), pieces=chance.choice((2, 6))),
        lambda: StuckTransition(state=chance.choice(("created", "starting", "stopping", "replacing", "destroying"))),
        UnreachableHost,
        lambda: ForeignLease(ttl_s=chance.choice((5.0, 60.0, 600.0))),
        lambda: FlappingChecks(passing=chance.choice((0, 1, 3)), critical=chance.choice((1, 2))),
        LostCookie,
        lambda: ClockJump(seconds=chance.choice((-5.0, 5.0, 30.0, 600.0))),
    )
    return chance.choice(makers)()
