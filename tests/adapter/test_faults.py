"""What goes wrong in the field, each once: nobody gets another's data, nothing hangs, nothing is left behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.adapter.__main__ import bind
from gateway.adapter.listener import bound_socket
from gateway.adapter.options import parse_options
from tests.adapter.support import (
    BOTH,
    EVERYTHING,
    FAULTY,
    MODERN_RAW,
    Adapter,
    Json,
    LegacyClient,
    Start,
    events_of,
    modern_body,
    modern_headers,
    poll,
    text_of,
)

FORGETFUL = str(Path(__file__).parent / "servers" / "forgetful.py")
ASKABLE = {"roots": {}}


def lives(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def ready(start: Start, *options: str) -> Adapter:
    adapter = start(sys.executable, FAULTY, options=("--exec", *options))
    adapter.wait_for("ready")
    return adapter


async def modern_call(adapter: Adapter, http: httpx.AsyncClient, principal: str, tool: str, /, **arguments: object):
    body = modern_body("tools/call", {"name": tool, "arguments": arguments})
    headers = {**modern_headers(body), "catwalk-principal": principal}
    return await http.post(adapter.url, json=body, headers=headers)


@pytest.mark.parametrize("first", ["a", "b"])
async def test_calls_of_one_id_keep_their_answers_whichever_ends_first(
    faulty: Adapter, http: httpx.AsyncClient, first: str
):
    client = await LegacyClient(faulty, http).initialize()
    got: dict[str, str] = {}

    async def hold(name: str) -> None:
        got[name] = text_of((await client.call(1, "hold", name=f"{name} of {first}")).json())

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for name in ("a", "b"):
                tasks.start_soon(hold, name)
                await client.until_held(f"{name} of {first}")
            for name in (first, *({"a", "b"} - {first})):
                await client.call(1, "release", name=f"{name} of {first}")
                while name not in got:
                    await anyio.lowlevel.checkpoint()
    assert got == {name: f"held {name} of {first}" for name in ("a", "b")}


async def test_two_principals_with_one_id_keep_their_answers(faulty: Adapter, http: httpx.AsyncClient):
    got: dict[str, list[str]] = {"alice": [], "bob": []}

    async def one(principal: str) -> None:
        for number in range(20):
            answered = await modern_call(faulty, http, principal, "echo", text=f"{principal} {number}")
            got[principal].append(text_of(answered.json()))

    async with anyio.create_task_group() as tasks:
        for principal in got:
            tasks.start_soon(one, principal)
    assert got == {who: [f"{who} {number}" for number in range(20)] for who in ("alice", "bob")}


async def test_a_session_is_its_principal_s_own(faulty: Adapter, http: httpx.AsyncClient):
    client = LegacyClient(faulty, http)
    client.headers["catwalk-principal"] = "alice"
    await client.initialize()
    assert (await client.call(1, "echo", text="hi")).status_code == 200
    client.headers["catwalk-principal"] = "mallory"
    assert (await client.call(2, "echo", text="hi")).status_code == 404
    assert (await http.delete(faulty.url, headers=client.headers)).status_code == 404


@pytest.mark.parametrize(
    ("mode", "capabilities", "share"),
    [
        ("auto", {}, True),
        ("auto", ASKABLE, False),
        ("shared", ASKABLE, True),
        ("isolated", {}, False),
    ],
)
async def test_sessions_share_a_process_as_the_mode_says(
    start: Start, http: httpx.AsyncClient, mode: str, capabilities: Json, share: bool
):
    adapter = ready(start, "--sessions", mode)
    clients = [await LegacyClient(adapter, http).initialize(capabilities=capabilities) for _ in range(2)]
    pids = {text_of((await client.call(1, "pid")).json()) for client in clients}
    assert (len(pids) == 1) == share
    assert {client.scope for client in clients} == {"shared" if share else "isolated"}


async def test_two_hundred_abandoned_sessions_leave_no_process(start: Start, http: httpx.AsyncClient):
    adapter = ready(start, "--session-idle", "1", "--max-children", "16")
    pids: set[str] = set()
    limit = anyio.CapacityLimiter(4)

    async def abandon() -> None:
        async with limit:
            pid = ""
            while not pid:
                # Refused with 503 for lack of room, or idle for too long before the call on a busy machine.
                with suppress(KeyError):
                    client = await LegacyClient(adapter, http).initialize(capabilities=ASKABLE)
                    pid = text_of((await client.call(1, "pid")).json())
            pids.add(pid)

    with anyio.fail_after(55):
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(abandon)
    assert len(pids) == 200
    assert poll(lambda: not any(map(lives, pids)), adapter.text)
    assert adapter.health().json()["state"] == "ready"


_CLIENT = """
import http.client, json, sys
port = int(sys.argv[1])
def post(message, session=None):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if session: headers["mcp-session-id"] = session
    connection.request("POST", "/mcp", json.dumps(message), headers)
    response = connection.getresponse()
    return response.getheader("mcp-session-id"), response.read()
