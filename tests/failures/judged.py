"""How many of the recorded failures are explained by the cause that they were provoked by."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from reconciler.core.log_causes import explain
from reconciler.core.log_causes_rules import LogCause
from tests.failures.held_out import HELD_OUT
from tests.failures.later import LATER
from tests.failures.provoked import Provoked
from tests.failures.seen import SEEN

LOGS = Path(__file__).parent / "logs"
SETS = {"seen": SEEN, "held-out": HELD_OUT, "later": LATER}


def path_of(provoked: Provoked) -> Path:
    """Where its log is kept."""
    return LOGS / f"{provoked.name}.log"


def log_of(provoked: Provoked) -> list[str]:
    """What its machine said."""
    return path_of(provoked).read_text(encoding="utf-8").splitlines()


def found(provoked: Provoked) -> LogCause | None:
    """The cause that is told for it."""
    explanation = explain(log_of(provoked))
    return explanation.cause if explanation is not None else None


def right(provoked: Iterable[Provoked]) -> list[Provoked]:
    """Those that are explained rightly."""
    return [one for one in provoked if found(one) is one.cause]


def wrong(provoked: Iterable[Provoked]) -> list[str]:
    """A line for each that is not, or that has no log."""
    told: list[str] = []
    for one in provoked:
        if not path_of(one).exists():
            told.append(f"{one.name}: no log")
        elif found(one) is not one.cause:
            explanation = explain(log_of(one))
            line = explanation.line if explanation is not None else ""
            told.append(f"{one.name}: {one.cause} was told as {found(one)}: {line[:150]}")
    return told


def table() -> str:
    """A row for each cause: right of all, in each set."""
    rows = ["| provoked cause | " + " | ".join(SETS) + " |", "|---" * (len(SETS) + 1) + "|"]
    rows += [f"| `{cause}` | " + " | ".join(_cell(each, cause) for each in SETS.values()) + " |" for cause in LogCause]
    totals = [_share(each) for each in SETS.values()]
    return "\n".join([*rows, "| **all** | " + " | ".join(totals) + " |"])


def _recorded(provoked: Sequence[Provoked]) -> list[Provoked]:
    return [one for one in provoked if path_of(one).exists()]


def _cell(provoked: Sequence[Provoked], cause: LogCause) -> str:
    each = [one for one in _recorded(provoked) if one.cause is cause]
    return f"{len(right(each))} of {len(each)}" if each else "-"


def _share(provoked: Sequence[Provoked]) -> str:
    each = _recorded(provoked)
    return f"**{len(right(each))} of {len(each)} ({len(right(each)) / len(each):.0%})**" if each else "-"


def by_cause(provoked: Iterable[Provoked]) -> Counter[LogCause]:
    """How many of each cause."""
    return Counter(one.cause for one in provoked)
