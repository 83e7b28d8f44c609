"""`catwalk serve` for people who sign in, and for a server that somebody else runs: no machine, no static token.

The official client goes from the gateway's 401 to the identity provider and back; the gateway shows the remote server a
secret of the repository; who called stands in the audit log, and no credential does.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import httpx
import pyrage
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared._httpx_utils import create_mcp_http_client

from gateway.protocol.revisions import META_CLIENT_CAPABILITIES, META_VERSION
from reconciler.sops.rules import RuleKind
from tests.gateway.conftest import serve
from tests.gateway.identity import IdentityProvider, identity_provider
from tests.gateway.test_mcp_clients import Observed, make_server, text_of
from tests.gateway.test_oauth import Storage, signing_in
from tests.journeys.serving import EngineProcess, Line, Service, engine, service, service_environment
from tests.sops.writer import Options, encrypt_yaml
from tests.sources.conftest import GitHttpServer, Repository, serve_git

pytestmark = [pytest.mark.timeout(300)]

CANARY = "canary-remote-60ab"
MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: people
gateway:
  auth:
    oidc:
      corp: {{issuer: "{issuer}", scopes: [mcp], server_scopes: {{clock: [clock]}}}}
  access:
    platform: {{clock: [add]}}
    "corp:interns": {{"*": [repeat]}}
  limits:
    "corp:interns": {{requests_per_minute: 1, burst: 3}}
servers:
  clock:
    remote:
      url: "{url}"
      headers: {{Authorization: "Bearer ${{CLOCK_TOKEN}}"}}
    secrets:
      CLOCK_TOKEN: {token}
"""


class Guarded:
    """A server that is open to one token, and remembers every other credential that it saw."""

    def __init__(self, app) -> None:
        self._app = app
        self.strange: list[str] = []
        self.calls = 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"").decode()
            self.calls += 1
            if shown != f"Bearer {CANARY}":
                self.strange.append(shown)
        await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Repository, GitHttpServer]]:
    path = tmp_path / "git" / "fleet"
    path.mkdir(parents=True)
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    for server in serve_git(path.parent):
        yield made, server


@asynccontextmanager
async def remote_clock() -> AsyncIterator[tuple[Guarded, str]]:
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    guarded = Guarded(make_server(Observed()).streamable_http_app(transport_security=security))
    async with serve(guarded, lifespan="on") as port:
        yield guarded, f"http://127.0.0.1:{port}/mcp"


def commit(repository: Repository, key: pyrage.x25519.Identity, issuer: str, url: str) -> None:
    rule = (RuleKind.ENCRYPTED_REGEX, "^secrets$")
    options = Options(recipients=(str(key.to_public()),), rule=rule, mac_only_encrypted=True)
    text = encrypt_yaml(MANIFEST.format(issuer=issuer, url=url, token=CANARY), options)
    repository.write("catwalk.yaml", text.encode())
    repository.commit("Start")


class Asked:
    """As the tests of the gateway have it: what a client that signs in needs to know of one."""

    def __init__(self, mcp: str) -> None:
        self.mcp = mcp


async def called(running: Service, mode: str) -> tuple[set[str], str]:
    """The tools that a person sees who signs in, and what `add` answers."""
    url = running.mcp_url("clock")
    async with (
        create_mcp_http_client(auth=signing_in(Asked(url), Storage())) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        names = {tool.name for tool in (await client.list_tools()).tools}
        return names, text_of(await client.call_tool("add", {"a": 2, "b": 3}))


async def test_people_sign_in_and_reach_a_server_that_somebody_else_runs(
    tmp_path: Path, machines: EngineProcess, host: tuple[Repository, GitHttpServer]
) -> None:
    key = pyrage.x25519.Identity.generate()
    async with identity_provider(scopes=["mcp", "clock"]) as issuer, remote_clock() as (clock, url):
        commit(host[0], key, issuer.issuer, url)
        environment = service_environment(
            machines, host[1].url, SOPS_AGE_KEY=str(key), CATWALK_OUTBOUND_NETWORKS="127.0.0.0/8"
        )
        place = tmp_path / "place"
        place.mkdir()
        with service(place, environment, insecure=False) as running:
            await anyio.to_thread.run_sync(lambda: running.until_state("clock", "ready", within_s=120))
            with anyio.fail_after(60):
                assert await called(running, "legacy") == ({"add"}, "5")
                assert await called(running, "2026-07-28") == ({"add"}, "5")
            await refuse_interns(running, issuer)
            with service(place, environment, insecure=False) as second:
                await relayed_by(second, issuer)
            lines = await anyio.to_thread.run_sync(lambda: stopped(running))
    assert clock.calls > 4
    assert clock.strange == []
    assert machines.machines("people-clock") == []
    who = {(line["who"], line["server"]) for line in lines if line.get("event") == "call"}
    assert {("corp:alice", "clock"), ("corp:intern", "clock")} <= who
    kept = await anyio.to_thread.run_sync(audit_of, place)
    assert {("call", "corp:alice", "add", "ok"), ("call", "corp:intern", "add", "refused")} <= kept
    assert ("sign-in", "", "", "refused") in kept
    assert CANARY not in running.log


def audit_of(place: Path) -> set[tuple[str, ...]]:
    """What the store keeps of who did what."""
    (file,) = place.rglob("catwalk.db")
    with closing(sqlite3.connect(file)) as store:
        return set(store.execute("SELECT kind, who, tool, result FROM audit"))


async def refuse_interns(running: Service, issuer: IdentityProvider) -> None:
    """Another group sees another tool, and only so often; a token without scopes or for elsewhere opens nothing."""
    url = running.mcp_url("clock")
    usual = {"aud": url, "sub": "intern", "groups": ["interns"], "scope": "mcp clock"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {}}}
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:

        async def ask(**changes: object) -> httpx.Response:
            headers = {
                "authorization": f"Bearer {issuer.token(**(usual | changes))}",
                "mcp-protocol-version": "2026-07-28",
            }
            return await client.post(url, json=body, headers=headers)

        assert (await ask(scope="mcp")).status_code == 403
        assert (await ask(aud=running.mcp_url("wiki"))).status_code == 401
        assert (await ask(groups=[])).status_code == 404
        answers = [await ask() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert answers[0].json()["error"]["message"] == "Unknown tool: add"
    assert int(answers[3].headers["retry-after"]) >= 1


async def relayed_by(second: Service, issuer: IdentityProvider) -> None:
    """A process that stands by knows the rules and the secrets of the leader's revision."""
    url, headers = second.mcp_url("clock"), {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    token = issuer.token(aud=url, scope="mcp clock", groups=["platform"])
    meta = {META_VERSION: "2026-07-28", META_CLIENT_CAPABILITIES: {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    accept = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        with anyio.fail_after(60):
            while (answer := await client.post(url, json=body, headers=headers | accept)).status_code != 200:  # noqa: ASYNC110 - another process sets no event here.
                await anyio.sleep(0.2)
    assert [tool["name"] for tool in answer.json()["result"]["tools"]] == ["add"]


def stopped(running: Service) -> list[Line]:
    assert running.stop() == 0
    return [line for text in running.raw if (line := json.loads(text))]
