"""Webhooks: who may wake the loop, by what, and how often; against GitHub's own example payloads."""

import hashlib
import hmac
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import AsyncTestClient

from reconciler.core.secret import SecretValue
from reconciler.core.types import Trigger
from reconciler.errors import Unavailable
from reconciler.loop.ports import Delivery, Proposal
from reconciler.web.webhooks import Followed, Hooks, webhook_router
from reconciler.web.webhooks.events import meaning_of
from reconciler.web.webhooks.flood import SMALL_BYTES, BodyBudget, Gone, Room, TooLarge, TooMuchAtOnce, read_body
from reconciler.web.webhooks.intake import MOST_A_WRITE, MOST_URGENT, MOST_WAITING, Intake
from reconciler.web.webhooks.receiver import MOST_BYTES
from reconciler.web.webhooks.signature import is_signed

SECRET = SecretValue("canary-hook-secret")
FOLLOWED = Followed(repository="Codertocat/Hello-World", branch="main")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "codertocat/hello-world", "default_branch": "trunk"}}


@dataclass
class Clock:
    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


@dataclass
class Desk:
    """An inbox in memory, a loop that counts, and a client that signs."""

    client: AsyncTestClient[Litestar] = field(init=False)
    clock: Clock = field(default_factory=Clock)
    kept: list[str] = field(default_factory=list)
    woken: list[Trigger] = field(default_factory=list)
    error: Exception | None = None
    proposals: list[Proposal] = field(default_factory=list)
    replanned: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def take_in(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        if self.error is not None:
            raise self.error
        return [self._is_new(delivery) for delivery in deliveries]

    def _is_new(self, delivery: Delivery) -> bool:
        if delivery.id in self.kept:
            return False
        self.kept.append(delivery.id)
        self.proposals += [delivery.proposal] if delivery.proposal else []
        self.replanned += [delivery.replanned] if delivery.replanned else []
        return True

    async def deliver(self, payload: object, event: str = "push", delivery_id: str = "d-1", **headers: str):
        return await self.send(json.dumps(payload).encode(), event, delivery_id, **headers)

    async def send(self, body: bytes, event: str = "push", delivery_id: str = "d-1", **headers: str):
        signed = "sha256=" + hmac.new(SECRET.reveal().encode(), body, hashlib.sha256).hexdigest()
        base = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": delivery_id,
            "x-hub-signature-256": signed,
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/webhooks/github", content=body, headers=base | given)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    hooks = Hooks(
        secret=SECRET, followed=FOLLOWED, inbox=made, wake=made.woken.append, clock=made.clock,
        proposed=lambda: made.told.append("proposed"), changed=lambda: made.told.append("changed"),
    )  # fmt: skip
    async with AsyncTestClient(Litestar([webhook_router(hooks)])) as client:
        made.client = client
        yield made


def test_the_published_example_of_a_signature_is_accepted():
    """GitHub docs, "Validating webhook deliveries", "Testing the webhook payload validation"."""
    signature = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = SecretValue("It's a Secret to Everybody")
    assert is_signed(b"Hello, World!", signature, secret)
    assert not is_signed(b"Hello, World?", signature, secret)


@given(signature=st.binary(max_size=100), body=st.binary(max_size=100))
def test_no_other_signature_is(signature, body):
    assert not is_signed(body, signature, SECRET)


async def test_a_push_to_the_followed_branch_wakes_the_loop_once(desk):
    first = await desk.deliver(PUSH)
    again = await desk.deliver(PUSH)
    assert (first.status_code, again.status_code) == (202, 202)
    assert desk.woken == [Trigger.WEBHOOK]
    assert desk.kept == ["d-1"]


async def test_a_delivery_that_could_not_be_kept_wakes_nobody_and_is_taken_in_when_it_comes_again(desk):
    desk.error = Unavailable("database-failed", "the disk is full")
    assert (await desk.deliver(PUSH)).status_code == 503
    assert desk.woken == []
    desk.error = None
    assert (await desk.deliver(PUSH)).status_code == 202
    assert desk.woken == [Trigger.WEBHOOK]


