"""The relay against real sockets that behave and misbehave."""

import asyncio
import threading

import anyio
import pytest

from gateway.relay import (
    Address,
    BufferedResponse,
    ExchangeAborted,
    Relay,
    RelayFault,
    RelayLimits,
    RequestHead,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tests.gateway.conftest import read_request, scripted, until

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def address(port: int) -> Address:
    return Address("127.0.0.1", port, "acme-time.flycast")


def opening(body: bytes = b"", method: bytes = b"POST") -> bytes:
    head = RequestHead(
        method=method, target=b"/mcp", authority=b"acme-time.flycast", headers=[], content_length=len(body)
    )
    return head.encode() + body


async def call(relay: Relay, port: int, body: bytes = b"{}") -> tuple[int, bytes]:
    response = BufferedResponse(relay.limits)
    exchange = await relay.open(address(port), opening(body), response, chunked=False)
    exchange.complete_request()
    head = await response.head()
    pieces = b""
    while piece := await response.read():
        pieces += piece
    return head.status, pieces


async def answering(reader, writer):
    while True:
        await read_request(reader)
        writer.write(OK)


@pytest.fixture
async def relay(limits):
    relay = Relay(limits)
    yield relay
    await relay.aclose()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(OK, b"{}", id="content-length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}", id="chunked"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nx: y\r\n\r\n",
            b"{}",
            id="chunk extension and trailer",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n{}", b"{}", id="until the connection closes"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"{}", id="http/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}", id="interim response"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="no content"),
    ],
)
async def test_every_framing_of_http_is_understood(relay, answer, body):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with scripted(script) as upstream:
        with anyio.fail_after(5):
            _, received = await call(relay, upstream.port)
    assert received == body


