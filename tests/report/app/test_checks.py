"""Check runs behind the outbox: each change is told once, also where answers get lost and processes die."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.errors import Unavailable
from reconciler.report.checks import RepositoryChecks
from reconciler.report.details import Annotation, CheckDetails
from reconciler.report.letters import MOST_POSTS
from reconciler.report.outbox import Outbox
from reconciler.report.statuses import CommitStatus, StatusState, superseded
from reconciler.report.stores import MemoryOutboxStore

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
MARK = Annotation(path="catwalk.yaml", line=3, message="unknown key", title="unknown-key")


def status(state="pending", context="catwalk/sync", description="being applied", **more: object):
    return CommitStatus(sha=SHA, context=context, state=StatusState(state), description=description, **more)


@pytest.fixture
def checks(app_door, repository, pace, app_id):
    return RepositoryChecks(app_door, repository, pace, app_id=app_id)


@pytest.fixture
def outbox(checks, clock):
    return Outbox(checks, MemoryOutboxStore(), clock)


@pytest.fixture
def settle(clock):
    async def until_nothing_is_due(outbox, *, steps=300):
        for _ in range(steps):
            delay_s = await outbox.step()
            if delay_s == math.inf:
                return
            clock.forward(delay_s)
        raise AssertionError("the outbox does not settle")

    return until_nothing_is_due


async def test_a_run_goes_from_in_progress_to_completed(outbox, desk, settle):
    await outbox.want([status()])
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["in_progress"]
    await outbox.want([status("success", description="3 servers as declared")])
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["success"]
    assert desk.runs[0]["output"]["title"] == "3 servers as declared"


@pytest.mark.parametrize(
    ("state", "conclusion"), [("success", "success"), ("failure", "failure"), ("error", "action_required")]
)
async def test_each_state_has_its_conclusion_and_is_read_back(checks, desk, state, conclusion):
    wanted = status(state, target_url="https://c.dev/revisions/a1")
    await checks.post(wanted)
    assert desk.states("catwalk/sync") == [conclusion]
    assert list(await checks.statuses(SHA)) == [wanted]


async def test_what_changes_after_the_end_is_a_new_run(outbox, desk, settle):
    for state in ("success", "pending", "failure"):
        await outbox.want([status(state, description=f"now {state}")])
        await settle(outbox)
    assert desk.states("catwalk/sync") == ["success", "failure"]


async def test_a_run_that_a_newer_commit_overtook_is_cancelled(outbox, desk, settle):
    class Newer:
        short = "ccccccc"

    await outbox.want([status()])
    await settle(outbox)
    await outbox.want([superseded(status(), by=Newer())])
    await settle(outbox)
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["cancelled"]


async def test_what_was_said_is_not_repeated_by_the_next_process(
    checks, desk, settle, clock, app_door, repository, pace, app_id
):
    store = MemoryOutboxStore()
    outbox = Outbox(checks, store, clock)
    await outbox.want([status(), status("success", "catwalk/health", "1/1 healthy")])
    await settle(outbox)
    for restarted_with in (store, MemoryOutboxStore()):
        fresh = RepositoryChecks(app_door, repository, pace, app_id=app_id)
        outbox = Outbox(fresh, restarted_with, clock)
        await outbox.want([status(), status("success", "catwalk/health", "1/1 healthy")])
        await settle(outbox)
    assert [run["name"] for run in desk.runs] == ["catwalk/sync", "catwalk/health"]


async def test_an_open_run_is_completed_by_the_next_process(
    checks, desk, clock, settle, app_door, repository, pace, app_id
):
    await checks.post(status())
    fresh = RepositoryChecks(app_door, repository, pace, app_id=app_id)
    outbox = Outbox(fresh, MemoryOutboxStore(), clock)
    await outbox.want([status("failure", description="broken")])
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["failure"]


async def test_a_creation_whose_answer_was_lost_is_not_repeated(outbox, desk, github, canned, settle):
    def lose_the_answer(method, path, headers, body):
        if method != "POST" or not path.endswith("/check-runs") or desk.runs:
            return None
        desk.route(method, path, headers, body)
        return canned(502)

    github.routes.insert(0, lose_the_answer)
    await outbox.want([status("success", description="done")])
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["success"]


@pytest.mark.parametrize("code", [500, 502, 503])
@pytest.mark.parametrize("failing", range(6))
async def test_an_outage_at_any_call_ends_in_the_right_runs(outbox, desk, github, canned, settle, code, failing):
    github.faults += [None] * failing + [canned(code)] * 3
    await outbox.want([status()])
    await settle(outbox)
    await outbox.want([status("success", description="done")])
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["success"]


async def test_limits_are_honoured(outbox, desk, github, canned, settle, clock):
    github.faults += [None, None, None, canned(403, {"retry-after": "90"})]
    await outbox.want([status("success", description="done")])
    began = clock.now()
    await settle(outbox)
    assert desk.states("catwalk/sync") == ["success"]
    assert (clock.now() - began).total_seconds() >= 90


async def test_a_context_gets_no_more_runs_than_posts(outbox, desk, settle):
    for turn in range(20):
        await outbox.want([status("success" if turn % 2 else "failure", description=f"turn {turn}")])
        await settle(outbox)
    assert len(desk.runs) == MOST_POSTS
    assert desk.runs[-1]["output"]["title"].endswith("(last update here)")


async def test_annotations_come_in_batches_and_the_run_ends_with_the_last(checks, desk):
    marks = tuple(replace(MARK, line=line) for line in range(1, 128))
    details = CheckDetails(summary="s", text="t", annotations=marks, external_id="digest")
    await checks.post(status("failure", description="127 problems", details=details))
    assert [one["start_line"] for one in desk.annotations[1]] == list(range(1, 128))
    assert (desk.states("catwalk/sync"), desk.runs[0]["external_id"]) == (["failure"], "digest")
    assert len(desk.writes) == 3
    assert all(later - earlier >= 1 for earlier, later in pairwise(desk.writes))


async def test_marks_that_were_accepted_are_not_sent_again(checks, desk, github, canned):
    marks = tuple(replace(MARK, line=line) for line in range(1, 128))
    wanted = status("failure", description="many", details=CheckDetails(summary="s", annotations=marks))
    github.faults += [None, None, None, None, canned(502)]
    with pytest.raises(Unavailable):
        await checks.post(wanted)
    assert len(desk.annotations[1]) == 100
    await checks.statuses(SHA)
    await checks.post(wanted)
    assert [one["start_line"] for one in desk.annotations[1]] == list(range(1, 128))
    assert desk.states("catwalk/sync") == ["failure"]


async def test_runs_of_other_apps_are_not_ours(checks, desk):
    desk.runs.append(
        {
            "id": 900,
            "name": "catwalk/sync",
            "status": "completed",
            "conclusion": "success",
            "head_sha": SHA,
            "details_url": None,
            "external_id": "",
            "app": {"id": 1},
            "output": {"title": "x", "annotations_count": 0},
        }
    )
    assert list(await checks.statuses(SHA)) == []


async def test_a_list_longer_than_a_page_is_read_to_its_end(checks, desk, app_id):
    for number in range(1, 46):
        desk.runs.append(
            {
                "id": number,
                "name": f"catwalk/health/s{number}",
                "status": "completed",
                "conclusion": "failure",
                "head_sha": SHA,
                "details_url": None,
                "app": {"id": int(app_id)},
                "output": {"title": "x"},
            }
        )
    listed = await checks.statuses(SHA)
    assert [one.context for one in listed] == [f"catwalk/health/s{number}" for number in range(45, 0, -1)]


async def test_who_asks_again_gets_a_new_run(outbox, desk, settle):
    done = status("success", description="done")
    await outbox.want([done])
    await settle(outbox)
    await outbox.want([done])
    await settle(outbox)
    assert len(desk.runs) == 1
    for _ in range(10):
        await outbox.want([done], again=True)
        await settle(outbox)
    assert desk.states("catwalk/sync") == ["success"] * 11


async def test_details_are_no_news_and_are_not_kept_once_they_were_sent(outbox, desk, settle):
    await outbox.want([status("success", details=CheckDetails(summary="first"))])
    await settle(outbox)
    await outbox.want([status("success", details=CheckDetails(summary="second"))])
    await settle(outbox)
    assert [run["output"]["summary"] for run in desk.runs] == ["first"]
    assert [letter.wanted.details for letter in await outbox.letters()] == [None]
