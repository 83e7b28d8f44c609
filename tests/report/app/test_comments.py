"""The comment on a pull request: one, ours, up to date, and never in a stranger's words."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.core.actions import Create, CreateApp, Destroy, DestroyApp, FieldChange, Held, Plan, Update
from reconciler.core.cost import MonthlyCost
from reconciler.core.problems import Location, Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import DesiredMachine, Revision
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.ports import Proposal
from reconciler.report.checks import RepositoryChecks
from reconciler.report.comments import StickyComment
from reconciler.report.courier import Courier
from reconciler.report.outbox import Outbox
from reconciler.report.plan_report import plan_comment, plan_status
from reconciler.report.proposals import COMMENT, CommentChannel, ProposalReports
from reconciler.report.statuses import StatusState
from reconciler.report.stores import MemoryOutboxStore

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
REVISION = Revision(commit=SHA, branch="feature", source="https://github.com/acme/fleet")
MACHINE = DesiredMachine(app="acme-time", server="time", name="time-1", region="iad", config="{}", digest="d")
CREATE = Create(server="time", app="acme-time", machine=MACHINE, reason="it does not exist")
DESTROY = Destroy(server="old", app="acme-old", machine_id="m1", machine_name="old-1", reason="not declared")


def plan(*actions: Create | Destroy, **more: object):
    return Plan(fleet="acme", revision=REVISION, actions=actions, digest="0123456789abcdef" * 4, **more)


@pytest.fixture
def comment(app_door, installation, repository, pace):
    return StickyComment(app_door, repository, installation, pace, fleet="acme")


async def test_the_second_word_goes_into_the_first_comment(comment, desk):
    await comment.say(5, "first")
    await comment.say(5, "second")
    assert [one["body"] for one in desk.comments] == ["<!-- catwalk:plan:acme -->\nsecond"]


async def test_the_same_word_is_not_written_again(comment, desk):
    await comment.say(5, "first")
    await comment.say(5, "first")
    assert len(desk.writes) == 1


async def test_each_pull_request_and_each_fleet_has_its_own(comment, app_door, installation, repository, pace, desk):
    await comment.say(5, "five")
    await comment.say(6, "six")
    await StickyComment(app_door, repository, installation, pace, fleet="beta").say(5, "beta")
    assert [(one["issue"], one["body"].splitlines()[1]) for one in desk.comments] == [
        (5, "five"), (6, "six"), (5, "beta"),
    ]  # fmt: skip


async def test_a_mark_in_a_stranger_s_comment_is_not_followed(comment, desk):
    pasted = "<!-- catwalk:plan:acme -->\nhello"
    desk.comments.append({"id": 1, "issue": 5, "user": {"login": "mallory"}, "body": pasted})
    desk.comments.append({"id": 2, "issue": 5, "user": None, "body": pasted})
    await comment.say(5, "ours")
    assert [one["body"] for one in desk.comments[:2]] == [pasted] * 2
    assert desk.comments[2]["body"].endswith("ours")


async def test_our_comment_is_found_behind_hundreds_of_others(comment, desk):
    await comment.say(5, "first")
    ours = desk.comments.pop()
    others = [{"id": 1000 + n, "issue": 5, "user": {"login": "octocat"}, "body": "x"} for n in range(250)]
    desk.comments += [*others, ours]
    await comment.say(5, "second")
    assert len(desk.comments) == 251
    assert ours["body"].endswith("second")


async def test_a_comment_whose_answer_was_lost_is_not_doubled(comment, desk, github, canned):
    def lose(method, path, headers, body):
        if method != "POST" or not path.endswith("/comments") or desk.comments:
            return None
        desk.route(method, path, headers, body)
        return canned(502)

    github.routes.insert(0, lose)
    with pytest.raises(Unavailable):
        await comment.say(5, "first")
    await comment.say(5, "first")
    assert len(desk.comments) == 1


async def test_a_text_that_is_too_long_is_cut(comment, desk):
    await comment.say(5, "- a line\n" * 20_000)
    assert len(desk.comments[0]["body"]) <= 60_100
    assert "more lines_" in desk.comments[0]["body"]


@pytest.mark.parametrize("fleet", ["", "a-->b", "a b"])
async def test_a_name_cannot_end_the_mark(fleet, app_door, installation, repository, pace):
    with pytest.raises(ValueError, match="hidden mark"):
        StickyComment(app_door, repository, installation, pace, fleet=fleet)


def planned(*actions: Create | Destroy, before=2.0, after=2.0, problems=(), **more: object) -> ProposedPlan:
    return ProposedPlan(
        number=5,
        revision=REVISION,
        base=Revision(commit="b" * 40, branch="main", source=""),
        plan=plan(*actions, **more),
        problems=problems,
        warnings=(),
        cost_before=MonthlyCost(awake=before),
        cost_after=MonthlyCost(awake=after),
        planned_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


NEW = CreateApp(server="time", app="acme-time", network="acme-time", reason="the app does not exist yet")
GONE = DestroyApp(server="old", app="acme-old", reason="not declared")
CHANGED = Update(
    server="maps",
    app="acme-maps",
    machine=MACHINE,
    machine_id="m",
    instance_id="i",
    reason="its configuration changed",
    changes=(
        FieldChange(path="env.TZ", before="UTC", after="`@acme`"),
        FieldChange(path="env.NEW", before="", after="1"),
    ),
)


def test_a_plan_in_one_line_counts_servers_and_money():
    held = (Held(server="x", summary="left alone", reason="the manifest suspends it"),)
    told = planned(NEW, CREATE, CHANGED, DESTROY, GONE, after=4.44, held=held)
    assert plan_status(told).description == (
        "1 to add, 1 to change, 1 to remove, 1 thing held; +$2.44 a month (plan 0123456)"
    )
    assert plan_status(planned(before=3.0)).description == "no changes; -$1.00 a month (plan 0123456)"
    assert plan_status(planned()).description == "no changes (plan 0123456)"


def test_a_refused_plan_fails_on_its_line():
    place = Location(file="catwalk.yaml", line=4)
    problems = (Problem(code="c", message="unknown key", location=place), Problem(code="d", message="no such package"))
    status = plan_status(replace(planned(problems=problems), plan=None), directory="eu")
    assert (status.state, status.description) == (StatusState.FAILURE, "catwalk.yaml:4:1: unknown key (+1 more)")
    assert status.details
    assert [(one.path, one.line) for one in status.details.annotations] == [("eu/catwalk.yaml", 4)]


def test_a_plan_with_a_server_that_is_blocked_is_no_success():
    assert plan_status(planned(NEW, problems=(Problem(code="d", message="no such package"),))).state == "failure"


def test_a_comment_tells_what_changes_with_its_cost_and_pings_nobody():
    text = plan_comment(planned(NEW, CREATE, CHANGED, after=4.44), target_url="https://c.dev/pulls/5")
    assert text.startswith("### Catwalk plan for `a1b2c3d`: 1 to add, 1 to change")
    assert "| on Fly | $2.00 | $4.44 | +$2.44 |" in text
    assert "`env.TZ`: `UTC` → `` `@acme` ``" in text
    assert "`env.NEW`: (absent) → `1`" in text
    assert "Compared with `bbbbbbb`, which is in force." in text
    assert text.endswith("[The plan on the dashboard](https://c.dev/pulls/5)")


def test_a_long_plan_is_folded_away_in_the_comment():
    many = [replace(NEW, server=f"s-{number}") for number in range(40)]
    assert "<details>" not in plan_comment(planned(CREATE))
    assert "<details><summary>Show the plan</summary>" in plan_comment(planned(*many))
    assert "<details>" not in plan_status(planned(*many)).details.summary


async def settle(sender, clock) -> None:
    """Works until nothing is due, moving the time instead of sleeping."""
    while (delay_s := await sender.step()) < math.inf:
        clock.forward(delay_s)


@pytest.fixture
def reports(app_door, installation, repository, pace, app_id, clock):
    """The reports of proposals with their senders, on stores in memory."""
    channel = CommentChannel(app_door, repository, installation, pace, fleet=lambda: "acme")
    checks = RepositoryChecks(app_door, repository, pace, app_id=app_id)
    outbox = Outbox(checks, MemoryOutboxStore(), clock)
    courier = Courier({COMMENT: channel}, MemoryShelf(), clock)
    return ProposalReports(outbox, courier, public_url="https://c.dev"), outbox, courier


class MemoryShelf:
    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def load(self):
        return list(self.texts.items())

    async def save(self, texts):
        self.texts.update(texts)

    async def forget(self, keys):
        for key in keys:
            del self.texts[key]


async def test_a_proposed_commit_is_told_pending_and_then_once(reports, desk, clock):
    made, outbox, courier = reports
    proposal = Proposal(number=5, commit=SHA, ref="refs/pull/5/head")
    await made.begun(proposal)
    await settle(outbox, clock)
    for _ in range(2):
        await made.planned(proposal, planned(NEW, CREATE), again=False)
        await made.begun(proposal)
        await settle(outbox, clock)
        await settle(courier, clock)
    assert desk.states("catwalk/plan") == ["success"]
    assert desk.runs[0]["details_url"] == "https://c.dev/pulls/5"
    assert [one["issue"] for one in desk.comments] == [5]
    await made.planned(proposal, planned(NEW, CREATE), again=True)
    await settle(outbox, clock)
    assert desk.states("catwalk/plan") == ["success", "success"], "somebody pressed the button"


async def test_a_newer_plan_goes_into_the_comment_of_the_first(reports, desk, clock):
    made, _, courier = reports
    proposal = Proposal(number=5, commit=SHA, ref="refs/pull/5/head")
    for told in (planned(NEW, CREATE), planned()):
        await made.planned(proposal, told, again=False)
        await settle(courier, clock)
    assert len(desk.comments) == 1
    assert "no changes" in desk.comments[0]["body"]


async def test_a_commit_of_a_merge_queue_gets_its_check_and_no_comment(reports, desk, clock):
    made, outbox, courier = reports
    await made.planned(Proposal(number=0, commit=SHA, ref="refs/heads/gh-readonly-queue/x"), planned(), again=False)
    await settle(outbox, clock)
    await settle(courier, clock)
    assert (desk.states("catwalk/plan"), desk.comments) == (["success"], [])


async def test_a_repository_that_cannot_be_read_is_told_and_one_that_is_away_is_not(reports, desk, clock):
    made, outbox, _ = reports
    proposal = Proposal(number=5, commit=SHA, ref="refs/pull/5/head")
    await made.begun(proposal)
    await made.failed(proposal, Unavailable("git-unreachable", "away"))
    await settle(outbox, clock)
    assert desk.states("catwalk/plan") == ["in_progress"]
    await made.failed(proposal, EnvironmentFault("git-credentials", "the host refuses the credentials"))
    await settle(outbox, clock)
    assert desk.states("catwalk/plan") == ["action_required"]