SMUGGLING = [
    ("not http", b"SSH-2.0-OpenSSH_9.9\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    ("equal lengths twice", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}"),
    ("signed length", b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}"),
    ("hexadecimal length", b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\n{}"),
    ("length list", b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}"),
    (
        "length beside chunks",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ),
    ("other coding", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    ("coding twice", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("space before colon", b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\n{}"),
    ("folded header", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\n{}"),
    ("bare line feeds", b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"),
    ("NUL in a header", b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}"),
    ("bad chunk size", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    ("chunk longer than said", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"),
    ("protocol switch", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ("status 600", b"HTTP/1.1 600 What\r\ncontent-length: 0\r\n\r\n"),
    ("head too large", b"HTTP/1.1 200 OK\r\nx: " + b"a" * 40_000 + b"\r\ncontent-length: 0\r\n\r\n"),
    ("too many headers", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"content-length: 0\r\n\r\n"),
    ("endless interim responses", b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
    (
        "endless trailer",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: " + b"a" * 400_000,
    ),
    ("endless chunk extension", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;" + b"a" * 400_000),
    ("cut in the body", b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}"),
    ("cut in the chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    ("cut in the head", b"HTTP/1.1 200 OK\r\ncontent-"),
    ("nothing at all", b""),
]


@pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in SMUGGLING])
async def test_an_answer_that_can_be_read_in_two_ways_is_refused(relay, answer):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with scripted(script) as upstream:
        with anyio.fail_after(5), pytest.raises(UpstreamBroken):
            await call(relay, upstream.port)
        assert relay.connections(address(upstream.port)) == 0


async def test_a_clean_connection_carries_the_next_exchange(relay):
    async with scripted(answering) as upstream:
        for _ in range(5):
            assert await call(relay, upstream.port) == (200, b"{}")
        assert upstream.connections == 1


async def test_concurrent_exchanges_have_connections_of_their_own(relay):
    async with scripted(answering) as upstream, asyncio.TaskGroup() as group:
        calls = [group.create_task(call(relay, upstream.port)) for _ in range(8)]
    assert [task.result() for task in calls] == [(200, b"{}")] * 8
    assert upstream.connections == 8


async def test_apps_behind_one_address_never_share_a_connection(relay):
    async with scripted(answering) as upstream:
        await call(relay, upstream.port)
        other = Address("127.0.0.1", upstream.port, "acme-other.flycast")
        exchange = await relay.open(other, opening(), BufferedResponse(relay.limits), chunked=False)
        exchange.abort()
        assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK.replace(b"content-type", b"connection: close\r\ncontent-type"), id="it says close"),
        pytest.param(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!", id="a second answer follows"),
        pytest.param(OK + b"garbage", id="garbage follows"),
    ],
)
async def test_an_unclean_connection_is_not_used_again(relay, answer):
    async def script(reader, writer):
        while True:
            await read_request(reader)
            writer.write(answer)

    async with scripted(script) as upstream:
        assert await call(relay, upstream.port) == (200, b"{}")
        assert await call(relay, upstream.port) == (200, b"{}")
        assert upstream.connections == 2


async def test_a_pooled_connection_that_the_upstream_closed_is_replaced_before_anything_is_sent(relay):
    """The upstream lives in a thread, so that the event loop cannot have noticed the close before the next call."""
    closed = threading.Event()
    requests: list[bytes] = []
    listening = threading.Event()
    ports: list[int] = []

    async def answer_once(reader, writer):
        requests.append((await read_request(reader))[1])
        writer.write(OK)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async def upstream() -> None:
        server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        listening.set()
        await until(lambda: len(requests) == 2 and closed.is_set())
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(upstream(),))
    thread.start()
    assert listening.wait(5)
    assert await call(relay, ports[0], b"first") == (200, b"{}")
    assert closed.wait(5)
    closed.clear()
    assert await call(relay, ports[0], b"second") == (200, b"{}")
    await asyncio.to_thread(thread.join, 5)
    assert requests == [b"first", b"second"]


async def test_a_request_that_was_written_is_never_sent_twice(relay):
    requests = 0

    async def script(reader, writer):
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1
            if requests > 1:
                return
            writer.write(OK)

    async with scripted(script) as upstream:
        await call(relay, upstream.port)
        with pytest.raises(UpstreamBroken, match="without an answer"):
            await call(relay, upstream.port)
    assert requests == 2


async def test_a_refused_connection_is_told_apart(relay, unused_port):
    with pytest.raises(UpstreamUnreachable) as caught:
        await call(relay, unused_port)
    assert caught.value.refused


async def test_a_silent_upstream_meets_the_head_timeout():
    relay = Relay(RelayLimits(head_timeout_s=0.05))

    async def script(reader, _):
        await reader.read()

    async with scripted(script) as upstream:
        with anyio.fail_after(5), pytest.raises(UpstreamTimeout, match="no answer within"):
            await call(relay, upstream.port)
    await relay.aclose()


async def test_an_upstream_that_reads_nothing_meets_the_send_timeout():
    relay = Relay(RelayLimits(send_timeout_s=0.05))
    done = asyncio.Event()

    async def script(_, writer):
        writer.transport.pause_reading()
        await done.wait()

    async with scripted(script) as upstream:
        response = BufferedResponse(relay.limits)
        exchange = await relay.open(address(upstream.port), opening(), response, chunked=True)
        with anyio.fail_after(20):
            while exchange.is_open:
                await exchange.send(b"x" * 1_000_000)
        with pytest.raises(UpstreamTimeout, match="read nothing"):
            await response.head()
        done.set()
    await relay.aclose()


async def test_the_number_of_connections_is_bounded():
    relay = Relay(RelayLimits(max_connections_per_upstream=2))
    async with scripted(answering) as upstream:
        target = address(upstream.port)
        for _ in range(2):
            await relay.open(target, b"POST / HTTP/1.1\r\n", BufferedResponse(relay.limits), chunked=False)
        with pytest.raises(UpstreamBusy):
            await relay.open(target, b"", BufferedResponse(relay.limits), chunked=False)
        await relay.aclose()
        assert relay.connections(target) == 0


async def test_a_slow_reader_slows_the_upstream_and_loses_nothing(relay):
    total = 40_000_000
    sent = 0

    async def script(reader, writer):
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()

    async with scripted(script) as upstream:
        response = BufferedResponse(relay.limits)
        exchange = await relay.open(address(upstream.port), opening(), response, chunked=False)
        exchange.complete_request()
        assert not await response.completes_within(5)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < total / 2
        received = 0
        with anyio.fail_after(20):
            while piece := await response.read():
                received += len(piece)
        assert received == total


async def test_a_connection_that_was_slowed_down_is_read_again_in_its_next_exchange(relay):
    body = b"x" * 200_000

    async def script(reader, writer):
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with scripted(script) as upstream:
        for _ in range(20):
            with anyio.fail_after(5):
                assert await call(relay, upstream.port) == (200, body)
        assert upstream.connections == 1


async def test_an_abort_closes_the_connection_of_the_upstream(relay):
    closed = asyncio.Event()

    async def script(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        assert await reader.read() == b""
        closed.set()

    async with scripted(script) as upstream:
        response = BufferedResponse(relay.limits)
        exchange = await relay.open(address(upstream.port), opening(), response, chunked=False)
        exchange.complete_request()
        assert (await response.head()).is_event_stream
        exchange.abort()
        with anyio.fail_after(5):
            await closed.wait()
        with pytest.raises(ExchangeAborted):
            await response.read()


async def test_a_late_abort_does_not_touch_the_next_exchange_on_the_connection(relay):
    async with scripted(answering) as upstream:
        response = BufferedResponse(relay.limits)
        first = await relay.open(address(upstream.port), opening(), response, chunked=False)
        first.complete_request()
        assert await response.completes_within(5)
        second_response = BufferedResponse(relay.limits)
        second = await relay.open(address(upstream.port), opening(), second_response, chunked=False)
        first.abort()
        second.complete_request()
        assert (await second_response.head()).status == 200
        assert upstream.connections == 1


async def test_an_early_answer_to_half_a_request_ends_the_connection(relay):
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with scripted(script) as upstream:
        response = BufferedResponse(relay.limits)
        head = RequestHead(method=b"POST", target=b"/", authority=b"a", headers=[], content_length=10)
        exchange = await relay.open(address(upstream.port), head.encode() + b"half", response, chunked=False)
        assert (await response.head()).status == 413
        assert not exchange.is_open
        await exchange.send(b"ignored")
        exchange.complete_request()
        await asyncio.sleep(0)
        assert relay.connections(address(upstream.port)) == 0


async def test_idle_connections_are_closed_after_their_time():
    relay = Relay(RelayLimits(idle_timeout_s=0.05))
    async with scripted(answering) as upstream:
        await call(relay, upstream.port)
        assert relay.connections(address(upstream.port)) == 1
        await until(lambda: not relay.connections(address(upstream.port)))
    await relay.aclose()


async def test_closing_the_relay_ends_what_is_open():
    relay = Relay(RelayLimits())

    async def script(reader, _):
        await reader.read()

    async with scripted(script) as upstream:
        response = BufferedResponse(relay.limits)
        await relay.open(address(upstream.port), opening(), response, chunked=False)
        await relay.aclose()
        with pytest.raises(RelayFault):
            await response.head()
        with pytest.raises(UpstreamBusy):
            await relay.open(address(upstream.port), opening(), response, chunked=False)


async def test_a_server_that_closes_at_once_is_reported_as_broken_or_unreachable(relay):
    async def script(_, writer):
        writer.close()

    async with scripted(script) as upstream:
        with anyio.fail_after(5), pytest.raises((UpstreamBroken, UpstreamUnreachable)):
            await call(relay, upstream.port)
        assert relay.connections(address(upstream.port)) == 0
