"""Event streams that a legacy client comes back to: it gets what it missed, once, and of that stream only."""

import json
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapter.events import EventParser, EventTooLarge
from gateway.adapter.http.outbox import ClientGone, Reply
from gateway.adapter.http.streams import EventsGone, StreamOutbox, parse_event_id
from tests.adapter.support import Adapter, Json, LegacyClient


def body(number: int) -> Reply:
    return Reply(body=str(number).encode())


@given(
    sent=st.integers(1, 60),
    taken=st.integers(1, 60),
    seen=st.integers(0, 60),
)
async def test_a_client_that_comes_back_gets_exactly_what_it_missed(sent: int, taken: int, seen: int):
    taken, seen = min(sent, taken), min(sent, taken, seen)
    stream = StreamOutbox("p1")
    first = stream.attach(primed=True)
    first.opening(None)
    for number in range(1, sent + 1):
        stream.offer(body(number))
    for _ in range(taken):
        await first.take(1)
    first.leave()
    stream.rewind(seen)
    second = stream.attach(primed=False)
    got = [await second.take(1) for _ in range(sent - seen)]
    assert [reply.body for reply in got if reply] == [str(number).encode() for number in range(seen + 1, sent + 1)]
    assert stream.event_id() == f"p1-{sent}"


async def test_a_reader_that_was_replaced_takes_nothing():
    stream = StreamOutbox("g")
    first = stream.attach(primed=False)
    first.opening(None)
    second = stream.attach(primed=False)
    stream.offer(body(1))
    with pytest.raises(ClientGone):
        await first.take(1)
    assert await second.take(1) == body(1)


async def test_events_are_kept_within_bounds():
    stream = StreamOutbox("p1")
    reader = stream.attach(primed=False)
    reader.opening(None)
    for number in range(1, 301):
        stream.offer(body(number))
        await reader.take(1)
    with pytest.raises(EventsGone):
        stream.rewind(10)
    stream.rewind(200)
    with pytest.raises(EventsGone):
        stream.rewind(301)


async def test_the_first_message_of_a_stream_can_be_had_again():
    stream = StreamOutbox("p1", expected=1)
    reader = stream.attach(primed=True)
    stream.offer(body(1))
    taken = await reader.take(1)
    assert reader.opening(taken) == b"id: p1-0\nretry: 1000\ndata: \n\n"
    assert reader.event(body(1)) == b"id: p1-1\ndata: 1\n\n"
    stream.rewind(0)
    assert await stream.attach(primed=False).take(1) == body(1)


@pytest.mark.parametrize("text", ["", "g", "g-", "x-1", "p-1", "p1-1-1", "p1-" + "9" * 40, "g-1\n", "ü-1"])
def test_an_id_that_cannot_be_ours_is_refused(text: str):
    with pytest.raises(EventsGone):
        parse_event_id(text)


@given(
    st.lists(st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), min_size=1), max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.data(),
)
def test_events_are_found_however_the_stream_is_cut(texts: list[str], end: bytes, data: st.DataObject):
    blocks = [b"id: %d%sdata: %s%s%s" % (number, end, text.encode(), end, end) for number, text in enumerate(texts)]
    stream, parser, found, at = b": hello" + end * 2 + b"".join(blocks), EventParser(10_000), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 20))
        found += parser.feed(stream[at : at + size])
        at += size
    assert [event.data for event in found] == [text.encode() for text in texts]
    assert [event.event_id for event in found] == [str(number) for number in range(len(texts))]


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(data: bytes):
    parser = EventParser(100)
    for byte in data:
        parser.feed(bytes([byte]))


def test_an_event_without_an_end_is_given_up():
    parser = EventParser(10)
    with pytest.raises(EventTooLarge):
        parser.feed(b"data: " + b"x" * 100_000)


