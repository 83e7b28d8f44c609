"""Who is told of trouble, how often, and where a message never goes."""

import base64
import hashlib
import hmac
import json
import math
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconciler.core.actions import Pass, Plan
from reconciler.core.problems import Location, Problem
from reconciler.core.secret import SecretValue
from reconciler.core.types import Cause, Revision, ServerState, ServerStatus, Trigger
from reconciler.errors import CatwalkError, Conflict, EnvironmentFault, RateLimited, Refused, Unavailable
from reconciler.loop.ports import LogLine
from reconciler.report.courier import MOST_AGE, Courier
from reconciler.report.explanations import MOST_TRIES, Explanations
from reconciler.report.messages import Message, Wish
from reconciler.report.notifier import SLACK, WEBHOOK, Notifier
from reconciler.report.outbox import UNTIL_OUR_TURN_S
from reconciler.report.sinks import Outbound, SlackSink, WebhookSink, outbound_client, signing_key, sink_address
from reconciler.report.statuses import commit_statuses

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHA = "a" * 40
REVISION = Revision(commit=SHA, branch="main", source="https://github.com/acme/fleet")
SECRET = SecretValue("canary-" + "s" * 32)


class MemoryShelf:
    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.fault: CatwalkError | None = None

    async def load(self):
        return list(self.texts.items())

    async def save(self, texts):
        if self.fault is not None:
            raise self.fault
        self.texts.update(texts)

    async def forget(self, keys):
        for key in keys:
            del self.texts[key]


class Channel:
    def __init__(self) -> None:
        self.told: list[Message] = []
        self.faults: list[CatwalkError] = []

    async def tell(self, message):
        if self.faults:
            raise self.faults.pop(0)
        self.told.append(message)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def shelf() -> MemoryShelf:
    return MemoryShelf()


@pytest.fixture
def courier(channel, shelf, clock) -> Courier:
    return Courier({WEBHOOK: channel}, shelf, clock)


async def settle(courier, clock) -> None:
    for _ in range(200):
        if (delay_s := await courier.step()) == math.inf:
            return
        clock.forward(delay_s)
    raise AssertionError("the courier does not settle")


def status(state=ServerState.READY, cause=None, detail="", server="time") -> ServerStatus:
    return ServerStatus(server=server, state=state, cause=cause, detail=detail, since=NOW, revision=SHA)


def finished(*statuses: ServerStatus, **more: object) -> Pass:
    base = Pass(
        number=1, trigger=Trigger.HEALTH, started_at=NOW, finished_at=NOW, fleet="acme", revision=REVISION,
        applied_revision=REVISION, statuses=statuses, plan=Plan(fleet="acme", revision=REVISION, actions=()),
    )  # fmt: skip
    return replace(base, **more)


FAILED = status(ServerState.FAILED, Cause.CRASH_LOOP, "exit code 1")


@pytest.fixture
def tell(courier, clock):
    """Reports passes, and sends what is to be sent after each."""
    notifier = Notifier(courier, Explanations(None), public_url="https://c.dev")

    async def told(*passes: Pass) -> None:
        for one in passes:
            await notifier.report(one)
            await settle(courier, clock)

    return told


def types(channel: Channel) -> list[str]:
    return [json.loads(message.text)["type"] for message in channel.told]


async def test_trouble_is_told_once_and_so_is_its_end(tell, channel):
    await tell(finished(status()), finished(FAILED), finished(FAILED), finished(status()), finished(status()))
    assert types(channel) == ["server.unwell", "server.well"]
    body = json.loads(channel.told[0].text)
    assert (body["data"]["server"], body["data"]["cause"], body["data"]["url"]) == (
        "time", "crash-loop", "https://c.dev/servers/time",
    )  # fmt: skip


async def test_other_words_for_the_same_trouble_are_no_news_and_another_cause_is(tell, channel):
    await tell(finished(FAILED), finished(replace(FAILED, detail="exit code 2")))
    await tell(finished(replace(FAILED, cause=Cause.OUT_OF_MEMORY)))
    assert [json.loads(message.text)["data"]["cause"] for message in channel.told] == ["crash-loop", "out-of-memory"]


async def test_what_is_on_its_way_is_no_news(tell, channel):
    await tell(finished(status(ServerState.STARTING)), finished(FAILED), finished(status(ServerState.STARTING)))
    assert types(channel) == ["server.unwell"]


async def test_trouble_that_was_over_before_anybody_was_told_is_not_told(courier, channel, clock):
    notifier = Notifier(courier, Explanations(None))
    await notifier.report(finished(FAILED))
    await notifier.report(finished(status()))
    await settle(courier, clock)
    assert channel.told == []


async def test_a_server_that_is_gone_ends_its_trouble(tell, channel):
    await tell(finished(FAILED), finished())
    assert types(channel) == ["server.unwell", "server.gone"]