async def test_a_form_is_read_like_json(desk):
    body = urlencode({"payload": json.dumps(PUSH)}).encode()
    answer = await desk.send(body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 202
    assert desk.woken == [Trigger.WEBHOOK]


UNSIGNED = [
    pytest.param({"x_hub_signature_256": "sha256=" + "0" * 64}, id="wrong"),
    pytest.param({"x_hub_signature_256": ""}, id="none"),
    pytest.param({"x_hub_signature_256": "sha1=" + "0" * 40}, id="the old kind"),
]


@pytest.mark.parametrize("headers", UNSIGNED)
async def test_what_is_not_signed_with_our_secret_is_refused_before_it_is_parsed(desk, headers):
    answer = await desk.send(b"{ not JSON", **headers)
    assert answer.status_code == 401
    assert desk.woken == desk.kept == []
    assert "canary" not in answer.text


MALFORMED = [
    pytest.param(b"[]", "d-1", {}, id="a list"),
    pytest.param(b"{", "d-1", {}, id="cut"),
    pytest.param(b"[" * 100_000, "d-1", {}, id="nested too deep"),
    pytest.param(b"{}", "d-1", {"content_type": "application/x-www-form-urlencoded"}, id="an empty form"),
    pytest.param(json.dumps(PUSH).encode(), "", {}, id="without an id"),
    pytest.param(json.dumps(PUSH).encode(), "x" * 65, {}, id="an endless id"),
    pytest.param(json.dumps(PUSH).encode(), "a b;c", {}, id="an id of other characters"),
]


@pytest.mark.parametrize(("body", "delivery_id", "headers"), MALFORMED)
async def test_what_github_does_not_send_is_refused(desk, body, delivery_id, headers):
    answer = await desk.send(body, delivery_id=delivery_id, **headers)
    assert answer.status_code == 400
    assert desk.woken == desk.kept == []


async def test_a_body_that_is_too_large_is_refused(desk):
    answer = await desk.send(b"x" * (MOST_BYTES + 1))
    assert answer.status_code == 413
    assert desk.woken == []


async def test_a_ping_is_answered(desk):
    answer = await desk.deliver({"zen": "Design for failure."}, event="ping")
    assert (answer.status_code, answer.json()) == (200, {"reason": "pong"})


def test_bodies_have_room_together_and_give_it_back():
    budget = BodyBudget(100)
    with Room(budget) as first, Room(budget) as second:
        first.take(60)
        second.take(40)
        with pytest.raises(TooMuchAtOnce):
            second.take(1)
    with Room(budget) as later:
        later.take(100)


def test_large_bodies_leave_room_for_small_ones():
    budget = BodyBudget(4 * SMALL_BYTES)
    with Room(budget) as vast, Room(budget) as small:
        vast.take(SMALL_BYTES)
        vast.take(SMALL_BYTES)
        with pytest.raises(TooMuchAtOnce):
            vast.take(1)
        small.take(SMALL_BYTES)


async def test_a_webhook_for_which_there_is_no_room_may_come_again(desk, monkeypatch):
    monkeypatch.setattr("reconciler.web.webhooks.flood.Room.take", _full)
    answer = await desk.deliver(PUSH)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert desk.kept == []


def _full(*_: object):
    raise TooMuchAtOnce


class SlowInbox:
    """Writes one batch at a time, when it is told to go on."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.begun, self.go_on = anyio.Event(), anyio.Event()

    async def take_in(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        self.writes.append([delivery.id for delivery in deliveries])
        self.begun.set()
        await self.go_on.wait()
        return [True] * len(deliveries)


async def test_webhooks_that_come_together_are_kept_together_and_a_push_before_all_others(anyio_backend):
    inbox, news = SlowInbox(), []
    intake = Intake(inbox)

    async def come(name: str, trigger: Trigger | None = None) -> None:
        news.append(await intake.take_in(Delivery(id=name, trigger=trigger, received_at=NOW)))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(come, "the first")
            await inbox.begun.wait()
            for number in range(MOST_WAITING):
                group.start_soon(come, f"d-{number}")
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Unavailable):
                await come("one more")
            group.start_soon(come, "a push", Trigger.WEBHOOK)
            await anyio.wait_all_tasks_blocked()
            inbox.go_on.set()
    assert news == [True] * (MOST_WAITING + 2)
    assert [len(write) for write in inbox.writes] == [1, MOST_A_WRITE + 1] + [MOST_A_WRITE] * 9
    assert "a push" in inbox.writes[1]


async def test_pushes_that_wait_have_a_bound_too(anyio_backend):
    inbox = SlowInbox()
    intake = Intake(inbox)

    async def come(name: str) -> None:
        await intake.take_in(Delivery(id=name, trigger=Trigger.WEBHOOK, received_at=NOW))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(come, "the first")
            await inbox.begun.wait()
            for number in range(MOST_URGENT):
                group.start_soon(come, f"p-{number}")
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Unavailable):
                await come("one more")
            inbox.go_on.set()
    assert [len(write) for write in inbox.writes] == [1, MOST_URGENT]


async def test_a_full_inbox_asks_github_to_come_again(desk):
    desk.error = Unavailable("too-many-webhooks", "too many webhooks wait to be kept")
    answer = await desk.deliver(PUSH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


async def test_nothing_but_a_post_is_a_webhook(desk):
    answer = await desk.client.get("/webhooks/github")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_body_without_an_announced_size_is_bounded(anyio_backend):
    async def endless() -> dict[str, object]:
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    budget = BodyBudget()
    with Room(budget) as room, pytest.raises(TooLarge):
        await read_body(endless, room, most_bytes=10_000)
    assert budget.left == budget.most


async def test_a_sender_who_hangs_up_is_left_alone(anyio_backend):
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

    async def cut() -> dict[str, object]:
        return next(messages)

    with Room(BodyBudget()) as room, pytest.raises(Gone):
        await read_body(cut, room, most_bytes=10_000)


async def test_who_waited_for_a_write_that_failed_is_told(anyio_backend):
    class Full:
        async def take_in(self, _):
            await anyio.lowlevel.checkpoint()
            raise Unavailable("database-failed", "the disk is full")

    intake, failed = Intake(Full()), []

    async def come(number: int) -> None:
        try:
            await intake.take_in(Delivery(id=f"d-{number}", trigger=None, received_at=NOW))
        except Unavailable as fault:
            failed.append(fault.problem.code)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(come, number)
    assert failed == ["database-failed"] * 5


HELLO = {"repository": {"full_name": "Codertocat/Hello-World", "default_branch": "main"}}
MEANINGS = [
    pytest.param("push", HELLO | {"ref": "refs/heads/main"}, Trigger.WEBHOOK, id="the followed branch"),
    pytest.param("push", HELLO | {"ref": "refs/heads/main", "deleted": True}, Trigger.WEBHOOK, id="its deletion"),
    pytest.param("push", HELLO | {"ref": "refs/heads/mainline"}, None, id="another branch"),
    pytest.param("push", HELLO | {"ref": "refs/tags/main"}, None, id="a tag"),
    pytest.param("push", {"ref": "refs/heads/main"}, None, id="no repository"),
    pytest.param("push", {"ref": "refs/heads/main", "repository": "x"}, None, id="a repository of another shape"),
    pytest.param(
        "push", {"ref": "refs/heads/main", "repository": {"full_name": "evil/fork"}}, None, id="another repository"
    ),
    pytest.param("installation", {"action": "created"}, Trigger.WEBHOOK, id="installation"),
    pytest.param("star", HELLO, None, id="anything else"),
    pytest.param(
        "check_run",
        HELLO | {"action": "rerequested", "check_run": {"name": "catwalk/sync"}},
        Trigger.COMMAND,
        id="another try",
    ),
    pytest.param(
        "check_run", HELLO | {"action": "rerequested", "check_run": {"name": "lint"}}, None, id="another check"
    ),
    pytest.param(
        "check_run", HELLO | {"action": "completed", "check_run": {"name": "catwalk/sync"}}, None, id="our own echo"
    ),
]


HEAD = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
PULL = HELLO | {
    "action": "synchronize",
    "number": 12,
    "pull_request": {"head": {"sha": HEAD}, "base": {"ref": "main"}},
}
QUEUE_REF = f"refs/heads/gh-readonly-queue/main/pr-12-{HEAD}"
QUEUED = HELLO | {
    "action": "checks_requested",
    "merge_group": {"head_sha": HEAD, "head_ref": QUEUE_REF, "base_ref": "refs/heads/main"},
}
PROPOSED = Proposal(number=12, commit=HEAD, ref="refs/pull/12/head")
PROPOSALS = [
    *(pytest.param("pull_request", PULL | {"action": action}, PROPOSED, id=action)
      for action in ("opened", "synchronize", "reopened", "ready_for_review")),
    pytest.param("pull_request", PULL | {"action": "labeled"}, None, id="a label"),
    pytest.param("pull_request", PULL | {"number": 0}, None, id="no number"),
    pytest.param(
        "pull_request",
        HELLO | {"action": "opened", "pull_request": {"number": 12, "head": {"sha": HEAD}, "base": {"ref": "main"}}},
        PROPOSED,
        id="the number of the pull request itself",
    ),
    pytest.param("pull_request", PULL | {"number": True}, None, id="a number of another type"),
    pytest.param("pull_request", PULL | {"pull_request": {"head": {"sha": "x"}, "base": {"ref": "main"}}}, None,
                 id="no commit"),
    pytest.param("pull_request", PULL | {"pull_request": {"head": {"sha": HEAD}, "base": {"ref": "next"}}}, None,
                 id="into another branch"),
    pytest.param("merge_group", QUEUED, Proposal(number=0, commit=HEAD, ref=QUEUE_REF), id="the merge queue"),
    pytest.param("merge_group", QUEUED | {"action": "destroyed"}, None, id="the end of a queue"),
    pytest.param("merge_group", QUEUED | {"merge_group": QUEUED["merge_group"] | {"base_ref": "refs/heads/next"}},
                 None, id="the queue of another branch"),
    *(pytest.param("merge_group", QUEUED | {"merge_group": QUEUED["merge_group"] | {"head_ref": ref}}, None, id=ref)
      for ref in ("refs/heads/main", QUEUE_REF + ":refs/heads/main", QUEUE_REF + "/../x", "+" + QUEUE_REF)),
]  # fmt: skip


@pytest.mark.parametrize(("event", "payload", "proposal"), PROPOSALS)
def test_a_proposed_commit_is_to_be_planned(event, payload, proposal):
    meaning = meaning_of(event, payload, FOLLOWED)
    assert (meaning.proposal, meaning.trigger) == (proposal, None)


async def test_a_proposed_commit_is_kept_and_told_once(desk):
    for _ in range(2):
        assert (await desk.deliver(PULL, event="pull_request")).status_code == 202
    assert (desk.proposals, desk.told, desk.woken) == ([PROPOSED], ["proposed"], [])


async def test_another_plan_is_asked_for_by_its_check(desk):
    run = {"name": "catwalk/plan", "head_sha": HEAD}
    await desk.deliver(HELLO | {"action": "rerequested", "check_run": run}, event="check_run")
    assert (desk.replanned, desk.told, desk.woken) == ([HEAD], ["proposed"], [])


async def test_all_checks_of_a_commit_are_asked_for_at_once(desk):
    payload = HELLO | {"action": "rerequested", "check_suite": {"head_sha": HEAD}}
    await desk.deliver(payload, event="check_suite")
    assert (desk.replanned, desk.woken) == ([HEAD], [Trigger.COMMAND])


async def test_a_changed_installation_is_told(desk):
    await desk.deliver({"action": "new_permissions_accepted"}, event="installation")
    assert (desk.told, desk.woken) == (["changed"], [Trigger.WEBHOOK])


@pytest.mark.parametrize(("event", "payload", "trigger"), MEANINGS)
def test_an_event_means_a_look_another_try_or_nothing(event, payload, trigger):
    assert meaning_of(event, payload, FOLLOWED).trigger is trigger


def test_without_a_named_branch_the_default_branch_is_followed():
    followed = Followed(repository="Codertocat/Hello-World")
    assert meaning_of("push", HELLO | {"ref": "refs/heads/main"}, followed).trigger is Trigger.WEBHOOK
    assert meaning_of("push", HELLO | {"ref": "refs/heads/other"}, followed).trigger is None


EXAMPLES = "@octokit/webhooks-examples@7.6.1"


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> list[dict]:
    """GitHub's own examples: `{name, examples}` for each event."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder: Path = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", EXAMPLES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {EXAMPLES}: {done.stderr[-300:]}")
    index = folder / "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
    return json.loads(index.read_text(encoding="utf-8"))


@pytest.mark.registry
@pytest.mark.timeout(180)
async def test_every_example_of_githubs_own_is_understood(desk, examples):
    number = 0
    for event in examples:
        for payload in event["examples"]:
            number += 1
            desk.clock.time += timedelta(seconds=1)
            answer = await desk.deliver(payload, event=event["name"], delivery_id=f"example-{number}")
            assert answer.status_code == (200 if event["name"] == "ping" else 202), event["name"]
    assert number > 300
    pushes = [payload for event in examples if event["name"] == "push" for payload in event["examples"]]
    installations = sum(len(event["examples"]) for event in examples if event["name"].startswith("installation"))
    ours = [payload for payload in pushes if payload["repository"]["full_name"] == FOLLOWED.repository]
    suites = [payload for event in examples if event["name"] == "check_suite" for payload in event["examples"]]
    again = sum(payload["action"] == "rerequested" for payload in suites)
    assert len(desk.woken) == again + installations + sum(payload["ref"] == "refs/heads/main" for payload in ours)
