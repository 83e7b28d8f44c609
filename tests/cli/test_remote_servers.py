"""Remote servers from the manifest's words and their secrets to routes, credentials and probes in both eras."""

import json
import socket

import pytest

from gateway.relay import OutsideRules
from gateway.routing import RouteTable
from reconciler.cli.remote_servers import RemoteServers, WholeFleetProber
from reconciler.cli.routes import RouteKeeper
from reconciler.core.remotes import ClientGrant, RemoteProgram
from reconciler.core.secret import SecretValue
from reconciler.core.types import ProbeResult, ServerSpec
from reconciler.fly.probe import DataPath
from reconciler.loop.remotes import RemoteServer
from tests.gateway.conftest import read_body, reply, serve
from tests.gateway.identity import identity_provider

LOCAL = OutsideRules(networks=("127.0.0.0/8",))
CANARY = "canary-55d1"


def remote(url: str, *, secret: str = CANARY, is_known: bool = True, **program: object) -> RemoteServer:
    usual = {"headers": (("Authorization", "Bearer ${TOKEN}"),)} if not program else {}
    spec = ServerSpec(fleet="acme", name="linear", package=RemoteProgram(url=url, **(usual | program)))
    return RemoteServer(spec=spec, secrets={"TOKEN": SecretValue(secret)}, is_known=is_known)


class Server:
    """Speaks one era, to those who have a token."""

    def __init__(self, *, modern: bool = False, token: str = CANARY, tools: object = None) -> None:
        self.modern = modern
        self.token = f"Bearer {token}".encode()
        self.tools = tools if tools is not None else [{"name": "search"}]
        self.asked: list[str] = []
        self.pages = 1

    async def __call__(self, scope, receive, send) -> None:
        body, head = await read_body(receive), dict(scope["headers"])
        if head.get(b"authorization") != self.token:
            await reply(send, 401)
        elif scope["method"] == "DELETE":
            self.asked.append("DELETE")
            await reply(send, 405)
        else:
            await self._answer(json.loads(body), head, send)

    async def _answer(self, message, head, send) -> None:
        method = message["method"]
        self.asked.append(method)
        if (head.get(b"mcp-protocol-version") == b"2026-07-28") is not self.modern:
            error = {"code": -32022 if self.modern else -32600, "message": "unsupported"}
            await self._say(send, {"jsonrpc": "2.0", "id": message.get("id"), "error": error}, 400)
        elif "id" not in message:
            await reply(send, 202)
        elif method == "tools/list":
            self.pages -= 1
            more = {"nextCursor": "more"} if self.pages > 0 else {}
            await self._say(send, {"jsonrpc": "2.0", "id": message["id"], "result": {"tools": self.tools, **more}})
        else:
            info = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "linear", "version": "3"}}
            await self._say(send, {"jsonrpc": "2.0", "id": message["id"], "result": info})

    async def _say(self, send, message, status: int = 200) -> None:
        session = () if self.modern else ((b"mcp-session-id", b"s1"),)
        await reply(send, status, json.dumps(message).encode(), ((b"content-type", b"application/json"), *session))


@pytest.mark.parametrize("modern", [False, True], ids=["legacy", "modern"])
async def test_a_probe_finds_the_era_and_the_tools_with_the_gateways_credentials(modern):
    server, remotes = Server(modern=modern), RemoteServers(LOCAL)
    async with serve(server) as port:
        remotes.follow([remote(f"http://127.0.0.1:{port}/mcp")])
        result = await remotes.probe("acme-linear")
        await remotes.aclose()
    assert result is not None
    assert (result.answered, result.tools, result.problem) == (True, ("search",), "")
    assert (result.era, result.server_name) == ("modern" if modern else "legacy", "linear")
    assert ("DELETE" in server.asked) is not modern


async def test_all_pages_of_a_list_are_read_and_no_endless_one():
    server, remotes = Server(), RemoteServers(LOCAL)
    server.pages = 3
    async with serve(server) as port:
        remotes.follow([remote(f"http://127.0.0.1:{port}/mcp")])
        result = await remotes.probe("acme-linear")
        assert result is not None
        assert result.tools == ("search",) * 3
        server.pages = 1_000_000
        endless = await remotes.probe("acme-linear")
        await remotes.aclose()
    assert endless is not None
    assert (endless.answered, endless.problem) == (False, "its list of tools does not end after 50 pages")


