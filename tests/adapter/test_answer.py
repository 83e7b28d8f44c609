"""How an answer reaches its client: as JSON where it can, as a stream that is never silent for long where it must."""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from gateway.adapter.http import answer as module
from gateway.adapter.http.answer import answer
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.http.shared_timer import SharedTimer
from gateway.adapter.http.streams import StreamOutbox
from gateway.adapter.http.wire import Exchange

FINAL = Reply(body=b'{"final":1}', final=True)
NOTICE = Reply(body=b'{"notice":1}')


class Client:
    """The other end of an exchange: what it was sent, and whether it has left."""

    def __init__(self, *, reads: bool = True) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.writes = 0
        self.left = anyio.Event()
        self.comments = anyio.Semaphore(0)
        self._reads = reads
        self.exchange = Exchange(method="POST", path="/mcp", raw_headers=(), receive=self.receive, send=self.send)

    async def receive(self) -> MutableMapping[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            self.status, self.headers = event["status"], dict(event["headers"])
            return
        if not self._reads:
            await anyio.sleep_forever()
        self.body += event["body"]
        self.writes += 1
        if event["body"].startswith(b":"):
            self.comments.release()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with short intervals."""
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.06)
    monkeypatch.setattr(module, "_QUICK_S", 0.01)
    monkeypatch.setattr(module, "_STALLED_S", 0.05)


async def test_a_prompt_answer_is_json_with_its_status():
    client, outbox = Client(), Outbox()
    outbox.offer(Reply(body=b"{}", final=True, status=404))
    assert await answer(client.exchange, outbox)
    assert (client.status, client.headers[b"content-type"], client.body) == (404, b"application/json", b"{}")


async def test_an_answer_after_a_notice_is_a_stream():
    client, outbox = Client(), Outbox()
    outbox.offer(NOTICE)
    outbox.offer(FINAL)
    assert await answer(client.exchange, outbox)
    assert client.headers[b"x-accel-buffering"] == b"no"
    assert client.body == b'data: {"notice":1}\n\ndata: {"final":1}\n\n'


@pytest.mark.usefixtures("quick")
async def test_a_silent_call_becomes_a_stream_with_comments():
    client, outbox = Client(), Outbox()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(answer, client.exchange, outbox)
        with anyio.fail_after(5):
            for _ in range(3):
                await client.comments.acquire()
        outbox.offer(FINAL)
    assert client.status == 200
    assert client.body.endswith(b': keep-alive\n\ndata: {"final":1}\n\n')


@pytest.mark.usefixtures("quick")
async def test_a_client_that_takes_nothing_is_given_up():
    client, outbox = Client(reads=False), Outbox()
    outbox.offer(NOTICE)
    with anyio.fail_after(5):
        assert not await answer(client.exchange, outbox)
    assert outbox.is_gone


@pytest.mark.usefixtures("quick")
async def test_a_client_that_leaves_is_noticed_while_nothing_happens():
    client, outbox = Client(), Outbox()
    client.left.set()
    with anyio.fail_after(5):
        assert not await answer(client.exchange, outbox)


@pytest.mark.usefixtures("quick")
async def test_a_stream_outlives_its_client_and_an_unbegun_answer_does_not():
    for begun in (True, False):
        client, outbox = Client(), StreamOutbox("p1", expected=1)
        if begun:
            outbox.offer(NOTICE)
        client.left.set()
        with anyio.fail_after(5):
            await answer(client.exchange, outbox.attach(primed=False))
        assert outbox.is_gone != begun


class Connection:
    """What the event loop tells of a client."""

    def __init__(self, *, is_lost: bool = False) -> None:
        self.is_lost = is_lost
        self.on_lost: Callable[[], None] | None = None


@pytest.mark.parametrize("is_lost", [False, True], ids=["later", "already"])
async def test_a_client_whose_connection_is_lost_is_noticed_without_waiting_for_it(is_lost: bool):
    connection, outbox = Connection(is_lost=is_lost), Outbox()
    exchange = replace(Client().exchange, connection=connection)
    delivered: list[bool] = []

    async def carry() -> None:
        delivered.append(await answer(exchange, outbox))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carry)
            while connection.on_lost is None and not delivered:
                await anyio.lowlevel.checkpoint()
            if connection.on_lost is not None:
                connection.on_lost()
    assert (delivered, outbox.is_gone, connection.on_lost) == ([False], True, None)


async def test_streams_that_wait_for_about_the_same_moment_share_a_timer():
    timer = SharedTimer(asyncio.get_running_loop())
    waiters = [asyncio.get_running_loop().create_future() for _ in range(3)]
    groups = [timer.add(waiter, 0.9) for waiter in waiters]
    groups[0].discard(waiters[0])
    assert groups[0] is groups[1] is groups[2]
    with anyio.fail_after(2):
        await asyncio.gather(*waiters[1:])
    assert not waiters[0].done()


async def test_messages_that_wait_already_leave_in_one_write():
    client, outbox = Client(), Outbox()
    for reply in [NOTICE, NOTICE, NOTICE, FINAL]:
        outbox.offer(reply)
    assert await answer(client.exchange, outbox)
    assert client.body == 3 * b'data: {"notice":1}\n\n' + b'data: {"final":1}\n\n'
    assert client.writes == 1


async def test_a_write_carries_no_more_than_fits_and_nothing_is_lost():
    client, outbox = Client(), Outbox()
    large = Reply(body=b'{"notice":"' + b"x" * 40_000 + b'"}')
    for reply in [large, large, large, large, large, FINAL]:
        outbox.offer(reply)
    assert await answer(client.exchange, outbox)
    assert client.body.count(b"data: ") == 6
    assert client.writes == 3