params = {"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}, "clientInfo": {"name": "x", "version": "1"}}
session, _ = post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "helper", "arguments": {}}}
helper = json.loads(post(call, session)[1])["result"]["content"][0]["text"]
connection = http.client.HTTPConnection("127.0.0.1", port)
connection.request("GET", "/mcp", headers={"accept": "text/event-stream", "mcp-session-id": session})
connection.getresponse()
print(helper, flush=True)
sys.stdin.read()
"""


def test_a_killed_client_leaves_neither_server_nor_helper(start: Start):
    adapter = ready(start, "--session-idle", "0.3")
    command = [sys.executable, "-c", _CLIENT, str(adapter.port)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    helper = client.stdout.readline().strip()
    assert lives(helper)
    os.kill(client.pid, signal.SIGKILL)
    client.communicate()
    assert poll(lambda: not lives(helper), adapter.text)
    assert poll(lambda: adapter.events("session-idle"), adapter.text)


def test_the_kernel_notices_clients_that_are_gone_without_a_word():
    with bind(parse_options(["--host", "127.0.0.1", "--port", "0", "--", "npm:x"])) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


async def test_an_answer_in_two_pieces_does_not_wait_for_an_acknowledgement():
    """Asyncio itself turns Nagle's algorithm off, and only for sockets that name their protocol."""
    accepted: list[int] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own: socket.socket = writer.get_extra_info("socket")
        accepted.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with bound_socket("127.0.0.1", 0) as listener:
        async with await asyncio.start_server(note, sock=listener) as server:
            _, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
    assert accepted == [1]


async def test_an_answer_above_the_limit_fails_its_call_and_the_next_one_works(start: Start, http: httpx.AsyncClient):
    adapter = ready(start, "--max-message-bytes", "100000")
    client = await LegacyClient(adapter, http).initialize()
    with anyio.fail_after(10):
        failed = (await client.call(1, "big", bytes=300_000)).json()
    assert (failed["id"], failed["error"]["code"]) == (1, -33001)
    assert "larger" in failed["error"]["message"]
    assert text_of((await client.call(2, "echo", text="hi")).json()) == "hi"
    too_large = await client.call(3, "echo", text="x" * 200_000)
    assert too_large.status_code == 413


async def test_a_client_that_does_not_read_stops_nobody_else(faulty: Adapter, http: httpx.AsyncClient):
    client = await LegacyClient(faulty, http).initialize()
    body = json.dumps(client.call_body(1, "big", {"bytes": 8 * 1024 * 1024})).encode()
    headers = {**client.headers, "host": "127.0.0.1", "content-length": str(len(body))}
    head = "POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    stream = await anyio.connect_tcp("127.0.0.1", faulty.port)
    async with stream:
        await stream.send(head.encode() + body)
        await stream.receive(1)
        with anyio.fail_after(10):
            for number in range(5):
                assert text_of((await client.call(number, "echo", text="hi")).json()) == "hi"


async def test_a_slow_reader_makes_its_server_wait_and_gets_everything(start: Start, http: httpx.AsyncClient):
    adapter = ready(start)
    client = await LegacyClient(adapter, http).initialize(capabilities=ASKABLE)
    count = 15_000
    call = client.call_body(1, "flood", {"count": count}, {"progressToken": "t"})
    seen: list[float] = []
    with anyio.fail_after(50):
        async with http.stream("POST", adapter.url, json=call, headers=client.headers) as response:
            lines = response.aiter_lines()
            while not seen:
                seen += progress_in(await anext(lines))
            await anyio.sleep(1)
            assert resident_mib(adapter.process.pid) < 150
            async for line in lines:
                seen += progress_in(line)
    assert seen == list(range(1, count + 1))


def progress_in(line: str) -> list[float]:
    message = json.loads(line[6:]) if line.startswith("data: {") else {}
    return [message["params"]["progress"]] if message.get("method") else []


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_a_crash_fails_every_call_in_flight_at_once(start: Start, http: httpx.AsyncClient):
    adapter = ready(start)
    clients = [await LegacyClient(adapter, http).initialize() for _ in range(5)]
    failed: list[str] = []

    async def hold(client: LegacyClient, name: str) -> None:
        failed.append((await client.call(1, "hold", name=name)).json()["error"]["message"])

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for number, client in enumerate(clients):
                tasks.start_soon(hold, client, f"h{number}")
                await client.until_held(f"h{number}")
            await clients[0].call(2, "crash")
    assert len(failed) == 5
    assert all("ended with status 3" in message for message in failed)


