"""Sessions that outlive the machine's memory of them: started again where nothing can be lost, 404 everywhere else."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from gateway.access import Grant
from gateway.problems import SESSION_NOT_FOUND_BODY
from tests.gateway.conftest import gateway_to, read_body, reply, serve

pytestmark = pytest.mark.usefixtures("data_path")
PARAMS = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "acme", "version": "1"}}
LEGACY = {"mcp-protocol-version": "2025-11-25"}


class Adapter:
    """Keeps sessions in memory, as an adapter does, and loses them with `restart`."""

    def __init__(self, capabilities: dict[str, object] | None = None) -> None:
        self.capabilities = {"tools": {}} if capabilities is None else capabilities
        self.machine = b"148e2d"
        self.scope = b"shared"
        self.sessions: set[bytes] = set()
        self.methods: list[str] = []
        self.opened = 0
        self.delay_s = 0.0

    def restart(self) -> None:
        self.sessions.clear()
        self.methods.clear()

    async def __call__(self, scope, receive, send) -> None:
        headers, message = dict(scope["headers"]), json.loads(await read_body(receive) or b"{}")
        own = [(b"catwalk-machine", self.machine), (b"content-type", b"application/json")]
        if headers.get(b"fly-force-instance-id", self.machine) != self.machine:
            await reply(send, 503, b"no such machine", ())
        elif message.get("method") == "initialize":
            await self._open(send, message, own)
        elif headers.get(b"mcp-session-id") not in self.sessions:
            await asyncio.sleep(self.delay_s)
            await reply(send, 404, SESSION_NOT_FOUND_BODY, tuple(own))
        else:
            self.methods.append(message.get("method", scope["method"]))
            await reply(send, 202 if "id" not in message else 200, b"", tuple(own))

    async def _open(self, send, message, own) -> None:
        self.methods.append("initialize")
        assert message["params"]["clientInfo"] == PARAMS["clientInfo"]
        self.opened += 1
        session = b"session-%d" % self.opened
        self.sessions.add(session)
        result = {"protocolVersion": "2025-11-25", "capabilities": self.capabilities, "serverInfo": {}}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        await reply(send, 200, body, (*own, (b"mcp-session-id", session), (b"catwalk-sessions", self.scope)))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


def message(method: str, params: object = None, number: int | None = 1) -> bytes:
    body = {"jsonrpc": "2.0", "method": method} | ({"id": number} if number is not None else {})
    return json.dumps(body | ({"params": params} if params is not None else {})).encode()


async def started(client, url: str, capabilities: dict[str, object] | None = None) -> dict[str, str]:
    """The headers of a new session."""
    params = PARAMS | {"capabilities": capabilities or {}}
    response = await client.post(url, content=message("initialize", params))
    assert response.status_code == 200, response.text
    headers = {**LEGACY, "mcp-session-id": response.headers["mcp-session-id"]}
    assert (
        await client.post(url, content=message("notifications/initialized", number=None), headers=headers)
    ).is_success
    assert (await client.post(url, content=message("ping"), headers=headers)).status_code == 200
    return headers


async def test_a_restarted_machine_goes_unnoticed_by_a_session_that_holds_nothing(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        session = await started(client, gateway.mcp)
        adapter.restart()
        for _ in range(3):
            answer = await client.post(gateway.mcp, content=message("tools/call", {"name": "x"}), headers=session)
            assert answer.status_code == 200
    assert adapter.methods == ["initialize", "notifications/initialized", *["tools/call"] * 3]


async def test_a_restart_after_a_restart_goes_unnoticed_too(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        session = await started(client, gateway.mcp)
        for _ in range(3):
            adapter.restart()
            assert (await client.post(gateway.mcp, content=message("ping"), headers=session)).status_code == 200
    assert adapter.opened == 4


async def test_a_session_moves_to_the_machine_that_replaced_its_own(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        session = await started(client, gateway.mcp)
        adapter.restart()
        adapter.machine = b"other1"
        assert (await client.post(gateway.mcp, content=message("ping"), headers=session)).status_code == 200


async def test_a_machine_that_takes_long_to_say_so_is_waited_for(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        session = await started(client, gateway.mcp)
        adapter.restart()
        adapter.delay_s = 0.3
        assert (await client.post(gateway.mcp, content=message("ping"), headers=session)).status_code == 200


async def test_any_number_of_callers_start_a_lost_session_once(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        session = await started(client, gateway.mcp)
        adapter.restart()
        async with asyncio.TaskGroup() as group:
            calls = [
                group.create_task(client.post(gateway.mcp, content=message("ping", number=n), headers=session))
                for n in range(20)
            ]
    assert {call.result().status_code for call in calls} == {200}
    assert adapter.opened == 2
    assert adapter.methods.count("ping") == 20


@pytest.mark.parametrize(
    ("client_offers", "server_offers", "scope"),
    [
        pytest.param({"elicitation": {}}, {"tools": {}}, b"shared", id="the client can be asked"),
        pytest.param({"roots": {}}, {"tools": {}}, b"shared", id="the client has roots"),
        pytest.param({}, {"tools": {}, "logging": {}}, b"shared", id="a log level"),
        pytest.param({}, {"resources": {"subscribe": True}}, b"shared", id="subscriptions"),
        pytest.param({}, {"tools": {}, "tasks": {}}, b"shared", id="something unknown"),
        pytest.param({}, {"tools": {}}, b"isolated", id="a process of its own"),
    ],
)
async def test_a_session_that_could_lose_something_is_not_found(client, client_offers, server_offers, scope):
    adapter = Adapter(server_offers)
    adapter.scope = scope
    async with serve(adapter) as port, gateway_to(port) as gateway:
        session = await started(client, gateway.mcp, client_offers)
        adapter.restart()
        answer = await client.post(gateway.mcp, content=message("ping"), headers=session)
    assert answer.status_code == 404
    assert answer.content == SESSION_NOT_FOUND_BODY
    assert adapter.opened == 1


async def test_two_gateways_with_random_routing_serve_one_session(client):
    adapter = Adapter()
    choice = random.Random(7)
    async with serve(adapter) as port, gateway_to(port) as one, gateway_to(port) as other:
        session = await started(client, one.mcp)
        for number in range(40):
            if number in {10, 25}:
                adapter.restart()
            url = choice.choice([one.mcp, other.mcp])
            answer = await client.post(url, content=message("ping", number=number), headers=session)
            assert answer.status_code == 200


class Named:
    """Everybody is who they say they are."""

    generation = 0

    def admit(self, authorization, server, *, aggregate=False):  # noqa: ARG002 - the names are the protocol's
        return Grant(principal=(authorization or b"nobody").decode())


async def test_a_session_belongs_to_the_principal_that_started_it(client):
    async with serve(Adapter()) as port, gateway_to(port, access=Named()) as gateway:
        client.headers["authorization"] = "alice"
        session = await started(client, gateway.mcp)
        client.headers["authorization"] = "bob"
        stolen = await client.post(gateway.mcp, content=message("ping"), headers=session)
        client.headers["authorization"] = "alice"
        own = await client.post(gateway.mcp, content=message("ping"), headers=session)
    assert (stolen.status_code, own.status_code) == (404, 200)


async def test_a_session_ends_after_its_lifetime(client):
    clock = [1000.0]
    async with (
        serve(Adapter()) as port,
        gateway_to(port, now=lambda: clock[0], session_lifetime_s=60) as gateway,
    ):
        session = await started(client, gateway.mcp)
        assert (await client.post(gateway.mcp, content=message("ping"), headers=session)).status_code == 200
        clock[0] += 61
        assert (await client.post(gateway.mcp, content=message("ping"), headers=session)).status_code == 404


@asynccontextmanager
async def gateway_process(port: int, upstream: int) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "tests.conformance.serve_gateway", str(port), str(upstream)]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        with anyio.fail_after(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_gateway_that_is_killed_during_calls_loses_no_session(client, unused_port):
    adapter = Adapter({"tools": {}, "logging": {}})
    url = f"http://127.0.0.1:{unused_port}/servers/everything/mcp"
    async with serve(adapter) as port:
        sessions = []
        async with gateway_process(unused_port, port) as process:
            sessions = [await started(client, url, {"elicitation": {}}) for _ in range(5)]
            async with asyncio.TaskGroup() as group:
                for session in sessions:
                    group.create_task(_call_until_killed(client, url, session))
                await asyncio.sleep(0.1)
                process.send_signal(signal.SIGKILL)
        async with gateway_process(unused_port, port):
            for session in sessions:
                assert (await client.post(url, content=message("ping"), headers=session)).status_code == 200
    assert adapter.opened == 5


async def _call_until_killed(client, url, session):
    try:
        while True:
            assert (await client.post(url, content=message("ping"), headers=session)).status_code == 200
    except httpx.TransportError:
        return
