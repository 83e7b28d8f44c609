"""Package checks that are remembered for a while, so that a pass does not ask a registry what it just answered.

A version that exists stays; one that does not exist may be published in a minute; a registry that does not answer may
be back sooner. The answers are kept for as long as each is likely to hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reconciler.core.package_rules import PackageFacts, package_findings
from reconciler.core.problems import Problem, Remedy
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Program, ServerSpec
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Clock, PackageCatalog

KEEP_FOUND: Final = timedelta(hours=1)
KEEP_MISSING: Final = timedelta(minutes=1)
KEEP_UNANSWERED: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class _Answer:
    problem: Problem | None
    release: Release | None
    good_until: datetime


class PackageChecks:
    """The catalog with a memory. Answers are kept by package, version and executable."""

    def __init__(self, catalog: PackageCatalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._answers: dict[tuple[PackageReference, str], _Answer] = {}

    async def check(self, spec: ServerSpec) -> Problem | None:
        """What stands against the program of a server; none when it can start.

        Besides what the registry says it is judged by the lock and by the variables that it is known to need. A problem
        whose remedy is to wait says nothing about the package: the registry did not answer.
        """
        known = await self._known(spec)
        if known.problem is not None and known.problem.remedy is not Remedy.WAIT and not _replaced(known.problem, spec):
            return known.problem
        unanswered = known.problem if known.problem is not None and known.problem.remedy is Remedy.WAIT else None
        return next(self._judged(spec, known.release), unanswered)

    def _judged(self, spec: ServerSpec, release: Release | None) -> Iterator[Problem]:
        findings = package_findings(spec, PackageFacts(release=release), self._clock.now())
        return (finding.problem for finding in findings if finding.is_error)

    async def _known(self, spec: ServerSpec) -> _Answer:
        if not isinstance(spec.package, PackageReference):
            # A commit, a folder and an image say by themselves what runs, and no registry knows them.
            return _Answer(None, None, self._clock.now())
        key = (spec.package, spec.entrypoint)
        known = self._answers.get(key)
        if known is None or known.good_until <= self._clock.now():
            known = await self._ask(spec.package, spec.entrypoint)
            self._answers[key] = known
        return known

    def forget_others(self, specs: tuple[ServerSpec, ...]) -> None:
        """Drops the answers that no server asks for any more, so that the memory does not grow with the history."""
        wanted: set[tuple[Program, str]] = {(spec.package, spec.entrypoint) for spec in specs}
        self._answers = {key: answer for key, answer in self._answers.items() if key in wanted}

    async def _ask(self, package: PackageReference, entrypoint: str) -> _Answer:
        try:
            release = await self._catalog.check(package, entrypoint=entrypoint)
        except CatwalkError as error:
            keep = KEEP_UNANSWERED if error.problem.remedy is Remedy.WAIT else KEEP_MISSING
            return _Answer(error.problem, None, self._clock.now() + keep)
        return _Answer(None, release, self._clock.now() + KEEP_FOUND)


def _replaced(problem: Problem, spec: ServerSpec) -> bool:
    """Whether the server's own command takes the place of the executable that is missing."""
    return bool(spec.command) and problem.code == "no-executable"