async def test_a_refused_revision_is_told_and_the_next_good_one(tell, channel):
    problem = Problem(code="unknown-key", message="unknown key", location=Location(file="catwalk.yaml", line=3))
    newer = replace(REVISION, commit="b" * 40)
    await tell(finished(status()), finished(status(), revision=newer, problems=(problem,)))
    await tell(finished(status(), revision=newer, problems=(problem,)))
    await tell(finished(status(), revision=newer, applied_revision=newer))
    assert types(channel) == ["revision.refused", "revision.applied"]
    assert "catwalk.yaml:3:1" in json.loads(channel.told[0].text)["data"]["detail"]


async def test_the_next_process_repeats_nothing_and_goes_on(channel, shelf, clock):
    for passes in ((finished(FAILED),), (finished(FAILED), finished(status()))):
        courier = Courier({WEBHOOK: channel}, shelf, clock)
        notifier = Notifier(courier, Explanations(None))
        for one in passes:
            await notifier.report(one)
            await settle(courier, clock)
    assert types(channel) == ["server.unwell", "server.well"]


async def test_an_outage_of_a_channel_is_waited_out_under_the_same_mark(courier, channel, clock):
    marks: list[str] = []
    tell = channel.tell

    async def marked(message):
        marks.append(message.mark)
        await tell(message)

    channel.tell = marked
    channel.faults = [Unavailable("sink-unavailable", "away")] * 3
    began = clock.now()
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="{}")])
    await settle(courier, clock)
    assert (len(channel.told), len(marks), len(set(marks))) == (1, 4, 1)
    assert (clock.now() - began).total_seconds() == 2 + 4 + 8


async def test_a_channel_that_asks_to_wait_is_left_alone(courier, channel, clock):
    limit = RateLimited("sink-limited", "wait")
    limit.retry_after_s = 40
    channel.faults = [limit]
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="{}")])
    began = clock.now()
    await settle(courier, clock)
    assert (clock.now() - began).total_seconds() == 40


async def test_a_refusal_is_not_repeated_until_there_is_other_news(courier, channel, clock):
    channel.faults = [Refused("sink-refused", "404")]
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="one")])
    await settle(courier, clock)
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="one")])
    await settle(courier, clock)
    assert channel.told == []
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="two")])
    await settle(courier, clock)
    assert [message.text for message in channel.told] == ["two"]


async def test_a_channel_that_is_away_holds_no_other_up(channel, shelf, clock):
    away = Channel()
    away.faults = [Unavailable("sink-unavailable", "away")] * 9
    courier = Courier({SLACK: away, WEBHOOK: channel}, shelf, clock)
    await courier.want([Wish(channel=name, subject="server/time", text="{}") for name in (SLACK, WEBHOOK)])
    await courier.step()
    await courier.step()
    assert (len(away.told), len(channel.told)) == (0, 1)


async def test_yesterdays_news_is_given_up(courier, channel, clock):
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="{}")])
    clock.forward((MOST_AGE + timedelta(minutes=1)).total_seconds())
    await settle(courier, clock)
    assert channel.told == []


async def test_a_former_leader_tells_nothing_more(channel, shelf, clock):
    class Lease:
        token = 1

        def may_act(self) -> bool:
            return bool(self.token)

    lease = Lease()
    courier = Courier({WEBHOOK: channel}, shelf, clock, turn=lease)
    await courier.want([Wish(channel=WEBHOOK, subject="server/time", text="{}")])
    shelf.fault = Conflict("not-leading", "another process leads")
    assert await courier.step() == UNTIL_OUR_TURN_S
    shelf.fault, lease.token = None, 0
    assert await courier.step() == UNTIL_OUR_TURN_S


class Logs:
    def __init__(self) -> None:
        self.reads = 0
        self.lines = ["Error: Cannot find module './build/index.js'"]
        self.fault: CatwalkError | None = None

    async def recent(self, _app, *, limit):
        del limit
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return [LogLine(at=NOW, machine_id="m", level="error", message=line) for line in self.lines]


async def test_a_log_says_why_in_140_characters_and_is_read_once_for_a_trouble():
    logs = Logs()
    explanations = Explanations(logs)
    for number in range(3):
        logs.lines[0] = f"Error: Cannot find module './build/index.js' at {number} " + "x" * 200
        found = await explanations.of(finished(FAILED))
    assert logs.reads == 1
    told = commit_statuses(finished(FAILED), explanations=found)
    health = next(one for one in told if one.context == "catwalk/health")
    assert "Cannot find module './build/index.js' at 0" in health.description
    assert health.description.endswith("(0/1 healthy)")
    assert all(len(one.description) <= 140 for one in told)


async def test_a_specific_verdict_needs_no_log():
    logs = Logs()
    specific = status(ServerState.FAILED, Cause.MISSING_VARIABLE, "API_KEY is not set")
    assert await Explanations(logs).of(finished(specific)) == {}
    assert logs.reads == 0