@asynccontextmanager
async def events(client: LegacyClient, method: str, content: Json | None = None, last: str | None = None):
    """The events of a stream as (id, message) pairs."""
    headers = {**client.headers, **({"last-event-id": last} if last else {})}
    if method == "GET":
        headers["accept"] = "text/event-stream"
    async with client.http.stream(method, client.adapter.url, json=content, headers=headers) as response:
        assert response.status_code == 200

        async def pairs():
            event_id = ""
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    event_id = line[4:]
                elif line.startswith("data: "):
                    yield event_id, json.loads(line[6:]) if len(line) > 6 else None

        yield pairs()


async def test_a_broken_answer_is_taken_up_where_it_broke(faulty: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(faulty, http).initialize()
    other = await LegacyClient(faulty, http).initialize()
    arguments = {"count": 6, "pause_after": 3, "name": "broken"}
    call = client.call_body(5, "burst", arguments, {"progressToken": "t"})
    with anyio.fail_after(20):
        async with events(client, "POST", call) as seen:
            last = [(await anext(seen))[0] for _ in range(3)][-1]
        await other.call(1, "release", name="broken")
        async with events(client, "GET", last=last) as rest:
            messages = [message async for _, message in rest]
    assert [each["params"]["progress"] for each in messages[:-1]] == [3, 4, 5, 6]
    assert (messages[-1]["id"], messages[-1]["result"]["content"][0]["text"]) == (5, "all sent")


async def test_a_disconnect_is_no_cancellation(faulty: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(faulty, http).initialize()
    other = await LegacyClient(faulty, http).initialize()
    call = client.call_body(5, "burst", {"count": 2, "pause_after": 1, "name": "gone"}, {"progressToken": "t"})
    with anyio.fail_after(20):
        async with events(client, "POST", call) as seen:
            primer, _ = await anext(seen)
        assert "gone" not in (await other.call(2, "cancelled")).text
        await other.call(1, "release", name="gone")
        async with events(client, "GET", last=primer) as rest:
            assert len([message async for _, message in rest]) == 3


async def test_the_general_stream_is_taken_over_by_its_client_and_loses_nothing(
    faulty: Adapter, http: httpx.AsyncClient
):
    client = await LegacyClient(faulty, http).initialize()
    with anyio.fail_after(20):
        async with events(client, "GET") as first:
            primer, nothing = await anext(first)
            assert nothing is None
            await client.call(1, "change")
            _, notice = await anext(first)
            async with events(client, "GET", last=primer) as second:
                assert (await anext(second))[1] == notice
                await client.call(2, "change")
                assert (await anext(second))[1]["method"] == "notifications/tools/list_changed"
                assert [message async for _, message in first] == []


@pytest.mark.parametrize("last", ["nonsense", "p99-1", "g-7"])
async def test_events_that_are_not_kept_are_refused(faulty: Adapter, http: httpx.AsyncClient, last: str):
    client = await LegacyClient(faulty, http).initialize()
    headers = {**client.headers, "accept": "text/event-stream", "last-event-id": last}
    assert (await http.get(faulty.url, headers=headers)).status_code == 400


async def test_the_stream_of_another_session_cannot_be_had(faulty: Adapter, http: httpx.AsyncClient):
    alice, mallory = [await LegacyClient(faulty, http).initialize() for _ in range(2)]
    call = alice.call_body(5, "progress", {"count": 2}, {"progressToken": "t"})
    async with events(alice, "POST", call) as seen:
        last, _ = await anext(seen)
    headers = {**mallory.headers, "accept": "text/event-stream", "last-event-id": last}
    assert (await http.get(faulty.url, headers=headers)).status_code == 400


@pytest.mark.parametrize(("revision", "primed"), [("2025-11-25", True), ("2025-06-18", False), ("2025-03-26", False)])
async def test_only_the_revision_that_knows_them_gets_events_without_data(
    faulty: Adapter, http: httpx.AsyncClient, revision: str, primed: bool
):
    client = await LegacyClient(faulty, http).initialize(revision)
    call = client.call_body(1, "progress", {"count": 1}, {"progressToken": "t"})
    async with events(client, "POST", call) as seen:
        got = [message async for _, message in seen]
    assert (None in got) == primed
