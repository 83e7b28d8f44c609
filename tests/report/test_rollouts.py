"""What a deployment says: decided from passes and from what stands, never back, never failed after a success."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.actions import Pass
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import Cause, Revision, ServerState, ServerStatus, Trigger
from reconciler.report.deployments import deployment_body, status_body
from reconciler.report.letters import MOST_POSTS, Letter, delivered, to_post, wanting
from reconciler.report.rollouts import beginning_deployment, deployment, environment_of, overtaken
from reconciler.report.statuses import CommitStatus, StatusState, superseded_by

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OLD = Revision(commit="b" * 40, branch="main", source="https://github.com/acme/fleet")
NEW = Revision(commit="c" * 40, branch="main", source="https://github.com/acme/fleet")
LOCAL = Revision(commit="worktree:1", branch="", source="")
READY = ServerStatus(server="time", state=ServerState.READY)
STARTING = ServerStatus(server="time", state=ServerState.STARTING)
FAILED = ServerStatus(server="time", state=ServerState.FAILED, cause=Cause.CRASH_LOOP, detail="exit code 1")
WRONG = Problem(code="unknown-key", message="no such key", remedy=Remedy.FIX_SOURCE)
AWAY = Problem(code="fly-token-invalid", message="no token", remedy=Remedy.FIX_ENVIRONMENT)
LATER = Problem(code="fly-unavailable", message="no answer", remedy=Remedy.WAIT)
PENDING, SUCCESS, FAILURE = StatusState.PENDING, StatusState.SUCCESS, StatusState.FAILURE
ENDED = superseded_by("ccccccc")


def finished(*statuses: ServerStatus, revision=OLD, applied=OLD, problems=()):
    return Pass(
        number=1, trigger=Trigger.COMMIT, started_at=NOW, finished_at=NOW, fleet="acme", revision=revision,
        applied_revision=applied, statuses=statuses, problems=problems,
    )  # fmt: skip


def word(state, description="", *, sha=OLD.commit, environment="acme"):
    return CommitStatus(sha=sha, context=f"deployment/{environment}", state=state, description=description)


def ended(sha=OLD.commit):
    return word(PENDING, ENDED, sha=sha)


@pytest.mark.parametrize(
    ("one", "state", "description"),
    [
        pytest.param(finished(STARTING), PENDING, "starting: time (0/1 healthy)", id="on its way"),
        pytest.param(finished(READY), SUCCESS, "1 server as declared", id="as declared and healthy"),
        pytest.param(finished(FAILED), FAILURE, "crash-loop in time: exit code 1 (0/1 healthy)", id="unwell"),
        pytest.param(finished(READY, problems=(AWAY,)), FAILURE, "no token", id="an error is a failure here"),
        pytest.param(finished(READY, problems=(LATER,)), PENDING, "no answer", id="an outage is waited for"),
        pytest.param(finished(READY, revision=NEW, problems=(WRONG,)), SUCCESS, "1/1 healthy", id="the next refused"),
        pytest.param(finished(STARTING, revision=NEW, problems=(WRONG,)), PENDING, "starting", id="refused, settling"),
        pytest.param(finished(), None, "", id="nothing was observed"),
        pytest.param(finished(READY, applied=None), None, "", id="nothing is in force"),
        pytest.param(finished(READY, revision=LOCAL, applied=LOCAL), None, "", id="files that are not committed"),
    ],
)
def test_a_deployment_is_the_graver_of_sync_and_health(one, state, description):
    said = deployment(one, "acme", public_url="https://c.dev")
    if state is None:
        assert said == ()
        return
    (status,) = said
    assert (status.sha, status.context, status.state) == (OLD.commit, "deployment/acme", state)
    assert description in status.description
    assert status.target_url == f"https://c.dev/revisions/{OLD.commit}"


def test_a_nameless_fleet_has_no_deployments():
    assert environment_of("", "staging") == environment_of("", "") == ""
    assert deployment(finished(READY), "") == ()
    assert beginning_deployment(finished(), "") == []
    assert [status.state for status in beginning_deployment(finished(), "acme")] == [PENDING]


@pytest.mark.parametrize(
    ("wanted", "posted", "new", "over"),
    [
        pytest.param(word(SUCCESS), word(SUCCESS), SUCCESS, True, id="in use until the new one is"),
        pytest.param(word(SUCCESS), word(SUCCESS), PENDING, False, id="in use while the new one comes"),
        pytest.param(word(SUCCESS), word(SUCCESS), FAILURE, False, id="in use where the new one fails"),
        pytest.param(word(FAILURE), word(SUCCESS), SUCCESS, True, id="was in use, whatever happened later"),
        pytest.param(word(PENDING), word(SUCCESS), PENDING, False, id="was in use and restarts"),
        pytest.param(word(PENDING), word(PENDING), PENDING, True, id="never answered"),
        pytest.param(word(PENDING), None, PENDING, True, id="never sent"),
        pytest.param(word(FAILURE), word(FAILURE), SUCCESS, False, id="a failure stays one"),
        pytest.param(word(PENDING), word(FAILURE), SUCCESS, False, id="a failure that was tried again"),
        pytest.param(ended(), word(SUCCESS), SUCCESS, False, id="ended already"),
        pytest.param(word(SUCCESS, environment="acme/staging"), None, SUCCESS, False, id="another environment"),
    ],
)
def test_a_newer_revision_ends_what_it_takes_the_place_of(wanted, posted, new, over):
    found = overtaken([Letter(wanted=wanted, posted=posted)], word(new, sha=NEW.commit), NEW)
    assert list(found) == ([ended()] if over else [])


@pytest.mark.parametrize(
    ("posted", "wanted", "said"),
    [
        pytest.param(None, word(PENDING), True, id="the beginning"),
        pytest.param(word(PENDING), word(PENDING, "held"), False, id="other words on the way"),
        pytest.param(word(PENDING), word(FAILURE), True, id="it fails"),
        pytest.param(word(FAILURE), word(PENDING), False, id="never back"),
        pytest.param(word(FAILURE), word(SUCCESS), True, id="it works after all"),
        pytest.param(word(SUCCESS), word(FAILURE), False, id="no failure after a success"),
        pytest.param(word(SUCCESS), word(PENDING), False, id="nor on its way"),
        pytest.param(word(SUCCESS), ended(), True, id="its end"),
        pytest.param(word(PENDING), ended(), True, id="the end of what got no answer"),
        pytest.param(word(PENDING, superseded_by("x")), ended(), False, id="one end is enough"),
        pytest.param(ended(), word(SUCCESS), True, id="in force once more"),
    ],
)
def test_a_deployment_goes_forward_only(posted, wanted, said):
    assert (to_post(Letter(wanted=wanted, posted=posted, posts=1)) is not None) is said


@given(st.lists(st.tuples(st.sampled_from([PENDING, SUCCESS, FAILURE]), st.sampled_from("abc"), st.booleans())))
def test_no_story_has_a_failure_after_a_success_or_lacks_its_end(story):
    letter = Letter(wanted=word(PENDING))
    sent = []
    for wanted, is_sent in [*((word(state, text), is_sent) for state, text, is_sent in story), (ended(), True)]:
        letter = wanting(letter, wanted)
        if is_sent and (status := to_post(letter)) is not None:
            sent.append(status_body(status)["state"])
            letter = delivered(letter, status)
    assert len(sent) <= MOST_POSTS
    assert sent[-1] == "inactive"
    assert "success" not in sent[:-2], "only the end follows a success"
    assert "in_progress" not in sent[1:]


@pytest.mark.parametrize(
    ("environment", "is_production"),
    [("acme", True), ("acme/production", True), ("acme/prod", True), ("acme/staging", False), ("acme/preview", False)],
)
def test_a_deployment_neither_merges_nor_waits_and_says_whom_it_serves(environment, is_production):
    body = deployment_body(word(PENDING, environment=environment))
    assert (body["ref"], body["environment"], body["production_environment"]) == (
        OLD.commit, environment, is_production,
    )  # fmt: skip
    assert (body["auto_merge"], body["required_contexts"], body["transient_environment"]) == (False, [], False)
