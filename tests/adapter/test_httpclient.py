"""The adapter's own HTTP client in front of servers that do not keep to HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from gateway.adapter.httpclient import HttpClient, HttpFault, is_listening

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[tuple[HttpClient, Callable[[], int]]]:
    """A server that gives these answers, one for each request, and counts its connections."""
    left, connections = list(answers), [0]

    async def serve(stream: anyio.abc.SocketStream) -> None:
        connections[0] += 1
        async with stream:
            while left:
                received = b""
                while b"\r\n\r\n" not in received:
                    try:
                        received += await stream.receive()
                    except (anyio.EndOfStream, anyio.BrokenResourceError):
                        return
                answer = left.pop(0)
                await stream.send(answer)
                if not answer.startswith(OK[:15]):
                    return

    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            client = HttpClient(port)
            yield client, lambda: connections[0]
            client.close()
            tasks.cancel_scope.cancel()


async def get(client: HttpClient) -> tuple[int, bytes]:
    async with client.request("GET", "/", ()) as answer:
        return answer.status, b"".join([piece async for piece in answer.pieces()])


async def test_a_connection_is_used_again():
    async with serving(OK, OK) as (client, connections):
        assert [await get(client), await get(client)] == [(200, b"hi"), (200, b"hi")]
        assert connections() == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="not http"),
        pytest.param(b"HTTP/1.1 200", id="half a head"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 100\r\n\r\nhalf", id="half a body"),
        pytest.param(b"HTTP/1.0 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", id="a head without an end"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", id="two lengths"),
    ],
)
async def test_an_unusable_answer_is_one_kind_of_fault(answer: bytes):
    async with serving(answer) as (client, _):
        with pytest.raises(HttpFault):
            await get(client)


async def test_a_port_without_a_server_is_a_fault():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        assert await is_listening(port)
    assert not await is_listening(port)
    with pytest.raises(HttpFault):
        await get(HttpClient(port))