async def test_a_log_that_says_nothing_yet_is_looked_at_again_a_few_times():
    logs = Logs()
    logs.lines = ["hello"]
    explanations = Explanations(logs)
    for _ in range(MOST_TRIES + 3):
        assert await explanations.of(finished(FAILED)) == {}
    assert logs.reads == MOST_TRIES
    logs.fault = Unavailable("logs-unavailable", "away")
    assert await explanations.of(finished(replace(FAILED, detail="another"))) == {}


class Receiver:
    """Takes posts on the loopback, and answers as it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []


@pytest.fixture
def receiver():
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = made.answers.pop(0) if made.answers else (200, {})
            self.send_response(status)
            for name, value in {"content-length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/T0/canary-path?x=1"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def outbound():
    async with outbound_client() as client:
        yield Outbound(client)


def address(url, *, private=True):
    return sink_address("CATWALK_NOTIFY_WEBHOOK_URL", SecretValue(url), private=private)


MESSAGE = Message(channel=WEBHOOK, subject="server/time", text='{"type":"server.unwell"}', digest="d", wanted_at=NOW)


async def test_a_webhook_is_signed_as_the_standard_says(receiver, outbound, clock):
    sink = WebhookSink(outbound, address(receiver.url), SECRET, clock)
    await sink.tell(MESSAGE)
    await sink.tell(MESSAGE)
    headers, body = receiver.taken[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.reveal().encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert body == MESSAGE.text.encode()
    assert headers["webhook-id"] == receiver.taken[1][0]["webhook-id"], "a repetition can be told"


def test_the_published_example_of_a_secret_is_read():
    """Standard Webhooks, "Signature scheme": `whsec_` and Base64."""
    assert signing_key(SecretValue("whsec_" + base64.b64encode(b"k" * 24).decode())) == b"k" * 24
    for short in ("", "short", "whsec_%%%"):
        with pytest.raises(EnvironmentFault, match="fewer than 16"):
            signing_key(SecretValue(short))


@pytest.mark.parametrize(
    ("status_code", "headers", "kind"),
    [
        (301, {"location": "http://127.0.0.1:1/"}, Refused),
        (404, {}, Refused),
        (410, {}, Refused),
        (429, {"retry-after": "17"}, RateLimited),
        (503, {"retry-after": "17"}, RateLimited),
        (500, {}, Unavailable),
        (429, {}, Unavailable),
    ],
)
async def test_answers_are_understood_and_redirects_not_followed(receiver, outbound, status_code, headers, kind):
    receiver.answers = [(status_code, headers)]
    with pytest.raises(kind) as refused:
        await SlackSink(outbound, address(receiver.url)).tell(MESSAGE)
    assert len(receiver.taken) == 1
    assert "canary" not in str(refused.value)
    if isinstance(refused.value, RateLimited):
        assert refused.value.retry_after_s == 17


async def test_who_does_not_answer_is_not_named(outbound, unused_port):
    with pytest.raises(Unavailable) as refused:
        await SlackSink(outbound, address(f"http://127.0.0.1:{unused_port}/canary")).tell(MESSAGE)
    assert "canary" not in str(refused.value)
    assert str(unused_port) not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fd00::1]", "[::ffff:10.0.0.1]", "0.0.0.0"],
)
async def test_private_addresses_are_refused_before_anything_is_sent(outbound, host):
    with pytest.raises(Refused, match="private network"):
        await SlackSink(outbound, address(f"https://{host}/x", private=False)).tell(MESSAGE)


async def test_a_name_that_leads_inside_is_refused_too(receiver, outbound, monkeypatch):
    async def inside(*_: object, **__: object):
        return [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("10.0.0.7", 443))]

    monkeypatch.setattr("anyio.getaddrinfo", inside)
    with pytest.raises(Refused, match="private network"):
        await SlackSink(outbound, address("https://hooks.example.com/x", private=False)).tell(MESSAGE)
    assert receiver.taken == []


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "ftp://example.com", "https://", "x", "https://u:p@h/x", "https://h:x/"]
)
def test_what_is_no_address_is_refused_and_not_shown(url):
    with pytest.raises(EnvironmentFault, match="CATWALK_NOTIFY_WEBHOOK_URL") as refused:
        address(url, private=False)
    assert len(url) < 3 or url not in str(refused.value)
    assert "example" not in repr(address("https://example.com"))


async def test_slack_gets_a_line_that_pings_nobody(receiver, outbound, shelf, clock):
    courier = Courier({SLACK: SlackSink(outbound, address(receiver.url))}, shelf, clock)
    trouble = replace(FAILED, detail="<!channel> & <https://evil|x>")
    await Notifier(courier, Explanations(None), public_url="https://c.dev").report(finished(trouble))
    await settle(courier, clock)
    text = json.loads(receiver.taken[0][1])["text"]
    assert text == (
        ":red_circle: acme: time is failed: crash-loop: &lt;!channel&gt; &amp; &lt;https://evil|x&gt;"
        " (<https://c.dev/servers/time|details>)"
    )
