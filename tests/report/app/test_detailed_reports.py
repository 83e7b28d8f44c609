"""A pass goes in, and check runs stand at GitHub that say why, where in the manifest, and with which log."""

import math
from datetime import UTC, datetime

import pytest

from reconciler.core.actions import Create, Outcome, Pass, Plan
from reconciler.core.problems import Location, Problem, Remedy
from reconciler.core.types import (
    Cause,
    DesiredMachine,
    OutcomeKind,
    Revision,
    ServerState,
    ServerStatus,
    Trigger,
)
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.ports import LogLine
from reconciler.report.channel import AppChannel
from reconciler.report.checks import RepositoryChecks
from reconciler.report.github import RepositoryStatuses
from reconciler.report.outbox import Outbox
from reconciler.report.reporter import GitHubReporter, ReportSettings
from reconciler.report.stores import MemoryOutboxStore

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
REVISION = Revision(commit=SHA, branch="main", source="https://github.com/acme/fleet")
READY = ServerStatus(server="time", state=ServerState.READY, package="pypi:mcp-server-time@1")
FAILED = ServerStatus(server="brave", state=ServerState.FAILED, cause=Cause.MISSING_VARIABLE, detail="it ended")
MACHINE = DesiredMachine(app="acme-time", server="time", name="time-1", region="iad", config="{}", digest="d")
CREATE = Create(server="time", app="acme-time", machine=MACHINE, reason="it does not exist")
PLAN = Plan(fleet="acme", revision=REVISION, actions=(CREATE,), digest="0123456789abcdef" * 4)
LOG = ["starting ```", "Error: BRAVE_API_KEY environment variable is required", "@octocat see #1"]


def finished(*statuses: ServerStatus, trigger=Trigger.COMMIT, **more: object):
    return Pass(
        number=1, fleet="acme",
        trigger=trigger, started_at=NOW, finished_at=NOW, revision=REVISION, applied_revision=REVISION,
        statuses=statuses, **more,
    )  # fmt: skip


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def channel(app_door, installation, repository, pace, app_id):
    checks = RepositoryChecks(app_door, repository, pace, app_id=app_id)
    return AppChannel(installation, checks, RepositoryStatuses(app_door, repository))


@pytest.fixture
def outbox(channel, clock):
    return Outbox(channel, MemoryOutboxStore(), clock)


@pytest.fixture
def told(outbox, clock, asked):
    class Written:
        async def recent(self, app, *, limit):
            asked.append(app)
            if app == "acme-mute":
                raise Unavailable("logs-unavailable", "the log service does not answer")
            return [LogLine(at=NOW, machine_id="m", level="info", message=line) for line in LOG][:limit]

    settings = ReportSettings(
        public_url="https://c.dev", detailed=True, repeats=True, directory="fleets/eu", logs=Written()
    )
    reporter = GitHubReporter(outbox, settings=settings)

    async def tell(one):
        await reporter.report(one)
        while (delay_s := await outbox.step()) < math.inf:
            clock.forward(delay_s)

    return tell


@pytest.fixture
def run_of(desk):
    def find(name):
        return next(run for run in reversed(desk.runs) if run["name"] == name)

    return find


async def test_the_plan_and_what_came_of_it_stand_in_the_run(told, run_of):
    await told(finished(READY, plan=PLAN, outcomes=(Outcome(action=CREATE, kind=OutcomeKind.APPLIED),)))
    run = run_of("catwalk/sync")
    assert run["external_id"] == PLAN.digest
    assert run["details_url"] == f"https://c.dev/revisions/{SHA}"
    assert "### Plan `0123456789ab`: 1 change" in run["output"]["summary"]
    assert "- `create machine time-1 in iad`: `it does not exist`" in run["output"]["summary"]
    assert "| `time` | `create machine time-1 in iad` | done |" in run["output"]["text"]


async def test_a_problem_marks_its_line_of_the_manifest(told, desk, run_of):
    place = Location(file="catwalk.yaml", line=7, column=3)
    problem = Problem(
        code="unknown-key", message="unknown key `pakage`", hint="did you mean `package`?", location=place
    )
    elsewhere = Problem(code="no-token", message="no token", remedy=Remedy.FIX_ENVIRONMENT)
    await told(finished(READY, problems=(problem, elsewhere)))
    run = run_of("catwalk/sync")
    assert run["conclusion"] == "failure"
    assert desk.annotations[run["id"]] == [
        {
            "path": "fleets/eu/catwalk.yaml",
            "start_line": 7,
            "end_line": 7,
            "annotation_level": "failure",
            "message": "unknown key `pakage` (did you mean `package`?)",
            "title": "unknown-key",
        }
    ]


async def test_an_unwell_server_shows_its_log_and_the_line_that_matters(told, run_of):
    await told(finished(READY, FAILED))
    for name in ("catwalk/health", "catwalk/health/brave"):
        text = run_of(name)["output"]["text"]
        assert "**missing-variable**: `Error: BRAVE_API_KEY environment variable is required`" in text
        assert "````text\nstarting ```\n" in text, "a fence in the log does not end the block"
        assert text.rstrip().endswith("````")
    assert "| `time` | ready |" in run_of("catwalk/health")["output"]["summary"]


async def test_logs_are_read_only_for_what_is_news(told, asked):
    await told(finished(READY, FAILED))
    await told(finished(READY, FAILED))
    await told(finished(READY))
    assert asked == ["acme-brave"]


async def test_a_log_that_cannot_be_read_is_left_out(told, run_of):
    mute = ServerStatus(server="mute", state=ServerState.FAILED, cause=Cause.CRASH_LOOP, detail="exit code 1")
    await told(finished(mute))
    assert run_of("catwalk/health/mute")["conclusion"] == "failure"
    assert not run_of("catwalk/health/mute")["output"]["text"]


async def test_a_press_on_re_run_makes_new_runs_though_nothing_changed(told, desk):
    await told(finished(READY))
    await told(finished(READY))
    assert len(desk.runs) == 2
    await told(finished(READY, trigger=Trigger.COMMAND))
    assert sorted(run["name"] for run in desk.runs) == ["catwalk/health"] * 2 + ["catwalk/sync"] * 2


async def test_an_app_without_checks_writes_statuses(told, desk, github):
    desk.permissions = {"statuses": "write", "metadata": "read"}
    github.tokens |= {f"ghs_{number:036d}" for number in range(1, 3)}
    await told(finished(READY))
    assert github.states("catwalk/sync", SHA) == ["success"]
    assert desk.runs == []


async def test_an_app_that_may_write_nothing_is_told_what_it_lacks(outbox, desk, channel):
    desk.permissions = {"metadata": "read"}
    with pytest.raises(EnvironmentFault, match="Checks: write"):
        await channel.statuses(SHA)


async def test_a_huge_plan_still_fits(told, run_of):
    plan = Plan(fleet="acme", revision=REVISION, actions=(CREATE,) * 5000, digest="d" * 64)
    outcomes = (Outcome(action=CREATE, kind=OutcomeKind.APPLIED),) * 5000
    await told(finished(READY, plan=plan, outcomes=outcomes))
    output = run_of("catwalk/sync")["output"]
    assert max(len(output["summary"].encode()), len(output["text"].encode())) <= 65_535
    assert "more lines_" in output["summary"]
