"""What stands in for uvicorn's parts of a connection: it waits in the same way, and is small while nobody does."""

import asyncio
import socket
import sys
from typing import cast

import anyio
import anyio.lowlevel
import httpx
import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from gateway.adapter.http.lean import HeadFirst, LeanEvent, LeanFlow
from tests.adapter.support import Adapter, LegacyClient, text_of


class Transport:
    """What was asked of a transport."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.written: list[bytes] = []

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.asked.append("close")


def flow_of(transport: Transport) -> LeanFlow:
    return LeanFlow(cast(asyncio.Transport, transport))


async def test_everybody_who_waits_goes_on_when_an_event_is_set():
    event, went_on = LeanEvent(), 0

    async def wait() -> None:
        nonlocal went_on
        await event.wait()
        went_on += 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert went_on == 0
            event.set()
    assert went_on == 3
    assert await event.wait()


async def test_an_event_is_waited_for_again_when_it_was_cleared():
    event = LeanEvent(is_set=True)
    event.clear()
    with anyio.move_on_after(0.01) as scope:
        await event.wait()
    assert scope.cancelled_caught
    event.set()  # Whoever was cancelled is no longer there to go on.
    assert event.is_set()


async def test_a_writer_waits_for_as_long_as_its_client_does_not_read():
    flow = flow_of(Transport())
    await flow.drain()
    flow.pause_writing()
    with anyio.move_on_after(0.01) as scope:
        await flow.drain()
    assert scope.cancelled_caught
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flow.drain)
            await anyio.lowlevel.checkpoint()
            flow.resume_writing()


def test_reading_is_paused_and_resumed_once():
    transport = Transport()
    flow = flow_of(transport)
    for change in (flow.resume_reading, flow.pause_reading, flow.pause_reading, flow.resume_reading):
        change()
    assert transport.asked == ["pause", "resume"]


def test_it_offers_what_uvicorn_asks_of_it():
    offered = {name for name in vars(FlowControl) if not name.startswith("_")}
    state = {name for name in vars(FlowControl(cast(asyncio.Transport, Transport()))) if not name.startswith("_")}
    assert {*offered, *state} <= {name for name in dir(LeanFlow) if not name.startswith("_")}
    assert sys.getsizeof(LeanEvent()) < 64


@pytest.mark.parametrize(
    ("written", "left"),
    [
        pytest.param([b"head", b"body", b"more"], [b"headbody", b"more"], id="a body"),
        pytest.param([b"head", b""], [b"head"], id="an empty body"),
        pytest.param([b"head"], [b"head"], id="closed behind the head"),
        pytest.param(
            [b"HTTP/1.1 100 Continue\r\n\r\n", b"head", b"body"],
            [b"HTTP/1.1 100 Continue\r\n\r\n", b"headbody"],
            id="an interim response",
        ),
        pytest.param([], [], id="nothing"),
    ],
)
def test_the_head_of_a_response_leaves_with_what_follows(written: list[bytes], left: list[bytes]):
    transport = Transport()
    first = HeadFirst(cast(asyncio.Transport, transport))
    for data in written:
        first.write(data)
    first.close()
    assert (transport.written, transport.asked) == (left, ["close"])


def test_a_request_for_the_head_alone_is_answered(fresh: Adapter):
    with socket.create_connection(("127.0.0.1", fresh.port), timeout=10) as client:
        client.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b'{"state": "ready"' in client.makefile("rb").read()


async def test_messages_of_one_moment_reach_the_server_in_their_order(fresh: Adapter):
    """They leave in one write, and none is lost when the server is about to end."""
    async with httpx.AsyncClient(timeout=30) as http:
        client = await LegacyClient(fresh, http).initialize()
        texts = [f"text {number}" for number in range(50)]
        answers = await asyncio.gather(*(client.call(place, "echo", text=text) for place, text in enumerate(texts)))
    assert [text_of(answer.json()) for answer in answers] == texts