async def test_a_listen_stream_outlives_a_crash(start: Start, http: httpx.AsyncClient):
    adapter = ready(start)
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["file:///a"]}
    body = modern_body("subscriptions/listen", {"notifications": wanted}, request_id="L")
    with anyio.fail_after(20):
        async with http.stream("POST", adapter.url, json=body, headers=modern_headers(body)) as stream:
            lines = stream.aiter_lines()
            assert "acknowledged" in await next_data(lines)
            await modern_call(adapter, http, "p", "crash")
            assert "error" not in (await modern_call(adapter, http, "p", "change")).json()
            assert "list_changed" in await next_data(lines)
            await modern_call(adapter, http, "p", "resource_changed", uri="file:///a/b")
            assert "file:///a/b" in await next_data(lines)


async def next_data(lines) -> str:
    async for line in lines:
        if line.startswith("data: {"):
            return str(line)
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("server", [FAULTY, MODERN_RAW], ids=["legacy", "modern"])
async def test_a_stop_ends_open_streams_in_the_regular_way(start: Start, http: httpx.AsyncClient, server: str):
    adapter = start(sys.executable, server, options=("--exec",))
    adapter.wait_for("ready")
    client = await LegacyClient(adapter, http).initialize()
    body = modern_body("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, request_id="L")
    headers = {**client.headers, "accept": "text/event-stream"}
    with anyio.fail_after(15):
        async with (
            http.stream("POST", adapter.url, json=body, headers=modern_headers(body)) as listening,
            http.stream("GET", adapter.url, headers=headers) as general,
        ):
            lines = listening.aiter_lines()
            await next_data(lines)
            adapter.process.send_signal(signal.SIGTERM)
            assert json.loads((await next_data(lines))[6:])["result"]["resultType"] == "complete"
            assert [line async for line in general.aiter_lines() if line.startswith("data: {")] == []
    assert adapter.ends() == 0


async def test_requests_beyond_the_limit_of_a_principal_are_told_to_wait(start: Start, http: httpx.AsyncClient):
    adapter = ready(start, "--max-calls-per-principal", "1")
    client = await LegacyClient(adapter, http).initialize()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: modern_call(adapter, http, "alice", "hold", name="one"))
        await client.until_held("one")
        refused = await modern_call(adapter, http, "alice", "echo", text="hi")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert text_of((await modern_call(adapter, http, "bob", "echo", text="hi")).json()) == "hi"
        await client.call(1, "release", name="one")


async def test_sessions_beyond_the_limit_of_a_principal_are_told_to_wait(start: Start, http: httpx.AsyncClient):
    adapter = ready(start, "--max-sessions-per-principal", "1")
    first = LegacyClient(adapter, http)
    first.headers["catwalk-principal"] = "alice"
    await first.initialize()
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    headers = {"accept": BOTH, "content-type": "application/json", "catwalk-principal": "alice"}
    assert (await http.post(adapter.url, json=body, headers=headers)).status_code == 503
    assert (await http.post(adapter.url, json=body, headers={**headers, "catwalk-principal": "b"})).status_code == 200


async def test_the_subscription_of_one_client_outlives_that_of_another(faulty: Adapter, http: httpx.AsyncClient):
    first, second = [await LegacyClient(faulty, http).initialize() for _ in range(2)]
    for client in (first, second):
        await client.post({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "file:///s"}})
    gone = {"jsonrpc": "2.0", "id": 2, "method": "resources/unsubscribe", "params": {"uri": "file:///s"}}
    assert (await first.post(gone)).json()["result"] == {}
    await first.call(3, "resource_changed", uri="file:///s")
    headers = {**second.headers, "accept": "text/event-stream"}
    with anyio.fail_after(10):
        async with http.stream("GET", faulty.url, headers=headers) as stream:
            assert "file:///s" in await next_data(stream.aiter_lines())


async def test_each_client_of_a_shared_server_has_its_own_log_level(start: Start, http: httpx.AsyncClient):
    adapter = ready(start)
    quiet, loud = [await LegacyClient(adapter, http).initialize() for _ in range(2)]
    for client, level in ((quiet, "error"), (loud, "debug")):
        answered = await client.post(
            {"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": {"level": level}}
        )
        assert answered.json()["result"] == {}
    unknown = {"jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": {"level": "loud"}}
    assert (await quiet.post(unknown)).json()["error"]["code"] == -32602
    assert events_of(await quiet.call(3, "say", level="info")) == []
    assert events_of(await quiet.call(4, "say", level="error"))[0]["params"]["level"] == "error"
    assert events_of(await loud.call(5, "say", level="info"))[0]["params"]["level"] == "info"


