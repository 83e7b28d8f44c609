"""The data path below ASGI: what it takes, what it leaves to uvicorn, and that no client can tell the difference."""

import asyncio
from contextlib import asynccontextmanager

import anyio
import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.heads import read_plain_head
from gateway.endpoint import ServerEndpoint
from gateway.problems import SESSION_NOT_FOUND_BODY
from tests.gateway.conftest import gateway_to, read_body, read_request, reply, scripted, serve, until

HEAD = b"POST /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def post(body: bytes, extra: bytes = b"") -> bytes:
    return HEAD + extra + b"content-length: %d\r\n\r\n" % len(body) + body


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def echo(scope, receive, send):
    await reply(send, 200, await read_body(receive))


@pytest.fixture
def by_asgi(monkeypatch) -> list[str]:
    """The methods of all calls that the ASGI application carried."""
    seen: list[str] = []
    carry = ServerEndpoint.__call__

    async def counted(self, scope, receive, send):
        seen.append(scope["method"])
        await carry(self, scope, receive, send)

    monkeypatch.setattr(ServerEndpoint, "__call__", counted)
    return seen


@asynccontextmanager
async def connected(port: int):
    """A gateway with warm connections to its upstream, and a client's connection to it."""
    async with gateway_to(port) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(post(b"warm"))
        await answer_of(reader)
        try:
            yield gateway, reader, writer
        finally:
            writer.close()


async def test_the_second_call_does_not_reach_asgi(by_asgi):
    async with serve(echo) as port, connected(port) as (_, reader, writer):
        for number in range(5):
            writer.write(post(b"%d" % number))
            head, body = await answer_of(reader)
            assert body == b"%d" % number
            assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            assert b"\r\ndate: " in head
    assert by_asgi == ["POST"]


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b"expect: 100-continue\r\n", id="expect"),
        pytest.param(b"connection: close\r\n", id="close"),
        pytest.param(b"origin: http://evil.example\r\n", id="refused origin"),
        pytest.param(b"mcp-session-id: unknown\r\n", id="unknown session"),
        pytest.param(b"x: " + b"y" * 9000 + b"\r\n", id="large head"),
    ],
)
async def test_what_is_not_plain_or_not_accepted_is_asgis(by_asgi, extra):
    async with serve(echo) as port, connected(port) as (_, reader, writer):
        writer.write(post(b"x", extra))
        assert b"HTTP/1.1" in await reader.readuntil(b"\r\n\r\n")
    assert len(by_asgi) == 2


async def test_a_request_may_arrive_in_any_two_pieces(by_asgi):
    request = post(b'{"id":1}')
    async with serve(echo) as port, connected(port) as (_, reader, writer):
        for cut in range(1, len(request), 7):
            writer.write(request[:cut])
            await asyncio.sleep(0.002)
            writer.write(request[cut:])
            assert (await answer_of(reader))[1] == b'{"id":1}'


async def test_pipelined_requests_of_both_kinds_are_answered_in_order():
    health = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with serve(echo) as port, connected(port) as (_, reader, writer):
        writer.write(post(b"1") + post(b"2") + health + post(b"3") + post(b"4", b"connection: keep-alive\r\n") + health)
        with anyio.fail_after(10):
            bodies = [(await answer_of(reader))[1] for _ in range(6)]
    assert bodies == [b"1", b"2", b'{"status":"ok"}', b"3", b"4", b'{"status":"ok"}']


async def test_thousands_of_pipelined_requests_are_read_only_as_they_are_answered():
    count = 3000
    async with serve(echo) as port, connected(port) as (_, reader, writer), asyncio.TaskGroup() as group:
        group.create_task(_send_all(writer, count))
        with anyio.fail_after(30):
            for number in range(count):
                assert (await answer_of(reader))[1] == b"%06d" % number


async def _send_all(writer, count):
    for number in range(count):
        writer.write(post(b"%06d" % number))
        await writer.drain()


async def test_a_body_that_stays_away_is_waited_for_by_asgi(by_asgi):
    async with serve(echo) as port, connected(port) as (_, reader, writer):
        request = post(b"late body")
        writer.write(request[:-4])
        with anyio.fail_after(10):
            await until(lambda: len(by_asgi) == 2)
            writer.write(request[-4:])
            assert (await answer_of(reader))[1] == b"late body"


async def test_a_large_body_is_asgis_and_arrives_whole(by_asgi):
    body = b"x" * 100_000
    async with serve(echo) as port, connected(port) as (_, reader, writer):
        writer.write(post(body))
        assert (await answer_of(reader))[1] == body
        writer.write(post(b"small"))
        assert (await answer_of(reader))[1] == b"small"
    assert len(by_asgi) == 2


