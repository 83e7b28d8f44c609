"""Sessions over the wire: pinned to their machine by what the client carries, and by nothing that the gateway keeps."""

import httpx
import pytest

from gateway.problems import SESSION_NOT_FOUND_BODY
from gateway.sessions import CapsuleSealer, PinnedSession
from tests.gateway.conftest import SESSION_KEY, gateway_to, read_body, reply, serve, upstream_at

pytestmark = pytest.mark.usefixtures("data_path")
LEGACY = {"mcp-protocol-version": "2025-11-25"}
MODERN = {"mcp-protocol-version": "2026-07-28"}


class Adapter:
    """An upstream that starts a session on a request without one, and remembers the headers of every request."""

    def __init__(self, machine: str | None = "148e2d", status: int = 200) -> None:
        self.machine = machine
        self.status = status
        self.session = b"adapter-session"
        self.extra: tuple[tuple[bytes, bytes], ...] = ()
        self.requests: list[dict[bytes, bytes]] = []

    async def __call__(self, scope, receive, send) -> None:
        self.requests.append(dict(scope["headers"]))
        await read_body(receive)
        headers = [(b"content-type", b"application/json"), (b"mcp-session-id", self.session), *self.extra]
        if self.machine is not None:
            headers.append((b"catwalk-machine", self.machine.encode()))
        await reply(send, self.status, b"{}", tuple(headers))


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def test_a_session_comes_back_to_its_machine_under_the_adapters_name(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        started = await client.post(gateway.mcp, content=b"{}")
        capsule = started.headers["mcp-session-id"]
        followed = await client.post(gateway.mcp, content=b"{}", headers={**LEGACY, "mcp-session-id": capsule})
    assert capsule.startswith("cw1.")
    assert "catwalk-machine" not in started.headers
    first, second = adapter.requests
    assert b"mcp-session-id" not in first
    assert b"fly-force-instance-id" not in first
    assert second[b"mcp-session-id"] == b"adapter-session"
    assert second[b"fly-force-instance-id"] == b"148e2d"
    assert followed.headers["mcp-session-id"] == capsule


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_any_replica_opens_the_capsule_of_another(client, method):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as one, gateway_to(port) as other:
        started = await client.post(one.mcp, content=b"{}")
        capsule = {"mcp-session-id": started.headers["mcp-session-id"]}
        assert (await client.request(method, other.mcp, headers=capsule)).status_code == 200
    assert adapter.requests[-1][b"fly-force-instance-id"] == b"148e2d"


def capsule(key: bytes = SESSION_KEY, server: str = "time", machine: str = "148e2d") -> str:
    return CapsuleSealer(key).seal(PinnedSession(server=server, machine=machine, session_id=b"s"))


@pytest.mark.parametrize(
    "session",
    [
        pytest.param("adapter-session", id="an adapter's own id"),
        pytest.param(capsule(key=b"x" * 32), id="another key"),
        pytest.param(capsule(server="other"), id="another server"),
        pytest.param(capsule()[:-2] + "AA", id="a changed tag"),
        pytest.param("cw2." + capsule()[4:], id="another version"),
        pytest.param("", id="empty"),
        pytest.param("x" * 5000, id="very long"),
    ],
)
async def test_a_session_that_is_not_ours_is_not_found_and_never_reaches_an_upstream(client, session):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b"{}", headers={"mcp-session-id": session})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.content == SESSION_NOT_FOUND_BODY
    assert adapter.requests == []


@pytest.mark.parametrize("status", [502, 503])
async def test_a_pinned_session_whose_machine_is_gone_is_not_found(client, status):
    adapter = Adapter(machine=None, status=status)
    async with serve(adapter) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b"{}", headers={"mcp-session-id": capsule()})
    assert response.status_code == 404
    assert response.content == SESSION_NOT_FOUND_BODY


@pytest.mark.parametrize("status", [502, 503])
async def test_an_error_of_the_machine_itself_is_no_lost_session(client, status):
    adapter = Adapter(status=status)
    async with serve(adapter) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b"{}", headers={"mcp-session-id": capsule()})
    assert response.status_code == status
    assert response.content == b"{}"


async def test_an_error_in_front_of_the_machines_is_no_lost_session_when_there_was_none(client):
    async with serve(Adapter(machine=None, status=503)) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b"{}")
    assert response.status_code == 503


async def test_a_pinned_session_is_not_found_where_nobody_listens(client, unused_port):
    async with gateway_to(unused_port) as gateway:
        pinned = await client.post(gateway.mcp, content=b"{}", headers={"mcp-session-id": capsule()})
        unpinned = await client.post(gateway.mcp, content=b"{}")
    assert pinned.status_code == 404
    assert unpinned.status_code == 502


async def test_a_session_without_a_machine_passes_unpinned(client):
    adapter = Adapter(machine=None)
    async with serve(adapter) as port, gateway_to(port) as gateway:
        started = await client.post(gateway.mcp, content=b"{}")
        headers = {"mcp-session-id": started.headers["mcp-session-id"]}
        assert (await client.post(gateway.mcp, content=b"{}", headers=headers)).status_code == 200
    assert adapter.requests[1][b"mcp-session-id"] == b"adapter-session"
    assert b"fly-force-instance-id" not in adapter.requests[1]


async def test_a_modern_client_neither_sends_nor_gets_a_session(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        for session in (capsule(), "garbage"):
            headers = {**MODERN, "mcp-session-id": session}
            response = await client.post(gateway.mcp, content=b"{}", headers=headers)
            assert response.status_code == 200
            assert "mcp-session-id" not in response.headers
    for request in adapter.requests:
        assert b"mcp-session-id" not in request
        assert b"fly-force-instance-id" not in request


async def test_a_new_session_id_from_the_upstream_gives_a_new_capsule(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        adapter.session = b"second"
        response = await client.post(gateway.mcp, content=b"{}", headers={"mcp-session-id": capsule()})
    opened = CapsuleSealer(SESSION_KEY).open(response.headers["mcp-session-id"].encode(), server="time")
    assert (opened.session_id, opened.machine) == (b"second", "148e2d")


async def test_a_session_id_that_cannot_be_used_is_the_upstreams_fault(client):
    adapter = Adapter()
    adapter.session = b"with space"
    async with serve(adapter) as port, gateway_to(port) as gateway:
        response = await client.post(gateway.mcp, content=b"{}")
    assert response.status_code == 502
    assert response.json()["error"]["data"]["code"] == "upstream-broken"


async def test_a_client_cannot_choose_a_machine_itself(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        await client.post(gateway.mcp, content=b"{}", headers={"fly-force-instance-id": "another"})
    assert b"fly-force-instance-id" not in adapter.requests[0]


async def test_a_capsule_of_one_server_does_not_open_the_other(client):
    adapter = Adapter()
    async with serve(adapter) as port, gateway_to(port) as gateway:
        gateway.routes.replace([upstream_at(port), upstream_at(port, "wiki")])
        started = await client.post(gateway.mcp, content=b"{}")
        headers = {"mcp-session-id": started.headers["mcp-session-id"]}
        other = await client.post(f"{gateway.url}/servers/wiki/mcp", content=b"{}", headers=headers)
    assert other.status_code == 404
    assert len(adapter.requests) == 1
