"""What may last and what may not: silent calls, endless ones, sessions that end, servers that hang, memory."""

import asyncio
import http.client
import json
import os
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

from gateway.adapter import readiness
from gateway.adapter.child import Launch
from gateway.adapter.handshake import Approach, Greeting, client_params
from gateway.adapter.http.answer import answer, stream
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.http.streams import GENERAL, StreamOutbox
from gateway.adapter.http.wire import Exchange
from gateway.adapter.log import AdapterLog, Mask
from gateway.adapter.source import StdioSource
from gateway.adapter.upstream import Upstream
from tests.adapter.jumping import run_jumping
from tests.adapter.support import (
    BOTH,
    FAULTY,
    Adapter,
    LegacyClient,
    Start,
    events_of,
    modern_body,
    modern_headers,
    poll,
    text_of,
)

ROOTS = {"roots": {}}


class Listener:
    """A client that only listens; notes when it was sent something, by the clock of the loop."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.body = b""
        self.left = asyncio.Event()
        self.exchange = Exchange(method="POST", path="/mcp", raw_headers=(), receive=self.receive, send=self.send)

    async def receive(self) -> MutableMapping[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.body += event.get("body", b"")

    @property
    def longest_silence_s(self) -> float:
        return max(later - earlier for earlier, later in zip([0.0, *self.times], self.times, strict=False))


def test_a_call_of_six_silent_minutes_is_never_silent_on_the_wire():
    async def body() -> None:
        client, outbox = Listener(), Outbox()
        asyncio.get_running_loop().call_later(360, outbox.offer, Reply(body=b'{"final":1}', final=True))
        assert await answer(client.exchange, outbox)
        assert client.times[-1] == pytest.approx(360)
        assert client.longest_silence_s <= 15.1
        assert client.body.endswith(b'data: {"final":1}\n\n')
        assert client.body.count(b": keep-alive") == 23

    run_jumping(body)


def test_a_general_stream_is_held_for_a_day_without_a_message():
    async def body() -> None:
        client, outbox = Listener(), StreamOutbox(GENERAL)
        asyncio.get_running_loop().call_later(86_400, client.left.set)
        await stream(client.exchange, outbox.attach(primed=True), lambda: False)
        assert client.times[-1] == pytest.approx(86_400)
        assert client.longest_silence_s <= 15.1

    run_jumping(body)


def test_a_call_of_ten_minutes_keeps_every_notice_of_its_progress():
    async def body() -> None:
        client, outbox = Listener(), Outbox()
        loop = asyncio.get_running_loop()
        for step in range(1, 30):
            loop.call_later(20 * step, outbox.offer, Reply(body=b'{"step":%d}' % step))
        loop.call_later(600, outbox.offer, Reply(body=b'{"final":1}', final=True))
        assert await answer(client.exchange, outbox)
        steps = [line for line in client.body.splitlines() if b"step" in line]
        assert steps == [b'data: {"step":%d}' % step for step in range(1, 30)]
        assert client.longest_silence_s <= 15.1

    run_jumping(body)


def ready(start: Start, *options: str) -> Adapter:
    adapter = start(sys.executable, FAULTY, options=("--exec", *options))
    adapter.wait_for("ready")
    return adapter


async def until_cancelled(client: LegacyClient, reason: str) -> None:
    with anyio.fail_after(10):
        while reason not in text_of((await client.call(1, "cancelled")).json()):
            await anyio.lowlevel.checkpoint()


async def test_a_call_that_takes_too_long_fails_and_is_cancelled_at_the_server(start: Start, http: httpx.AsyncClient):
    adapter = ready(start, "--max-call-seconds", "0.5")
    client = await LegacyClient(adapter, http).initialize()
    body = modern_body("tools/call", {"name": "hold", "arguments": {"name": "modern"}}, request_id="m")
    with anyio.fail_after(15):
        overdue = (await client.call("l", "hold", name="legacy")).json()
        modern = (await http.post(adapter.url, json=body, headers=modern_headers(body))).json()
    for answered, request_id in ((overdue, "l"), (modern, "m")):
        assert (answered["id"], answered["error"]["code"]) == (request_id, -33001)
        assert "did not answer within" in answered["error"]["message"]
    await until_cancelled(client, "it takes too long")
    assert text_of((await client.call(2, "echo", text="hi")).json()) == "hi"


async def test_a_listen_stream_may_last_longer_than_any_call(start: Start, http: httpx.AsyncClient):
    adapter = ready(start, "--max-call-seconds", "0.3")
    client = await LegacyClient(adapter, http).initialize()
    body = modern_body("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, request_id="L")
    with anyio.fail_after(15):
        async with http.stream("POST", adapter.url, json=body, headers=modern_headers(body)) as listening:
            lines = listening.aiter_lines()
            await anext(lines)
            for number in range(2):
                assert "error" in (await client.call(number, "hold", name=f"overdue {number}")).json()
            await client.call(3, "change")
            while "list_changed" not in await anext(lines):
                pass


@pytest.mark.parametrize("capabilities", [{}, ROOTS], ids=["shared", "isolated"])
async def test_a_session_that_is_deleted_answers_its_running_call(
    faulty: Adapter, http: httpx.AsyncClient, capabilities: dict[str, Any]
):
    client = await LegacyClient(faulty, http).initialize(capabilities=capabilities)
    other = await LegacyClient(faulty, http).initialize()
    name = f"deleted {len(capabilities)}"
    failed: list[httpx.Response] = []

    async def hold() -> None:
        failed.append(await client.call("held", "hold", name=name))

    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await client.until_held(name)
            await http.delete(faulty.url, headers=client.headers)
    assert (failed[0].json()["id"], failed[0].json()["error"]["code"]) == ("held", -33002)
    if not capabilities:
        await until_cancelled(other, "its session was ended")


async def test_an_idle_session_is_closed_and_one_with_a_running_call_or_an_open_stream_is_not(
    start: Start, http: httpx.AsyncClient
):
    adapter = ready(start, "--session-idle", "0.4")
    idle, calling, listening = [await LegacyClient(adapter, http).initialize(capabilities=ROOTS) for _ in range(3)]
    answered: list[httpx.Response] = []

    async def hold() -> None:
        answered.append(await calling.call(1, "hold", name="long"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await calling.until_held("long")
        headers = {**listening.headers, "accept": "text/event-stream"}
        async with http.stream("GET", adapter.url, headers=headers):
            await anyio.to_thread.run_sync(poll, lambda: adapter.events("session-idle"), adapter.text)
            await anyio.sleep(0.8)  # Twice the time that ended the other one.
            assert text_of((await listening.call(2, "echo", text="hi")).json()) == "hi"
        await calling.call(3, "release", name="long")
    assert text_of(answered[0].json()) == "held long"
    assert (await idle.call(4, "echo", text="hi")).status_code == 404


async def test_a_result_of_four_mebibytes_may_follow_a_notice(faulty: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(faulty, http).initialize()
    size = 4 * 1024 * 1024
    response = await client.call(1, "progress", meta={"progressToken": "t"}, count=1, bytes=size)
    assert response.headers["content-type"] == "text/event-stream"
    assert text_of(events_of(response)[-1]) == "x" * size


async def test_a_server_that_hangs_is_ended_and_started_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readiness, "_CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(readiness, "_SILENT_S", 0.05)
    monkeypatch.setattr(readiness, "_ANSWER_WITHIN_S", 0.3)
    launch = Launch(command=[sys.executable, FAULTY], environment=os.environ, workdir=None)
    log, voice = AdapterLog(Mask({})), CommonVoice()
    greeting = Greeting(approach=Approach.LEGACY, raw_params=client_params({}))
    voice.upstream = Upstream(StdioSource(launch), voice, greeting, log)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(voice.upstream.run)
            hanging = await voice.upstream.live()
            assert await readiness.prove(voice.upstream) is None
            os.kill(hanging.connection.child.pid, signal.SIGSTOP)
            await readiness.watch(hanging, log)
            again = await voice.upstream.live()
            assert again.connection.child.pid != hanging.connection.child.pid
            assert await readiness.prove(voice.upstream) is None
            tasks.cancel_scope.cancel()


def cycle(connection: http.client.HTTPConnection, headers: dict[str, str]) -> None:
    """A session from beginning to end, and requests that are refused."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    opening = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    session = said(connection, "POST", opening, headers, 200)
    own = {**headers, "mcp-session-id": session or ""}
    said(connection, "POST", '{"jsonrpc":"2.0","method":"notifications/initialized"}', own, 202)
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hi"}}}
    said(connection, "POST", json.dumps(call), own, 200)
    said(connection, "DELETE", "", own, 200)
    said(connection, "POST", json.dumps(call), own, 404)
    said(connection, "POST", "{", own, 400)


def said(
    connection: http.client.HTTPConnection, method: str, body: str, headers: dict[str, str], status: int
) -> str | None:
    connection.request(method, "/mcp", body, headers)
    response = connection.getresponse()
    response.read()
    assert response.status == status
    return response.getheader("mcp-session-id")


def resident_kib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.timeout(120)
def test_sessions_and_refused_requests_leave_nothing_behind(start: Start):
    adapter = ready(start)
    headers = {"accept": BOTH, "content-type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", adapter.port)
    grown: list[int] = []
    for _ in range(3):
        before = resident_kib(adapter.process.pid)
        for _ in range(500):
            cycle(connection, headers)
        grown.append(resident_kib(adapter.process.pid) - before)
    connection.close()
    assert min(grown) <= 256, "each of three times 500 sessions took more than half a KiB that did not come back"
