"""The port: a pass goes in, the right statuses stand at GitHub, and no failure comes out."""

import math
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from reconciler.core.actions import Pass
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import Cause, Revision, ServerState, ServerStatus, Trigger
from reconciler.errors import EnvironmentFault
from reconciler.loop.ports import Reporter
from reconciler.report.outbox import Outbox
from reconciler.report.reporter import GitHubReporter, NullReporter
from reconciler.report.stores import MemoryOutboxStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FIRST = Revision(commit="b" * 40, branch="main", source="https://github.com/acme/fleet")
SECOND = Revision(commit="c" * 40, branch="main", source="https://github.com/acme/fleet")
READY = ServerStatus(server="time", state=ServerState.READY)
STARTING = ServerStatus(server="time", state=ServerState.STARTING)
FAILED = ServerStatus(server="time", state=ServerState.FAILED, cause=Cause.CRASH_LOOP, detail="exit code 1")


def finished(revision, *statuses: ServerStatus, applied=None, problems=()):
    return Pass(
        number=1,
        trigger=Trigger.COMMIT,
        started_at=NOW,
        finished_at=NOW,
        revision=revision,
        applied_revision=applied or revision,
        statuses=statuses,
        problems=problems,
    )


@pytest.fixture
def outbox(service, clock):
    return Outbox(service, MemoryOutboxStore(), clock)


@pytest.fixture
def told(outbox, clock):
    """Reports a pass and lets the outbox finish."""
    reporter = GitHubReporter(outbox, public_url="https://c.dev")

    async def tell(one):
        await reporter.report(one)
        while (delay_s := await outbox.step()) < math.inf:
            clock.forward(delay_s)

    return tell


async def test_a_commit_goes_from_pending_to_success(told, github):
    await told(finished(FIRST, STARTING))
    await told(finished(FIRST, READY))
    await told(finished(FIRST, READY))
    assert github.states("catwalk/health", FIRST.commit) == ["pending", "success"]
    assert github.states("catwalk/sync", FIRST.commit) == ["success"]
    assert github.posted[0]["target_url"] == f"https://c.dev/revisions/{FIRST.commit}"


async def test_a_commit_is_pending_before_anything_is_done_for_it(outbox, clock, github):
    reporter = GitHubReporter(outbox, public_url="https://c.dev")
    # The servers run well as the commit before asked for; that says nothing about this one.
    await reporter.begin(finished(FIRST, READY))
    wanted = [(letter.wanted.context, letter.wanted.state.value) for letter in await outbox.letters()]
    assert wanted == [("catwalk/sync", "pending"), ("catwalk/health", "pending")]


async def test_repairs_say_nothing_about_a_commit_that_was_applied(outbox, told):
    await told(finished(FIRST, READY))
    before = [letter.wanted for letter in await outbox.letters()]
    await GitHubReporter(outbox).begin(finished(FIRST, READY))
    assert [letter.wanted for letter in await outbox.letters()] == before


async def test_a_beginning_that_cannot_be_told_stops_nobody(service, clock):
    class Lost(MemoryOutboxStore):
        async def save(self, _letters):
            raise EnvironmentFault("disk-full", "no room")

    with capture_logs() as logs:
        await GitHubReporter(Outbox(service, Lost(), clock)).begin(finished(FIRST, READY))
    assert [line["event"] for line in logs] == ["report_failed"]


async def test_a_server_that_recovers_is_told_so(told, github):
    for verdict in (FAILED, STARTING, READY):
        await told(finished(FIRST, verdict))
    assert github.states("catwalk/health/time", FIRST.commit) == ["failure", "pending", "success"]


async def test_a_newer_commit_ends_the_wait_of_an_older_one(told, github):
    await told(finished(FIRST, STARTING))
    await told(finished(SECOND, STARTING))
    await told(finished(SECOND, READY))
    last = [one for one in github.posted if one["sha"] == FIRST.commit and one["context"] == "catwalk/health"][-1]
    assert (last["state"], last["description"]) == ("pending", "superseded by ccccccc")
    assert github.states("catwalk/health", FIRST.commit) == ["pending", "pending"]


async def test_a_refused_commit_fails_while_the_old_one_stays_healthy(told, github):
    problem = Problem(code="unknown-key", message="unknown key `pakage`", remedy=Remedy.FIX_SOURCE)
    await told(finished(FIRST, READY))
    await told(finished(SECOND, READY, applied=FIRST, problems=(problem,)))
    assert github.states("catwalk/sync", SECOND.commit) == ["failure"]
    assert github.states("catwalk/health", FIRST.commit) == ["success"]
    assert github.states("catwalk/health", SECOND.commit) == []


class FullStore(MemoryOutboxStore):
    async def save(self, _):
        raise EnvironmentFault("database-failed", "the disk is full")


async def test_reporting_never_fails_a_pass(service, clock):
    outbox = Outbox(service, FullStore(), clock)
    with capture_logs() as told:
        await GitHubReporter(outbox).report(finished(FIRST, READY))
    assert [line["event"] for line in told] == ["report_failed"]


async def test_there_may_be_nowhere_to_report_to():
    reporter: Reporter = NullReporter()
    assert await reporter.report(finished(FIRST, READY)) is None


async def test_reporting_to_github_is_the_same_port(outbox):
    reporter: Reporter = GitHubReporter(outbox)
    await reporter.report(finished(FIRST, READY))
    assert len(await outbox.letters()) == 2
