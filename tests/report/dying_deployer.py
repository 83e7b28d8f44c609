"""Processes that tell of two revisions as deployments, each killed at a chosen step of it.

    python -m tests.report.dying_deployer

Lines in and out are those of `dying_sender`. Each pass that was begun is noted in a file, as the loop's store would:
the next process reports it once more.
"""

from datetime import UTC, datetime
from pathlib import Path

from reconciler.core.actions import Pass
from reconciler.core.secret import SecretValue
from reconciler.core.types import Cause, Revision, ServerState, ServerStatus, Trigger
from reconciler.loop.store import open_store
from reconciler.report.deployments import RepositoryDeployments, WithDeployments
from reconciler.report.explanations import Explanations
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.outbox import Outbox
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository
from reconciler.report.rollouts import DeploymentReporter
from reconciler.report.stores import LETTERS, ShelfOutboxStore
from tests.report.dying_sender import SHA, TOKEN, SkippingClock, SteppedConnection, SteppedShelf, Steps, main

NEXT = "b" * 40
REPOSITORY = Repository(host="github.com", owner="acme", name="fleet")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
STORY = (
    (SHA, ServerState.STARTING, None),
    (SHA, ServerState.FAILED, Cause.CRASH_LOOP),
    (SHA, ServerState.READY, None),
    (SHA, ServerState.FAILED, Cause.TIMEOUT),
    (NEXT, ServerState.STARTING, None),
    (NEXT, ServerState.READY, None),
)
EXPECTED = {SHA: ["in_progress", "failure", "success", "inactive"], NEXT: ["in_progress", "success"]}


def passes() -> list[Pass]:
    return [
        Pass(
            number=number,
            trigger=Trigger.COMMIT,
            started_at=NOW,
            finished_at=NOW,
            fleet="acme",
            revision=(revision := Revision(commit=sha, branch="main", source="https://github.com/acme/fleet")),
            applied_revision=revision,
            statuses=(ServerStatus(server="time", state=state, cause=cause),),
        )
        for number, (sha, state, cause) in enumerate(STORY)
    ]


async def deploy(state_dir: Path, url: str, steps: Steps) -> None:
    clock, told = SkippingClock(), state_dir.with_suffix(".told")
    store = await open_store(state_dir, clock)
    async with GitHub(url, PersonalToken(SecretValue(TOKEN)), clock) as github:
        github._connection.__class__ = SteppedConnection
        github._connection.steps = steps
        pace = Pace(clock, sleep=clock.sleep)
        deployments = RepositoryDeployments(github, REPOSITORY, pace, environment=lambda: "acme")
        service = WithDeployments(RepositoryStatuses(github, REPOSITORY), deployments)
        letters = ShelfOutboxStore(SteppedShelf(store.shelf(LETTERS), steps))
        outbox = Outbox(service, letters, clock, sleep=clock.sleep)
        reporter = DeploymentReporter(outbox, Explanations(None))
        for one in passes()[int(told.read_text(encoding="utf-8")) if told.exists() else 0 :]:
            told.write_text(str(one.number), encoding="utf-8")
            await reporter.begin(one)
            await reporter.report(one)
            assert await outbox.drain(timeout_s=20)
    store.close()


if __name__ == "__main__":
    main(deploy)
