"""When a fault acts: what a rule says about a call or a machine, as decisions over values."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, assert_never

from pydantic import ConfigDict, Field

from reconciler.engine.faults.effects import (
    STRICT,
    ClockJump,
    Conflict,
    Effect,
    FlappingChecks,
    ForeignLease,
    InsufficientCapacity,
    LostAnswer,
    LostCookie,
    ManifestUnknown,
    PreconditionFailed,
    RateLimited,
    ServerError,
    SlowBody,
    StuckTransition,
    TimedOut,
    TruncatedBody,
    UnreachableHost,
)

CREATE = "/v1/apps/{app}/machines"
MACHINE = "/v1/apps/{app}/machines/{machine}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The machine that something is about. Empty text is unknown."""

    app: str = ""
    machine_id: str = ""
    machine_name: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the API, as rules see it."""

    method: str
    path: str
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault and when it acts. What is left empty matches everything; all that is given must match."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Effect
    method: str = ""
    route: str = ""
    """`/v1/apps/{app}/machines/{machine}/lease`: a part in braces and `*` take any one part, a `**` at the end the
    rest."""
    app: str = ""
    """A name, or a pattern with `*` and `?`."""
    machine: str = ""
    """An id or a name, or a pattern; on a create the name that is asked for."""
    region: str = ""
    """Of the machine; on a create the one that is asked for."""
    nth: Annotated[int, Field(ge=1)] = 1
    """The first matching occasion that it acts on; earlier ones pass."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How often it acts; None is until it is removed."""
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of acting on an occasion that matches."""
    seed: int = 0
    """The same seed makes the same choices."""


def matches_call(rule: Rule, call: Call) -> bool:
    """Whether a call is an occasion for the rule."""
    return (
        rule.method.upper() in {"", call.method}
        and (not rule.route or on_route(rule.route, call.path))
        and matches_subject(rule, call.subject)
        and concerns(rule, call)
    )


def matches_subject(rule: Rule, subject: Subject) -> bool:
    """Whether a machine (or what a call says of one) is among those that the rule is about."""
    return (
        _fits(rule.app, subject.app)
        and _fits(rule.region, subject.region)
        and (_fits(rule.machine, subject.machine_id) or _fits(rule.machine, subject.machine_name))
    )


def concerns(rule: Rule, call: Call) -> bool:
    """Whether the effect can happen to such a call at all."""
    changes = call.method != "GET"
    match rule.effect:
        case (
            TimedOut()
            | ServerError()
            | LostAnswer()
            | RateLimited()
            | TruncatedBody()
            | SlowBody()
            | LostCookie()
            | ClockJump()
        ):
            return True
        case Conflict() | PreconditionFailed():
            return changes
        case InsufficientCapacity():
            return is_create(call)
        case ManifestUnknown():
            return is_create(call) or is_update(call)
        case ForeignLease():
            return bool(call.subject.machine_id)
        case StuckTransition() | FlappingChecks() | UnreachableHost():
            # These act on machines, not on calls as such.
            return False
        case _:
            assert_never(rule.effect)


def is_create(call: Call) -> bool:
    return call.method == "POST" and on_route(CREATE, call.path)


def is_update(call: Call) -> bool:
    return call.method == "POST" and on_route(MACHINE, call.path)


def on_route(route: str, path: str) -> bool:
    wanted, parts = route.split("/"), path.split("/")
    if wanted[-1] == "**":
        wanted, parts = wanted[:-1], parts[: len(wanted) - 1]
    return len(wanted) == len(parts) and all(map(_part_fits, wanted, parts))


def _part_fits(wanted: str, part: str) -> bool:
    return wanted in {part, "*"} or (wanted.startswith("{") and wanted.endswith("}"))


def _fits(pattern: str, text: str) -> bool:
    return not pattern or fnmatchcase(text, pattern)


def path_variables(path: str) -> Mapping[str, str]:
    """`app` and `machine` of a path, where it has them."""
    parts = path.split("/")
    app = parts[3] if len(parts) > 3 and parts[2] == "apps" else ""
    machine = parts[5] if len(parts) > 5 and app and parts[4] == "machines" else ""
    return {"app": app, "machine": machine}