async def test_what_is_wrong_is_told_without_addresses_and_secrets():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unused_port = listener.getsockname()[1]
    remotes = RemoteServers(LOCAL)
    prober = WholeFleetProber(NoMachines(), remotes, lambda text: text.replace(CANARY, "***"))
    async with serve(Server(token="another")) as port:
        remotes.follow([remote(f"http://127.0.0.1:{port}/mcp")])
        assert (await prober.probe("acme-linear")).problem == "it does not accept the gateway's credentials"
    remotes.follow([remote(f"http://127.0.0.1:{unused_port}/mcp")])
    assert (await prober.probe("acme-linear")).problem == "the connection was refused"

    async def echo(scope, receive, send):
        await reply(send, 500, dict(scope["headers"])[b"authorization"], ((b"content-type", b"text/plain"),))

    async with serve(echo) as port:
        remotes.follow([remote(f"http://127.0.0.1:{port}/mcp")])
        assert (await prober.probe("acme-linear")).problem == "initialize was answered HTTP 500: Bearer ***"
    await remotes.aclose()


async def test_an_address_inside_gets_no_route_and_the_probe_says_what_would_allow_it():
    remotes, routes = RemoteServers(OutsideRules()), RouteTable()
    RouteKeeper(routes, DataPath(), remotes).remember("acme", {"linear"})
    remotes.follow([remote("https://10.0.0.8/mcp")])
    assert routes.find("linear") is None
    result = await remotes.probe("acme-linear")
    assert result is not None
    assert not result.answered
    assert "CATWALK_OUTBOUND_NETWORKS" in result.problem


async def test_a_token_of_the_client_credentials_grant_is_shown():
    async with identity_provider() as issuer:
        grant = ClientGrant(
            token_url=f"{issuer.url}/token", client_id="me", client_secret="${TOKEN}", scopes=("a", "b"), method="post"
        )
        remotes, server = RemoteServers(LOCAL), Server()
        async with serve(server) as port:
            url = f"http://127.0.0.1:{port}/mcp?tenant=acme"
            remotes.follow([remote(url, grant=grant)])
            result = await remotes.probe("acme-linear")
            await remotes.aclose()
        assert result is not None
        assert result.problem == "it does not accept the gateway's credentials"
        [asked] = issuer.grants
        assert (asked["client_id"], asked["client_secret"], asked["scope"]) == ("me", CANARY, "a b")
        assert asked["resource"] == url.partition("?")[0]


def test_routes_follow_and_credentials_stay_while_nothing_changes():
    remotes, routes = RemoteServers(LOCAL), RouteTable()
    RouteKeeper(routes, DataPath(), remotes).remember("acme", {"linear", "time"})
    remotes.follow([remote("https://mcp.linear.app/v1/mcp")])
    first = routes.find("linear")
    assert first is not None
    assert (first.host, first.port, first.authority, first.path) == ("mcp.linear.app", 443, "mcp.linear.app", "/v1/mcp")
    assert first.remote is not None
    assert first.remote.outside.is_encrypted
    time = routes.find("time")
    assert time is not None
    assert (time.host, time.remote) == ("acme-time.flycast", None)
    generation = routes.generation
    remotes.follow([remote("https://mcp.linear.app/v1/mcp")])
    remotes.follow([remote("https://elsewhere.example/", is_known=False)])
    assert routes.generation == generation
    assert routes.find("linear") is first
    remotes.follow([remote("https://mcp.linear.app/v1/mcp", secret="new")])
    second = routes.find("linear")
    assert second is not None
    assert second.remote is not first.remote
    remotes.follow([])
    third = routes.find("linear")
    assert third is not None
    assert third.remote is None
    assert CANARY not in repr(first) + repr(remotes._known)


class NoMachines:
    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        raise AssertionError(f"{app} has no machine {machine_id}")
