"""How states look: a word, a shape and a colour each, so that no state is told by colour alone.

Shapes are names of symbols in `templates/shapes.html`, tones are colour classes in `assets/catwalk.css`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.core.audit import AuditKind, AuditResult
from reconciler.core.types import OutcomeKind, ServerState


@dataclass(frozen=True, slots=True)
class Appearance:
    shape: str
    tone: str
    meaning: str
    """For the tooltip and the legend."""


STATES: Final[dict[str, Appearance]] = {
    ServerState.FAILED: Appearance("cross", "bad", "does not run"),
    ServerState.DEGRADED: Appearance("warning", "warn", "runs, but something is wrong"),
    ServerState.HELD: Appearance("hold", "warn", "the old configuration runs because the new one is refused"),
    ServerState.PENDING: Appearance("dots", "busy", "has no machine yet"),
    ServerState.INSTALLING: Appearance("arrow", "busy", "installs its package"),
    ServerState.STARTING: Appearance("arrow", "busy", "starts"),
    ServerState.READY: Appearance("check", "good", "answered over MCP when it was last asked"),
    ServerState.IDLE: Appearance("moon", "calm", "sleeps and wakes on the next call"),
    ServerState.SUSPENDED: Appearance("pause", "quiet", "the manifest suspends it"),
}
"""In the order in which people want to read them: trouble first."""

OUTCOMES: Final[dict[str, Appearance]] = {
    OutcomeKind.APPLIED: Appearance("check", "good", "done"),
    OutcomeKind.ADOPTED: Appearance("check", "good", "found done by an earlier attempt"),
    OutcomeKind.FAILED: Appearance("cross", "bad", "tried without success"),
    OutcomeKind.SKIPPED: Appearance("pause", "quiet", "not tried"),
}

UNTRIED: Final = Appearance("dots", "quiet", "not tried yet")


def outcome_appearance(outcome: str | None) -> Appearance:
    """How the outcome of an action looks, also when there is none."""
    return UNTRIED if outcome is None else OUTCOMES[outcome]


AUDIT_RESULTS: Final[dict[str, Appearance]] = {
    AuditResult.OK: Appearance("check", "good", "it was answered"),
    AuditResult.REFUSED: Appearance("hold", "warn", "it was not allowed, or wrong as a request"),
    AuditResult.FAILED: Appearance("cross", "bad", "the server gave no answer"),
    AuditResult.LEFT: Appearance("pause", "quiet", "the caller did not wait for the answer"),
}


def audit_appearance(result: str) -> Appearance:
    """How a result of the audit looks."""
    return AUDIT_RESULTS[result]


def audit_words(kind: str, method: str) -> str:
    """What was done, in words that precede the name of a tool."""
    match AuditKind(kind):
        case AuditKind.CALL:
            return "called" if method == "tools/call" else method
        case AuditKind.TRY:
            return "tried from its page"
        case AuditKind.PRUNE:
            return "agreed to a removal"
        case AuditKind.SIGN_IN:
            return f"sign-in at the {method}"


def milliseconds(length_ms: float) -> str:
    """`0.4 ms`, `12 ms`, `1.5 s`."""
    if length_ms >= 1000:
        return f"{length_ms / 1000:.1f} s"
    return f"{length_ms:.0f} ms" if length_ms >= 10 else f"{length_ms:.1f} ms"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago `moment` was, in one unit: `12 s`, `3 min`, `5 h`, `2 d`; empty when it is unknown."""
    if moment is None:
        return ""
    return duration((now - moment).total_seconds())


def duration(length_s: float) -> str:
    """A length of time in one unit, cut off: `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0, int(length_s))
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds // length} {unit}"
    return f"{seconds // 86_400} d"


def dollars(amount: float) -> str:
    """`$1.23`; `<$0.01` for less than a cent, because it is not nothing."""
    return "<$0.01" if 0 < amount < 0.005 else f"${amount:.2f}"


def clock_time(moment: datetime) -> str:
    """`2026-11-24 06:28:28 UTC`, for tooltips and logs."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
