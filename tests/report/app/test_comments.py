"""The comment on a pull request: one, ours, up to date, and never in a stranger's words."""

import pytest

from reconciler.core.actions import Create, Destroy, Held, Plan
from reconciler.core.problems import Location, Problem
from reconciler.core.types import DesiredMachine, Revision
from reconciler.errors import Unavailable
from reconciler.report.comments import StickyComment
from reconciler.report.plan_report import plan_comment, plan_status, refused_plan
from reconciler.report.statuses import StatusState

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


def test_a_plan_in_one_line_counts_what_a_reader_counts():
    held = (Held(server="x", summary="left alone", reason="the manifest suspends it"),)
    assert plan_status(plan(CREATE, CREATE, DESTROY, held=held)).description == (
        "2 to create, 1 to destroy, 1 held (plan 0123456)"
    )
    assert plan_status(plan()).description == "no changes (plan 0123456)"


def test_a_refused_plan_fails_on_its_line():
    place = Location(file="catwalk.yaml", line=4)
    problems = [Problem(code="c", message="unknown key", location=place), Problem(code="d", message="no such package")]
    status = refused_plan(SHA, problems, directory="eu")
    assert (status.state, status.description) == (StatusState.FAILURE, "catwalk.yaml:4:1: unknown key (+1 more)")
    assert status.details
    assert [(one.path, one.line) for one in status.details.annotations] == [("eu/catwalk.yaml", 4)]


def test_a_long_plan_is_folded_away_in_the_comment():
    short, long = plan_comment(plan(CREATE), target_url="https://c.dev/p"), plan_comment(plan(*[CREATE] * 40))
    assert "<details>" not in short
    assert "[Plan `0123456` on the dashboard](https://c.dev/p)" in short
    assert long.endswith("</details>")
