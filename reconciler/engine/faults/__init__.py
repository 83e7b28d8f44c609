"""Faults on purpose: rules that make the engine fail the way the platform is known to fail.

    faults = Faults([Rule(effect=LostAnswer(), method="POST", route="/v1/apps/{app}/machines", times=1)])
    async with run_engine(settings, faults=faults) as engine:
        ...
        assert faults.fired() == 1

A rule says when (`Rule`) and what (one of the effects). Rules are values; `Faults` holds them, counts how often each
acted, and lists every time it did. They act at the edges of the engine: on a call before and after it is carried out
(`door`), on the moment a machine is told to move (`held`), and on what a health check says (`flapping`). The code that
clients are proven against stays free of them.
"""

from reconciler.engine.faults.book import Faults, Firing
from reconciler.engine.faults.effects import (
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
    ServerError,
    SlowBody,
    StuckTransition,
    TimedOut,
    TruncatedBody,
    UnreachableHost,
)
from reconciler.engine.faults.rules import Rule

__all__ = [
    "ClockJump",
    "Conflict",
    "ConflictReason",
    "Effect",
    "Faults",
    "Firing",
    "FlappingChecks",
    "ForeignLease",
    "InsufficientCapacity",
    "LostAnswer",
    "LostCookie",
    "ManifestUnknown",
    "PreconditionFailed",
    "PreconditionReason",
    "RateLimited",
    "Rule",
    "ServerError",
    "SlowBody",
    "StuckTransition",
    "TimedOut",
    "TruncatedBody",
    "UnreachableHost",
]