async def test_a_new_route_voids_what_was_remembered(by_asgi):
    async with serve(echo) as port, connected(port) as (gateway, reader, writer):
        writer.write(post(b"x"))
        assert (await answer_of(reader))[1] == b"x"
        gateway.routes.replace([])
        writer.write(post(b"x"))
        head, _ = await answer_of(reader)
    assert head.startswith(b"HTTP/1.1 404 ")
    assert len(by_asgi) == 2


async def test_events_pass_as_they_come():
    go_on = asyncio.Event()

    async def upstream(scope, receive, send):
        if await read_body(receive) == b"warm":
            await reply(send, 200)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": False})

    async with serve(upstream) as port, connected(port) as (_, reader, writer):
        with anyio.fail_after(10):
            writer.write(post(b"{}"))
            assert b"transfer-encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readuntil(b"1\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
            go_on.set()
            assert await reader.readuntil(b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_a_stream_makes_a_connection_of_its_own_below_asgi(by_asgi):
    left = asyncio.Event()

    async def upstream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with serve(upstream) as port, gateway_to(port) as gateway:
        with anyio.fail_after(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await reader.readuntil(b": hello\n\n\r\n")
            writer.close()
            await left.wait()
    assert by_asgi == []


async def test_a_stream_to_nobody_is_answered_by_asgi(by_asgi, unused_port):
    async with gateway_to(unused_port) as gateway:
        with anyio.fail_after(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\n\r\n")
            head, body = await answer_of(reader)
            writer.close()
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"upstream-unreachable" in body
    assert by_asgi == ["GET"]


async def silent_after_warming(reader, writer):
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    assert await reader.read() == b""
    raise ConnectionError


async def test_a_client_that_leaves_ends_the_exchange_upstream(by_asgi):
    async with scripted(silent_after_warming) as upstream, connected(upstream.port) as (_, reader, writer):
        with anyio.fail_after(10):
            writer.write(post(b"{}"))
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await upstream.closed.wait()
    assert len(by_asgi) == 1


async def test_an_upstream_that_dies_before_its_answer_is_told_as_a_json_rpc_error(by_asgi):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await read_request(reader)

    async with scripted(script) as upstream, connected(upstream.port) as (_, reader, writer):
        with anyio.fail_after(10):
            writer.write(post(b"{}"))
            head, body = await answer_of(reader)
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b'"code":"upstream-broken"' in body
    assert len(by_asgi) == 1


async def test_an_upstream_that_dies_in_its_answer_leaves_it_visibly_incomplete():
    async def script(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()

    async with scripted(script) as upstream, connected(upstream.port) as (_, reader, writer):
        with anyio.fail_after(10):
            writer.write(post(b"{}"))
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readuntil(b"0\r\n\r\n")


async def test_a_client_that_reads_slowly_slows_the_upstream_and_loses_nothing(by_asgi):
    total = 60_000_000
    sent = 0

    async def script(reader, writer):
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()

    async with scripted(script) as upstream, connected(upstream.port) as (_, reader, writer):
        with anyio.fail_after(30):
            writer.write(post(b"{}"))
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < total / 2
            assert len(await reader.readexactly(total)) == total
    assert len(by_asgi) == 1


async def test_a_machine_that_is_gone_is_a_lost_session(by_asgi):
    async def upstream(scope, receive, send):
        await read_body(receive)
        if b"mcp-session-id" in dict(scope["headers"]):
            await reply(send, 503)
        else:
            await reply(send, 200, b"", ((b"mcp-session-id", b"s"), (b"catwalk-machine", b"148e2d")))

    async with serve(upstream) as port, connected(port) as (_, reader, writer):
        writer.write(post(b"{}"))
        head, _ = await answer_of(reader)
        capsule = head.split(b"mcp-session-id: ")[1].split(b"\r\n")[0]
        writer.write(post(b"{}", b"mcp-session-id: %b\r\n" % capsule))
        head, body = await answer_of(reader)
    assert head.startswith(b"HTTP/1.1 404 ")
    assert body == SESSION_NOT_FOUND_BODY
    assert by_asgi == ["POST"]


async def test_idle_connections_are_closed_after_their_time():
    async with serve(echo) as port, gateway_to(port, keep_alive_s=0.05) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        for _ in range(3):
            writer.write(post(b"x"))
            await answer_of(reader)
        with anyio.fail_after(10):
            assert await reader.read() == b""
        writer.close()


async def test_a_stop_ends_event_streams_and_lets_calls_finish():
    answering = asyncio.Event()

    async def upstream(scope, receive, send):
        if scope["method"] == "GET":
            kind = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
            await receive()
            await receive()
        elif await read_body(receive) == b"slow":
            await answering.wait()
            await reply(send, 200, b"finished")
        else:
            await reply(send, 200)

    async with serve(upstream) as port, gateway_to(port) as gateway:
        pairs = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
        for reader, writer in pairs:
            writer.write(post(b"warm"))
            await answer_of(reader)
        (stream, stream_writer), (call, call_writer) = pairs
        stream_writer.write(b"GET /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        await stream.readuntil(b": hello\n\n\r\n")
        call_writer.write(post(b"slow"))
        await asyncio.sleep(0.05)
        gateway.stop()
        with anyio.fail_after(10):
            assert await stream.read() == b"0\r\n\r\n"
            answering.set()
            assert (await answer_of(call))[1] == b"finished"
            assert await call.read() == b""
        stream_writer.close()
        call_writer.close()


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=12)
VALUE = st.text([*map(chr, range(256))], max_size=30)
LINE_END = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n "])


@st.composite
def head_blocks(draw) -> bytes:
    lines = [draw(st.sampled_from(["POST", "GET", "DELETE", "PUT", "post"]))]
    lines[0] += draw(st.sampled_from([" /servers/time/mcp ", " /servers/time/mcp  ", "  /servers/time/mcp ", " /mcp "]))
    lines[0] += draw(st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 "]))
    names = TOKEN | st.sampled_from(["Content-Length", "Transfer-Encoding", "Host", "Connection", "Upgrade"])
    for name in draw(st.lists(names, min_size=1, max_size=5)):
        gap = draw(st.sampled_from([": ", ":", ":\t", " : ", ":  "]))
        lines.append(f"{name}{gap}{draw(VALUE | st.sampled_from(['0', '12', '+1', 'chunked', 'keep-alive', 'close']))}")
    return "".join(line + draw(LINE_END) for line in [*lines, ""]).encode("latin-1")


class Strict:
    """What httptools reads, as uvicorn asks it."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.has_head = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.has_head = True


@given(head_blocks())
def test_what_the_edge_reads_every_other_parser_reads_alike(block):
    head = read_plain_head(block)
    if head is None:
        return
    strict = Strict()
    parser = httptools.HttpRequestParser(strict)
    lengths = [value for name, value in head.headers if name == b"content-length"]
    if len(lengths) > 1 or any(not value.isdigit() for value in lengths):
        return  # Refused by the decision, before anything is done with the head.
    parser.feed_data(block)
    assert strict.has_head
    assert (parser.get_method().decode(), strict.url, strict.headers) == (head.method, head.path, list(head.headers))
    other = h11.Connection(h11.SERVER)
    if [name for name, _ in head.headers].count(b"host") != 1:
        return  # h11 refuses these itself; the decision does so too.
    other.receive_data(block)
    event = other.next_event()
    assert isinstance(event, h11.Request)
    assert event.target == head.path
    assert [(name, value) for name, value in event.headers] == list(head.headers)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(HEAD.replace(b"\r\n", b"\n") + b"\n", id="bare line feeds"),
        pytest.param(HEAD + b"a: b\r\n c\r\n\r\n", id="folded"),
        pytest.param(HEAD + b"a : b\r\n\r\n", id="space before the colon"),
        pytest.param(HEAD + b"a: b\0c\r\n\r\n", id="NUL"),
        pytest.param(HEAD + b"a: b\rc\r\n\r\n", id="bare carriage return"),
        pytest.param(HEAD + b": b\r\n\r\n", id="no name"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n", id="chunks"),
        pytest.param(HEAD + b"connection: close, x\r\n\r\n", id="a wish about the connection"),
        pytest.param(HEAD + b"upgrade: h2c\r\n\r\n", id="upgrade"),
        pytest.param(HEAD.replace(b"1.1", b"1.0") + b"\r\n", id="HTTP/1.0"),
        pytest.param(HEAD.replace(b"/mcp", b"/mcp?x=1") + b"\r\n", id="query"),
        pytest.param(HEAD.replace(b"time", b"ti%6de") + b"\r\n", id="escaped path"),
        pytest.param(HEAD.replace(b"/servers", b"http://localhost/servers") + b"\r\n", id="absolute target"),
        pytest.param(HEAD.replace(b"POST", b"PUT") + b"\r\n", id="other method"),
        pytest.param(b"\r\n" + HEAD + b"\r\n", id="empty line in front"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(block):
    assert read_plain_head(block) is None
