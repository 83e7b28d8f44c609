"""What a pass says on which commit: tables and properties, no I/O."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import Deferred, Held, Outcome, Pass, Plan, Start
from reconciler.core.problems import Location, Problem, Remedy
from reconciler.core.types import Cause, OutcomeKind, Revision, ServerState, ServerStatus, Trigger
from reconciler.report.statuses import MOST_SERVER_CONTEXTS, StatusState, commit_statuses, superseded

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NEW = Revision(commit="b" * 40, branch="main", source="https://github.com/acme/fleet")
OLD = Revision(commit="a" * 40, branch="main", source="https://github.com/acme/fleet")
WORKTREE = Revision(commit="worktree:0123456789abcdef", branch="main", source="/srv/fleet")


def finished(**more: object):
    base = {
        "number": 1,
        "trigger": Trigger.COMMIT,
        "started_at": NOW,
        "finished_at": NOW,
        "revision": NEW,
        "applied_revision": NEW,
    }
    return Pass(**{**base, **more})


def server(name, state, cause=None, detail=""):
    return ServerStatus(server=name, state=state, cause=cause, detail=detail)


READY = server("time", ServerState.READY)
IDLE = server("wiki", ServerState.IDLE)
STARTING = server("memory", ServerState.STARTING)
CRASHED = server("weather", ServerState.FAILED, Cause.CRASH_LOOP, "the process ended with exit code 1")
SUSPENDED = server("linear", ServerState.SUSPENDED)
START = Start(server="weather", app="acme-weather", machine_id="m1", reason="it stopped")


def problem(remedy, message="broken", **more: object):
    return Problem(code="broken", message=message, remedy=remedy, **more)


PLACED = problem(
    Remedy.FIX_SOURCE,
    "unknown key `pakage`",
    location=Location(file="catwalk.yaml", line=12, column=5),
    hint="package?",
)
FAILED = Outcome(action=START, kind=OutcomeKind.FAILED, problem=problem(Remedy.FIX_ENVIRONMENT, "no room in ams"))
SKIPPED = Outcome(action=START, kind=OutcomeKind.SKIPPED)
HELD_PLAN = Plan(
    fleet="acme",
    revision=NEW,
    actions=(),
    held=(Held(server="old", summary="destroy app acme-old", reason="confirm the prune"),),
)
WAITING = (
    Deferred(action=START, until="machine weather-1 is healthy", awaits="weather"),
    Deferred(action=START, until="machine weather-2 is healthy", awaits="weather"),
)
BACKING_OFF = (Deferred(action=START, until="12:00:05 UTC, because it failed once", not_before=NOW),)
EMPTY_PLAN = Plan(fleet="acme", revision=NEW, actions=())

SYNC_CASES = [
    pytest.param({"statuses": (READY, IDLE)}, "success", "2 servers as declared", id="all applied"),
    pytest.param({"statuses": (READY,)}, "success", "1 server as declared", id="one server"),
    pytest.param({"problems": (PLACED,), "applied_revision": OLD}, "failure",
                 "catwalk.yaml:12:5: unknown key `pakage` (package?)", id="manifest refused"),
    pytest.param({"problems": (problem(Remedy.WAIT), PLACED)}, "failure",
                 "catwalk.yaml:12:5: unknown key `pakage` (package?) (+1 more)", id="the source's fault comes first"),
    pytest.param({"problems": (problem(Remedy.FIX_ENVIRONMENT, "no age key"),)}, "error", "no age key", id="no key"),
    pytest.param({"problems": (problem(Remedy.REPORT, "a bug"),)}, "error", "a bug", id="our fault"),
    pytest.param({"problems": (problem(Remedy.WAIT, "Fly does not answer"),)}, "pending", "Fly does not answer",
                 id="outage"),
    pytest.param({"outcomes": (FAILED,)}, "error", "no room in ams", id="action failed"),
    pytest.param({"outcomes": (FAILED, FAILED)}, "error", "no room in ams", id="the same problem is told once"),
    pytest.param({"outcomes": (SKIPPED,)}, "pending", "being applied", id="interrupted"),
    pytest.param({"waiting": WAITING}, "pending",
                 "rolling out weather: next when machine weather-1 is healthy (+1 more)", id="in stages"),
    pytest.param({"waiting": BACKING_OFF}, "pending", "rolling out weather: tried again soon", id="backing off"),
    pytest.param({"applied_revision": OLD}, "pending", "being applied", id="not in force yet"),
    pytest.param({"applied_revision": None}, "pending", "being applied", id="nothing in force yet"),
    pytest.param({"plan": HELD_PLAN}, "pending", "held: destroy app acme-old: confirm the prune", id="held"),
]  # fmt: skip


@pytest.mark.parametrize(("pass_fields", "state", "description"), SYNC_CASES)
def test_sync_tells_whether_the_commit_is_applied(pass_fields, state, description):
    sync = next(one for one in commit_statuses(finished(**pass_fields)) if one.context == "catwalk/sync")
    assert (sync.sha, sync.state, sync.description) == (NEW.commit, state, description)


HEALTH_CASES = [
    pytest.param((READY, IDLE, SUSPENDED), "success", "3/3 healthy", id="well"),
    pytest.param((READY, STARTING), "pending", "starting: memory (1/2 healthy)", id="coming up"),
    pytest.param((READY, STARTING, CRASHED), "failure",
                 "crash-loop in weather: the process ended with exit code 1 (1/3 healthy)", id="failure first"),
    pytest.param((server("a", ServerState.DEGRADED),), "failure", "degraded in a (0/1 healthy)", id="without cause"),
    pytest.param((server("a", ServerState.HELD, Cause.SOURCE, "no version 2"),), "failure",
                 "source in a: no version 2 (0/1 healthy)", id="held"),
]  # fmt: skip


@pytest.mark.parametrize(("statuses", "state", "description"), HEALTH_CASES)
def test_health_tells_whether_servers_answer(statuses, state, description):
    health = next(one for one in commit_statuses(finished(statuses=statuses)) if one.context == "catwalk/health")
    assert (health.state, health.description) == (state, description)


@pytest.mark.parametrize("state", list(ServerState))
def test_only_servers_that_are_unwell_get_a_context(state):
    contexts = {one.context for one in commit_statuses(finished(statuses=(server("a", state),)))}
    unwell = state in {ServerState.DEGRADED, ServerState.FAILED, ServerState.HELD}
    assert ("catwalk/health/a" in contexts) is unwell


def test_health_stands_on_the_revision_in_force_and_sync_on_the_newest():
    told = commit_statuses(finished(applied_revision=OLD, statuses=(READY,), problems=(PLACED,)))
    assert {(one.context, one.sha) for one in told} == {("catwalk/sync", NEW.commit), ("catwalk/health", OLD.commit)}


def test_a_pass_that_saw_no_server_says_nothing_of_health():
    told = commit_statuses(finished(problems=(problem(Remedy.WAIT),)))
    assert [one.context for one in told] == ["catwalk/sync"]


def test_an_empty_fleet_is_healthy():
    told = {one.context: one for one in commit_statuses(finished(plan=EMPTY_PLAN))}
    assert told["catwalk/health"].description == "no servers are declared"


def test_a_server_that_the_commit_suspends_holds_nothing_up():
    suspended = Held(server=SUSPENDED.server, summary="left as it is", reason="the manifest suspends it")
    other = replace(suspended, server="another", reason="its host does not answer")
    for held, state in (((suspended,), "success"), ((suspended, other), "pending")):
        told = commit_statuses(finished(statuses=(SUSPENDED,), plan=replace(EMPTY_PLAN, held=held)))
        assert next(one.state for one in told if one.context == "catwalk/sync") == state


def test_uncommitted_files_have_no_commit_to_write_on():
    assert commit_statuses(finished(revision=WORKTREE, applied_revision=WORKTREE, statuses=(READY,))) == ()


def test_a_source_that_cannot_be_read_leaves_only_health():
    told = commit_statuses(finished(revision=None, statuses=(READY,), problems=(problem(Remedy.WAIT),)))
    assert [one.context for one in told] == ["catwalk/health"]


RECOVERY_CASES = [
    pytest.param((READY,), "catwalk/health/time", "success", "well again", id="well again"),
    pytest.param((STARTING,), "catwalk/health/memory", "pending", "coming up again", id="coming up"),
    pytest.param((READY,), "catwalk/health/gone", "success", "no longer declared", id="removed"),
]


@pytest.mark.parametrize(("statuses", "context", "state", "description"), RECOVERY_CASES)
def test_a_failure_that_was_told_is_resolved(statuses, context, state, description):
    told = commit_statuses(finished(statuses=statuses), reported={context, "catwalk/health", "other/check"})
    found = next(one for one in told if one.context == context)
    assert (found.state, found.description) == (state, description)


def test_links_lead_to_the_revision_page_and_its_server():
    told = {one.context: one for one in commit_statuses(finished(statuses=(CRASHED,)), public_url="https://c.dev/")}
    page = f"https://c.dev/revisions/{NEW.commit}"
    assert told["catwalk/sync"].target_url == page
    assert told["catwalk/health/weather"].target_url == f"{page}#server-weather"


def test_an_outage_of_the_whole_fleet_does_not_flood_the_commit():
    many = tuple(server(f"s{number:03}", ServerState.FAILED) for number in range(500))
    assert len(commit_statuses(finished(statuses=many))) == 2 + MOST_SERVER_CONTEXTS


def test_a_superseded_status_stays_pending_and_says_by_what():
    pending = commit_statuses(finished(applied_revision=None))[0]
    assert superseded(pending, by=OLD).description == "superseded by aaaaaaa"
    assert superseded(pending, by=OLD).state is StatusState.PENDING


ANY_SERVER = st.builds(
    ServerStatus,
    server=st.from_regex(r"[a-z]{1,12}", fullmatch=True),
    state=st.sampled_from(list(ServerState)),
    cause=st.none() | st.sampled_from(list(Cause)),
    detail=st.text(max_size=400),
)
ANY_PROBLEM = st.builds(
    Problem, code=st.just("x"), message=st.text(max_size=400), remedy=st.sampled_from(list(Remedy)), hint=st.text()
)
SOME_SERVERS = st.lists(ANY_SERVER, max_size=6, unique_by=lambda status: status.server).map(tuple)


@given(SOME_SERVERS, st.lists(ANY_PROBLEM, max_size=3).map(tuple))
def test_every_description_fits_on_one_line_of_140_characters(statuses, problems):
    for one in commit_statuses(finished(statuses=statuses, problems=problems)):
        assert len(one.description) <= 140
        assert one.description.splitlines() in ([one.description], [])


@given(SOME_SERVERS, st.randoms())
def test_the_order_of_servers_does_not_matter(statuses, random):
    shuffled = list(statuses)
    random.shuffle(shuffled)
    assert set(commit_statuses(finished(statuses=statuses))) == set(commit_statuses(finished(statuses=tuple(shuffled))))


@given(SOME_SERVERS)
def test_health_succeeds_only_when_every_server_is_well(statuses):
    told = {one.context: one for one in commit_statuses(finished(statuses=statuses, plan=EMPTY_PLAN))}
    well = all(one.state in {ServerState.READY, ServerState.IDLE, ServerState.SUSPENDED} for one in statuses)
    assert (told["catwalk/health"].state is StatusState.SUCCESS) is well
