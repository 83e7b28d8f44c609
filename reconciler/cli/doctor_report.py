"""What `catwalk doctor` finds out, as values: one check, one answer, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.problems import Problem


class Health(StrEnum):
    """How a check ended."""

    GOOD = "good"
    ABSENT = "absent"
    """Not set up, and not needed for what works on this machine alone."""
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One answer."""

    subject: str
    """What was looked at, in a word or two."""
    health: Health
    found: str
    """What is there, without any secret."""
    fix: str = ""

    def record(self) -> dict[str, object]:
        """The shape of `--json`."""
        return {"subject": self.subject, "health": self.health.value, "found": self.found, "fix": self.fix or None}


def good(subject: str, found: str) -> Checked:
    """All is well."""
    return Checked(subject=subject, health=Health.GOOD, found=found)


def absent(subject: str, found: str, fix: str = "") -> Checked:
    """Not there, which may be meant so."""
    return Checked(subject=subject, health=Health.ABSENT, found=found, fix=fix)


def failed(subject: str, problem: Problem, *, health: Health = Health.BAD) -> Checked:
    """What a door said."""
    place = f"{problem.location}: " if problem.location else ""
    return Checked(subject=subject, health=health, found=f"{place}{problem.message}", fix=problem.hint)