async def test_a_legacy_session_on_a_modern_server_survives_a_crash(start: Start, http: httpx.AsyncClient):
    adapter = start(sys.executable, MODERN_RAW, options=("--exec",))
    adapter.wait_for("ready")
    client = await LegacyClient(adapter, http).initialize()
    headers = {**client.headers, "accept": "text/event-stream"}
    with anyio.fail_after(20):
        async with http.stream("GET", adapter.url, headers=headers) as stream:
            failed = (await client.call(1, "crash")).json()
            assert (failed["id"], failed["error"]["code"]) == (1, -33001)
            assert json.loads(text_of((await client.call(2, "echo", region="eu")).json())) == {"region": "eu"}
            await client.call(3, "change")
            assert "tools/list_changed" in await next_data(stream.aiter_lines())


@pytest.mark.parametrize("way", ["notice", "result"])
async def test_a_listen_stream_that_its_server_ends_is_ended_or_opened_again(
    start: Start, http: httpx.AsyncClient, way: str
):
    adapter = start(sys.executable, MODERN_RAW, options=("--exec",))
    adapter.wait_for("ready")
    legacy = await LegacyClient(adapter, http).initialize()
    headers = {**legacy.headers, "accept": "text/event-stream"}
    body = modern_body("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, request_id="L")
    with anyio.fail_after(20):
        async with http.stream("POST", adapter.url, json=body, headers=modern_headers(body)) as listening:
            lines = listening.aiter_lines()
            await next_data(lines)
            await legacy.call(1, "end_listens", way=way)
            ended = json.loads((await next_data(lines))[6:])
            assert (ended["id"], ended["result"]["resultType"]) == ("L", "complete")
        async with http.stream("GET", adapter.url, headers=headers) as general:
            while text_of((await legacy.call(2, "listeners")).json()) == "0":
                await anyio.lowlevel.checkpoint()
            await legacy.call(3, "change")
            assert "tools/list_changed" in await next_data(general.aiter_lines())


def http_server(start: Start, *arguments: str) -> Adapter:
    command = (sys.executable, EVERYTHING, "--transport", "streamable-http", *arguments)
    adapter = start(*command, options=("--exec", "--transport", "streamable-http"))
    adapter.wait_for("ready")
    return adapter


async def test_a_killed_http_server_is_started_again_for_everybody(start: Start, http: httpx.AsyncClient):
    adapter = http_server(start, "--era", "legacy")
    own = await LegacyClient(adapter, http).initialize(capabilities=ASKABLE)
    shared = await LegacyClient(adapter, http).initialize()
    pid = adapter.events("server-started")[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    poll(lambda: not lives(str(pid)), adapter.text)
    for client in (own, shared):
        assert text_of((await client.call(1, "test_echo", text="hi")).json()) == "hi"
    assert adapter.events("server-started")[-1]["pid"] != pid


async def test_a_session_that_an_http_server_forgot_is_opened_again_and_nothing_runs_twice(
    start: Start, http: httpx.AsyncClient
):
    adapter = start(sys.executable, FORGETFUL, options=("--exec", "--transport", "streamable-http"))
    adapter.wait_for("ready")
    client = await LegacyClient(adapter, http).initialize(capabilities=ASKABLE)
    watched = {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "file:///a"}}
    assert (await client.post(watched)).json()["result"] == {}
    before = json.loads(text_of((await client.call(2, "forget")).json()))
    after = json.loads(text_of((await client.call(3, "count")).json()))
    assert after["sessions"] > before["sessions"]
    assert after["echo"] == before["echo"] + 1
    again = json.loads(text_of((await client.call(4, "count")).json()))
    assert again["subscribed"] == ["file:///a", "file:///a"]


async def test_an_http_server_that_closes_its_stream_is_polled_for_the_rest(start: Start, http: httpx.AsyncClient):
    adapter = http_server(start, "--era", "legacy")
    client = await LegacyClient(adapter, http).initialize()
    with anyio.fail_after(20):
        response = await client.call(1, "test_reconnection")
    answer = events_of(response)[-1] if "event-stream" in response.headers["content-type"] else response.json()
    assert text_of(answer) == "Reconnection test completed"


def test_an_http_server_that_does_not_start_has_its_cause(start: Start):
    command = (sys.executable, FAULTY, "--die", "Error: API_KEY environment variable is required", "1")
    adapter = start(*command, options=("--exec", "--transport", "streamable-http", "--linger", "0.1"))
    assert adapter.ends() == 75
    assert adapter.events("failed")[0]["cause"] == "missing-variable"
