"""What passes through the gateway, both ways, over real sockets."""

import asyncio
import hashlib

import anyio
import httpx
import pytest

from gateway.relay import RelayLimits
from tests.gateway.conftest import gateway_to, read_body, read_request, reply, scripted, serve

EVENT_STREAM = (b"content-type", b"text/event-stream")

pytestmark = pytest.mark.usefixtures("data_path")


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def echo(scope, receive, send):
    await reply(send, 200, await read_body(receive))


async def test_a_json_answer_arrives_as_it_was_given(client):
    async def upstream(scope, receive, send):
        body = await read_body(receive)
        assert scope["path"] == "/mcp"
        assert scope["method"] == "POST"
        await reply(send, 200, b'{"heard":' + body + b"}")

    async with serve(upstream) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b'{"id":1}', headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.content == b'{"heard":{"id":1}}'


@pytest.mark.parametrize("status", [200, 202, 204, 400, 404, 405, 406, 500, 503])
async def test_every_status_of_the_upstream_is_the_clients_status(client, status):
    async def upstream(scope, receive, send):
        await reply(send, status, b"" if status in {202, 204} else b"{}", ((b"allow", b"POST"),))

    async with serve(upstream) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b"{}")
    assert response.status_code == status
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_the_legacy_verbs_pass_without_a_body(client, method):
    async def upstream(scope, receive, send):
        await reply(send, 200, scope["method"].encode() + await read_body(receive))

    async with serve(upstream) as port, gateway_to(port) as gateway:
        response = await client.request(method, gateway.mcp)
    assert response.content == method.encode()


async def test_the_first_event_arrives_before_the_last_is_made(client):
    first_was_read = asyncio.Event()

    async def upstream(scope, receive, send):
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": [EVENT_STREAM]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await first_was_read.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n", "more_body": False})

    async with serve(upstream) as port, gateway_to(port) as gateway:
        with anyio.fail_after(10):
            async with client.stream("POST", gateway.mcp, content=b"{}") as response:
                pieces = response.aiter_raw()
                assert await anext(pieces) == b"data: 1\n\n"
                first_was_read.set()
                assert [piece async for piece in pieces] == [b"data: 2\n\n"]
    assert response.headers["content-type"] == "text/event-stream"


async def test_an_answer_of_any_type_streams_when_it_is_slow(client):
    first_was_read = asyncio.Event()

    async def upstream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        await first_was_read.wait()
        await send({"type": "http.response.body", "body": b"}", "more_body": False})

    async with serve(upstream) as port, gateway_to(port) as gateway:
        with anyio.fail_after(10):
            async with client.stream("POST", gateway.mcp, content=b"{}") as response:
                pieces = response.aiter_raw()
                assert await anext(pieces) == b"{"
                first_was_read.set()
                assert [piece async for piece in pieces] == [b"}"]


async def test_the_request_body_streams_too(client):
    """The upstream gets the first half while the client still holds back the second."""
    half_arrived = asyncio.Event()

    async def upstream(scope, receive, send):
        first = await receive()
        half_arrived.set()
        await reply(send, 200, first["body"] + await read_body(receive))

    async def halves():
        yield b"first "
        await half_arrived.wait()
        yield b"second"

    async with serve(upstream) as port, gateway_to(port) as gateway:
        with anyio.fail_after(10):
            response = await client.post(gateway.mcp, content=halves())
    assert response.content == b"first second"


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
@pytest.mark.parametrize("size", [1, 65_536, 1_048_576, 10 * 1_048_576])
async def test_bodies_of_every_size_arrive_whole_in_both_directions(client, size, chunked):
    body = hashlib.sha256(b"seed").digest() * (size // 32 + 1)
    body = body[:size]

    async def pieces():
        for start in range(0, size, 100_000):
            yield body[start : start + 100_000]

    async with serve(echo) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=pieces() if chunked else body)
    assert response.status_code == 200
    assert response.content == body


async def test_a_client_that_leaves_ends_the_exchange_upstream():
    arrived, left = asyncio.Event(), asyncio.Event()

    async def upstream(scope, receive, send):
        await read_body(receive)
        arrived.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with serve(upstream) as port, gateway_to(port) as gateway:
        with anyio.fail_after(10):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}")
            await arrived.wait()
            writer.close()
            await left.wait()


async def test_a_client_that_leaves_a_stream_ends_it_upstream(client):
    left = asyncio.Event()

    async def upstream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [EVENT_STREAM]})
        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with serve(upstream) as port, gateway_to(port) as gateway:
        with anyio.fail_after(10):
            async with client.stream("GET", gateway.mcp) as response:
                assert await anext(response.aiter_raw()) == b": hello\n\n"
            await left.wait()


async def test_a_client_that_leaves_in_the_middle_of_its_body_ends_the_exchange_upstream():
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"half"
        half.set()
        assert await reader.read() == b""
        left.set()

    half, left = asyncio.Event(), asyncio.Event()
    async with scripted(script) as upstream, gateway_to(upstream.port) as gateway:
        with anyio.fail_after(10):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nhalf")
            await half.wait()
            writer.close()
            await left.wait()


async def test_a_client_that_reads_slowly_slows_the_upstream_and_loses_nothing():
    total = 60_000_000
    sent = 0

    async def script(reader, writer):
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()

    async with scripted(script) as upstream, gateway_to(upstream.port) as gateway:
        with anyio.fail_after(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"POST /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}")
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.1)
            assert sent < total / 2
            assert len(await reader.readexactly(total)) == total
            writer.close()


async def test_an_upstream_that_dies_in_the_middle_leaves_a_visibly_incomplete_answer(client):
    async def script(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await writer.drain()

    async with scripted(script) as upstream, gateway_to(upstream.port) as gateway:
        with anyio.fail_after(10):
            async with client.stream("POST", gateway.mcp, content=b"{}") as response:
                pieces = response.aiter_raw()
                assert await anext(pieces) == b"data: 1\n\n"
                with pytest.raises(httpx.RemoteProtocolError):
                    await anext(pieces)


async def test_upstream_connections_are_kept_between_calls(client):
    connections = set()

    async def upstream(scope, receive, send):
        connections.add(scope["client"])
        await reply(send, 200, await read_body(receive))

    async with serve(upstream) as port, gateway_to(port) as gateway:
        for number in range(20):
            response = await client.post(gateway.mcp, content=b"%d" % number)
            assert response.content == b"%d" % number
    assert len(connections) == 1


async def test_answers_of_concurrent_calls_are_never_mixed_up(client):
    async with serve(echo) as port, gateway_to(port) as gateway, asyncio.TaskGroup() as group:
        bodies = [b"%d" % number * 50 for number in range(100)]
        calls = [group.create_task(client.post(gateway.mcp, content=body)) for body in bodies]
    assert [call.result().content for call in calls] == bodies


async def test_a_new_route_is_used_by_the_next_request(client):
    async with serve(echo) as port, gateway_to(port) as gateway:
        assert (await client.post(gateway.mcp, content=b"x")).status_code == 200
        gateway.routes.replace([])
        assert (await client.post(gateway.mcp, content=b"x")).status_code == 404


async def test_a_stream_outlives_the_head_timeout(client):
    async def upstream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [EVENT_STREAM]})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with serve(upstream) as port, gateway_to(port, relay=RelayLimits(head_timeout_s=0.1)) as gateway:
        response = await client.post(gateway.mcp, content=b"{}")
    assert response.content == b"".join(b"data: %d\n\n" % number for number in range(5))
