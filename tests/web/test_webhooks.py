"""Webhooks: who may wake the loop, by what, and how often; against GitHub's own example payloads."""

import hashlib
import hmac
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import AsyncTestClient

from reconciler.core.secret import SecretValue
from reconciler.core.types import Trigger
from reconciler.errors import Unavailable
from reconciler.loop.ports import Delivery
from reconciler.web.webhooks import Followed, Hooks, webhook_router
from reconciler.web.webhooks.events import meaning_of
from reconciler.web.webhooks.flood import BURST
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

    async def take_in(self, delivery: Delivery) -> bool:
        if self.error is not None:
            raise self.error
        known = delivery.id in self.kept
        if not known:
            self.kept.append(delivery.id)
        return not known

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
    hooks = Hooks(secret=SECRET, followed=FOLLOWED, inbox=made, wake=made.woken.append, clock=made.clock)
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


async def test_a_flood_is_turned_away_and_passes(desk):
    codes = [(await desk.deliver(PUSH, delivery_id=f"d-{number}")).status_code for number in range(BURST + 5)]
    assert codes == [202] * BURST + [429] * 5
    turned_away = await desk.deliver(PUSH, delivery_id="d-last")
    assert int(turned_away.headers["retry-after"]) > 0
    desk.clock.time += timedelta(seconds=1)
    assert (await desk.deliver(PUSH, delivery_id="d-last")).status_code == 202


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
    assert len(desk.woken) == installations + sum(payload["ref"] == "refs/heads/main" for payload in ours)
