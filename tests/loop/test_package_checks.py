"""What a pass makes of what registries and locks say: what blocks a server, what waits, how long it is known."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.locked import LockDuty, LockedProgram
from reconciler.core.problems import Problem, Remedy
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Registry, ServerSpec
from reconciler.errors import CatwalkError, SourceError, Unavailable
from reconciler.loop.packages import KEEP_FOUND, KEEP_UNANSWERED, PackageChecks

PACKAGE = PackageReference(registry=Registry.NPM, name="acme-tool", version="1.0.0")
RELEASE = Release(package=PACKAGE, executables={"acme-tool": "cli.js"}, files={"acme-tool-1.0.0.tgz": "sha512-AAAA"})
LOCKED = LockedProgram(program="npm:acme-tool", version="1.0.0", files={"acme-tool-1.0.0.tgz": "sha512-AAAA"})


@dataclass
class Catalog:
    """Answers with a release or a failure, and counts."""

    answer: Release | CatwalkError | None = RELEASE
    asked: int = 0

    async def check(self, reference: PackageReference, *, entrypoint: str = "") -> Release | None:
        del reference, entrypoint
        self.asked += 1
        if isinstance(self.answer, CatwalkError):
            raise self.answer
        return self.answer


@dataclass
class Clock:
    time: datetime = field(default=datetime(2026, 11, 24, tzinfo=UTC))

    def now(self) -> datetime:
        return self.time


def spec(package: PackageReference = PACKAGE, **fields: object) -> ServerSpec:
    return ServerSpec(fleet="acme", name="tool", package=package, **fields)  # type: ignore[arg-type]


async def found(answer: Release | CatwalkError | None, server: ServerSpec) -> Problem | None:
    return await PackageChecks(Catalog(answer), Clock()).check(server)


@pytest.mark.parametrize(
    ("answer", "server", "code"),
    [
        (RELEASE, spec(), ""),
        (None, spec(), ""),
        (RELEASE, spec(locked=LOCKED), ""),
        (RELEASE, spec(lock_duty=LockDuty.EXPECTED), ""),
        (Release(package=PACKAGE, deprecated="use other"), spec(), ""),
        (RELEASE, spec(lock_duty=LockDuty.REQUIRED), "not-locked"),
        (
            Release(package=PACKAGE, files={"acme-tool-1.0.0.tgz": "sha512-B"}),
            spec(locked=LOCKED),
            "integrity-mismatch",
        ),
        (SourceError("version-not-found", "no"), spec(), "version-not-found"),
        (SourceError("no-executable", "no"), spec(), "no-executable"),
        (SourceError("no-executable", "no"), spec(command=("node", "x.js")), ""),
        (
            None,
            spec(PackageReference(registry=Registry.NPM, name="@modelcontextprotocol/server-gitlab", version="1.0.0")),
            "missing-variable",
        ),
    ],
    ids=[
        *("well", "nothing known", "locked", "not locked", "deprecated", "lock required", "other content"),
        *("no version", "library", "own command", "variable"),
    ],
)
async def test_what_blocks_a_server(answer: Release | CatwalkError | None, server: ServerSpec, code: str) -> None:
    problem = await found(answer, server)
    assert (problem.code if problem else "") == code


async def test_a_registry_that_is_down_waits_and_hides_no_lock_that_is_wrong() -> None:
    down = Unavailable("registry-unavailable", "no answer")
    waiting = await found(down, spec())
    assert waiting is not None
    assert waiting.remedy is Remedy.WAIT
    outdated = await found(down, spec(locked=LockedProgram(program="npm:acme-tool", version="2.0.0")))
    assert outdated is not None
    assert outdated.code == "lock-outdated"


@pytest.mark.parametrize(
    ("answer", "lasting"),
    [(RELEASE, KEEP_FOUND), (Unavailable("registry-unavailable", "no"), KEEP_UNANSWERED)],
    ids=["found", "unanswered"],
)
async def test_answers_are_known_for_a_while(answer: Release | CatwalkError, lasting: timedelta) -> None:
    catalog, clock = Catalog(answer), Clock()
    checks = PackageChecks(catalog, clock)
    for _ in range(3):
        await checks.check(spec())
    assert catalog.asked == 1
    clock.time += lasting
    await checks.check(spec())
    assert catalog.asked == 2
    checks.forget_others(())
    await checks.check(spec())
    assert catalog.asked == 3
