"""Servers that somebody else runs: reached with the gateway's credentials, never with the caller's, in both eras."""

import asyncio
import base64
import os
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import Client

from gateway.app import Readiness, create_app
from gateway.oauth.client_credentials import AHEAD_S, PAUSE_S, ClientCredentials, ClientSettings
from gateway.oauth.fetching import Fetcher
from gateway.relay import OutsideRules, read_url
from gateway.remote import Credentials, CredentialsRefused, RemoteSide, StaticCredentials
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings
from tests.gateway.conftest import SESSION_KEY, RunningGateway, read_body, reply, serve, serve_stoppably, until
from tests.gateway.identity import LOOPBACK, identity_provider

ROOT = Path(__file__).resolve().parents[2]
SECRET = "canary-9b1f"
CLIENT = {"authorization": "Bearer callers-own", "cookie": "a=b", "x-mine": "1", "content-type": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Remote:
    """Wants a credential, and remembers what it was sent."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = {text.encode() for text in accepted}
        self.heads: list[dict[bytes, bytes]] = []
        self.bodies: list[bytes] = []
        self.refusal = (401, b"", ((b"www-authenticate", b'Bearer realm="remote"'),))

    async def __call__(self, scope, receive, send) -> None:
        self.bodies.append(await read_body(receive))
        head = dict(scope["headers"])
        self.heads.append(head)
        if self.accepted and head.get(b"authorization") not in self.accepted:
            await reply(send, *self.refusal)
        else:
            extra = ((b"mcp-session-id", b"s1"), (b"catwalk-machine", b"mine"), (b"set-cookie", b"a=b"))
            body = b'{"jsonrpc":"2.0","id":1,"result":{}}'
            await reply(send, 200, body, ((b"content-type", b"application/json"), *extra))


def upstream(url: str, credentials: Credentials, rules: OutsideRules = LOOPBACK) -> Upstream:
    read = read_url(url, rules)
    return Upstream(
        server="linear",
        app="acme-linear",
        host=read.host,
        port=read.port,
        authority=read.authority,
        path=read.target,
        remote=RemoteSide(outside=read.outside, credentials=credentials),
    )


@asynccontextmanager
async def gateway_before(route: Upstream):
    routes = RouteTable([route])
    app = create_app(GatewaySettings(session_key=SESSION_KEY), routes, lambda: Readiness(is_ready=True))
    async with serve_stoppably(app, lifespan="on", http=app.http_protocol, keep_alive_s=5) as (port, stop):
        yield RunningGateway(port=port, routes=routes, stop=stop)


def address(gateway: RunningGateway) -> str:
    return f"{gateway.url}/servers/linear/mcp"


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


def static(**headers: str) -> StaticCredentials:
    return StaticCredentials([(name, lambda value=value: value) for name, value in headers.items()])


async def test_the_gateway_shows_its_own_credentials_and_nothing_of_the_callers(client):
    remote = Remote(f"Bearer {SECRET}")
    async with serve(remote) as port:
        route = upstream(f"http://127.0.0.1:{port}/v1/mcp?tenant=acme", static(Authorization=f"Bearer {SECRET}"))
        async with gateway_before(route) as gateway:
            for _ in range(3):
                answer = await client.post(address(gateway), content=b"{}", headers=CLIENT)
                assert answer.status_code == 200
    assert len(remote.heads) == 3
    for head in remote.heads:
        assert head[b"authorization"] == f"Bearer {SECRET}".encode()
        assert head[b"host"] == f"127.0.0.1:{port}".encode()
        assert head[b"user-agent"] == b"catwalk"
        assert not {b"cookie", b"x-mine", b"catwalk-principal", b"fly-force-instance-id"} & head.keys()
    assert "set-cookie" not in answer.headers
    assert "catwalk-machine" not in answer.headers
    assert SECRET not in repr(route) + repr(route.remote) + answer.text


async def test_a_session_goes_through_and_pins_no_machine(client):
    remote = Remote()
    async with serve(remote) as port, gateway_before(upstream(f"http://127.0.0.1:{port}/mcp", static())) as gateway:
        body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}'
        begun = await client.post(address(gateway), content=body, headers=CLIENT)
        capsule = begun.headers["mcp-session-id"]
        assert capsule != "s1"
        await client.post(address(gateway), content=b"{}", headers={**CLIENT, "mcp-session-id": capsule})
    assert remote.heads[-1][b"mcp-session-id"] == b"s1"
    assert b"fly-force-instance-id" not in remote.heads[-1]


async def test_credentials_that_are_refused_are_no_fault_of_the_caller(client):
    remote = Remote("Bearer another")
    async with serve(remote) as port:
        route = upstream(f"http://127.0.0.1:{port}/mcp", static(Authorization=f"Bearer {SECRET}"))
        async with gateway_before(route) as gateway:
            answer = await client.post(address(gateway), content=b"{}", headers=CLIENT)
    assert answer.status_code == 502
    assert answer.json()["error"]["data"]["code"] == "credentials-refused"
    assert "www-authenticate" not in answer.headers
    assert SECRET not in answer.text
    assert len(remote.heads) == 1


async def test_an_address_inside_is_not_called(client):
    """What the rules of the manifest let pass by its name is stopped where the connection is made."""
    remote = Remote()
    async with serve(remote) as port:
        route = upstream(f"https://localhost:{port}/mcp", static(), OutsideRules())
        async with gateway_before(route) as gateway:
            answer = await client.post(address(gateway), content=b"{}", headers=CLIENT)
    assert answer.status_code == 502
    assert "not public" in answer.json()["error"]["message"]
    assert "127.0.0.1" not in answer.text
    assert remote.heads == []


@pytest.mark.parametrize(
    ("status", "kind", "is_explained"),
    [
        (400, b"text/plain", True),
        (405, b"text/html", True),
        (400, b"application/json", False),
        (404, b"text/plain", False),
    ],
)
async def test_a_server_that_does_not_know_the_revision_is_explained(client, status, kind, is_explained):
    remote = Remote("nobody")
    remote.refusal = (status, b"<p>no</p>", ((b"content-type", kind),))
    async with serve(remote) as port, gateway_before(upstream(f"http://127.0.0.1:{port}/mcp", static())) as gateway:
        headers = {**CLIENT, "mcp-protocol-version": "2026-07-28"}
        answer = await client.post(address(gateway), content=b"{}", headers=headers)
    assert answer.status_code == status
    assert ("revision 2026-07-28" in answer.text) is is_explained
    assert (answer.text == "<p>no</p>") is not is_explained


def asking(issuer, clock: Clock, **settings: object) -> ClientCredentials:
    usual = {
        "server": "linear",
        "token_url": f"{issuer.url}/token",
        "client_id": lambda: "cat:walk",
        "client_secret": lambda: f"{SECRET}/+ é",
        "scope": "read write",
        "resource": "https://mcp.linear.app/mcp",
    }
    return ClientCredentials(ClientSettings(**(usual | settings)), Fetcher(LOOPBACK), clock)


async def bearer(credentials: Credentials) -> str:
    return dict(await credentials.headers())[b"authorization"].decode()


async def test_a_token_is_asked_for_once_kept_and_replaced_before_it_ends():
    clock = Clock()
    async with identity_provider() as issuer:
        credentials = asking(issuer, clock)
        with anyio.fail_after(20):
            tokens: set[str] = set()

            async def ask() -> None:
                tokens.add(await bearer(credentials))

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(ask)
        assert len(tokens) == len(issuer.grants) == 1
        [grant] = issuer.grants
        assert (grant["grant_type"], grant["scope"]) == ("client_credentials", "read write")
        assert grant["resource"] == "https://mcp.linear.app/mcp"
        clock.now_s += 3600 - AHEAD_S - 1
        assert await bearer(credentials) in tokens
        clock.now_s += 1
        assert await bearer(credentials) not in tokens
        assert len(issuer.grants) == 2


async def test_name_and_password_are_encoded_before_they_are_joined():
    async with identity_provider() as issuer:
        await bearer(asking(issuer, Clock()))
        await bearer(asking(issuer, Clock(), method="post"))
    basic, post = issuer.grants
    proof = base64.b64decode(basic["authorization"].removeprefix("Basic ")).decode()
    assert proof == f"cat%3Awalk:{SECRET}%2F%2B%20%C3%A9"
    assert "client_secret" not in basic
    assert (post["client_id"], post["client_secret"], post["authorization"]) == ("cat:walk", f"{SECRET}/+ é", "")


async def test_a_token_endpoint_that_is_down_holds_nobody_up_while_the_token_is_good():
    clock = Clock()
    async with identity_provider() as issuer:
        credentials = asking(issuer, clock)
        token = await bearer(credentials)
        issuer.is_down = True
        clock.now_s += 3600 - AHEAD_S + 1
        asked = len(issuer.asked)
        for _ in range(10):
            assert await bearer(credentials) == token
        assert len(issuer.asked) == asked + 1
        clock.now_s += AHEAD_S
        with pytest.raises(CredentialsRefused, match="status 503"):
            await bearer(credentials)
        issuer.is_down = False
        clock.now_s += PAUSE_S
        assert await bearer(credentials) != token


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"{}"),
        (200, b'{"access_token":"a b","token_type":"Bearer"}'),
        (200, b'{"access_token":"a\\r\\nx: y","token_type":"Bearer"}'),
        (200, b'{"access_token":"a","token_type":"mac"}'),
        (200, b'{"access_token":5,"token_type":"Bearer"}'),
        (401, b'{"error":"invalid_client"}'),
        (302, b""),
        (200, b"<html>"),
    ],
)
async def test_an_endpoint_that_gives_no_usable_token_is_told_without_its_words(answer):
    async with identity_provider() as issuer:
        issuer.overrides["/token"] = answer
        credentials = asking(issuer, Clock())
        with pytest.raises(CredentialsRefused) as caught:
            await bearer(credentials)
        assert SECRET not in str(caught.value)
        assert "invalid_client" not in str(caught.value)
        with pytest.raises(CredentialsRefused):
            await bearer(credentials)
        assert issuer.asked.count("/token") == 1


async def test_a_token_that_the_server_refuses_is_replaced_once(client):
    clock = Clock()
    remote = Remote("nobody")
    async with identity_provider() as issuer, serve(remote) as port:
        credentials = asking(issuer, clock)
        async with gateway_before(upstream(f"http://127.0.0.1:{port}/mcp", credentials)) as gateway:
            first = await bearer(credentials)
            clock.now_s += PAUSE_S
            answer = await client.post(address(gateway), content=b'{"a":1}', headers=CLIENT)
            assert answer.status_code == 502
            assert [head[b"authorization"].decode() == first for head in remote.heads] == [True, False]
            assert remote.bodies == [b'{"a":1}'] * 2
            assert len(issuer.grants) == 2
            remote.accepted = {(await bearer(credentials)).encode()}
            assert (await client.post(address(gateway), content=b"{}", headers=CLIENT)).status_code == 200
            remote.accepted = {b"nobody"}
            for _ in range(5):
                assert (await client.post(address(gateway), content=b"{}", headers=CLIENT)).status_code == 502
            assert len(issuer.grants) == 2, "a wrong secret is not tried for every call"


async def test_a_stream_is_authorized_like_a_call(client):
    remote = Remote(f"Bearer {SECRET}")
    async with serve(remote) as port:
        route = upstream(f"http://127.0.0.1:{port}/mcp", static(Authorization=f"Bearer {SECRET}"))
        async with gateway_before(route) as gateway:
            assert (await client.get(address(gateway), headers=CLIENT)).status_code == 200
            assert (await client.delete(address(gateway), headers=CLIENT)).status_code == 200


@contextmanager
def everything(era: str, port: int):
    """The server with everything MCP has, over HTTP, as somebody else would run it."""
    command = [sys.executable, str(ROOT / "tests/servers/everything"), "--transport", "streamable-http"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [*command, "--era", era, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(10)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("era", "mode"), [("both", "legacy"), ("both", "2026-07-28"), ("both", "auto"), ("legacy", "auto")]
)
async def test_a_whole_server_is_served_in_the_eras_that_it_speaks(unused_port, era, mode):
    with anyio.fail_after(40), everything(era, unused_port) as url:
        await until(lambda: is_open(unused_port))
        async with (
            gateway_before(upstream(url, static())) as gateway,
            Client(address(gateway), mode=mode) as client,
        ):
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert "add_numbers" in names or len(names) > 5
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(client.list_tools()) for _ in range(5)]
            assert all({tool.name for tool in call.result().tools} == names for call in calls)
            resources = await client.list_resources()
            assert resources.resources
