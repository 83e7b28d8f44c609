"""Every error that the gateway makes itself has one shape, and each of them can be provoked."""

import asyncio
import json

import anyio
import httpx
import pytest
from litestar import get
from litestar.exceptions import ValidationException
from litestar.params import FromPath

from gateway.access import OpenAccess
from gateway.oauth.access import token_access
from gateway.problems import ProblemKind, code_of_status
from gateway.relay import RelayLimits
from tests.gateway.conftest import gateway_to, read_body, reply, scripted, serve

REQUEST_LINE = "POST /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\n"


async def echo(scope, receive, send):
    await reply(send, 200, await read_body(receive))


async def silent(reader, _):
    await reader.read()


async def not_http(_, writer):
    writer.write(b"hello\r\n\r\n")
    await writer.drain()


async def raw(port: int, request: str) -> httpx.Response:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode("latin-1"))
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return httpx.Response(int(lines[0].split()[1]), headers=headers, content=body)


@get("/broken", sync_to_thread=False)
def broken() -> str:
    raise RuntimeError("with a secret in its text")


@get("/validated", sync_to_thread=False)
def validated() -> str:
    raise ValidationException("the name is missing", extra=[{"key": "name"}])


HTTP_SCENARIOS = {
    ProblemKind.NOT_FOUND: "GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ProblemKind.UNKNOWN_SERVER: "POST /servers/other/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
    ProblemKind.METHOD_NOT_ALLOWED: "PUT /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
    ProblemKind.AMBIGUOUS_REQUEST: REQUEST_LINE + "mcp-session-id: a\r\nmcp-session-id: b\r\n\r\n",
    ProblemKind.UNAUTHENTICATED: REQUEST_LINE + "content-length: 0\r\n\r\n",
    ProblemKind.HOST_NOT_ALLOWED: "POST /servers/time/mcp HTTP/1.1\r\nhost: evil.example.com\r\n\r\n",
    ProblemKind.ORIGIN_NOT_ALLOWED: REQUEST_LINE + "origin: https://evil.example.com\r\n\r\n",
    ProblemKind.HEAD_TOO_LARGE: REQUEST_LINE + f"x: {'a' * 40_000}\r\n\r\n",
    ProblemKind.BODY_TOO_LARGE: REQUEST_LINE + "content-length: 1001\r\n\r\n",
    ProblemKind.BODY_TIMEOUT: REQUEST_LINE + "content-length: 10\r\n\r\nhalf",
    ProblemKind.NOT_READY: "GET /readyz HTTP/1.1\r\nhost: 10.0.0.1:8080\r\n\r\n",
    ProblemKind.INTERNAL: "GET /broken HTTP/1.1\r\nhost: localhost\r\n\r\n",
}


async def proxy_without_a_machine(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"fly-request-id: 01-iad\r\ncontent-length: 6\r\n\r\n[PM07]"
    )
    await writer.drain()


UPSTREAM_SCENARIOS = {
    ProblemKind.SERVER_DOWN: (proxy_without_a_machine, RelayLimits()),
    ProblemKind.UPSTREAM_UNREACHABLE: (None, RelayLimits()),
    ProblemKind.UPSTREAM_BROKEN: (not_http, RelayLimits()),
    ProblemKind.UPSTREAM_BUSY: (silent, RelayLimits(max_connections_per_upstream=0)),
    ProblemKind.UPSTREAM_TIMEOUT: (silent, RelayLimits(head_timeout_s=0.05)),
}


ELSEWHERE = {
    ProblemKind.INSUFFICIENT_SCOPE: "test_oidc",
    ProblemKind.ISSUER_UNAVAILABLE: "test_oidc",
    ProblemKind.RATE_LIMITED: "test_quota",
    ProblemKind.CREDENTIALS_REFUSED: "test_remote",
}
"""Provoked where what it takes to provoke them stands."""


def test_every_kind_of_problem_is_visited():
    assert {*HTTP_SCENARIOS, *UPSTREAM_SCENARIOS, *ELSEWHERE} == set(ProblemKind)


def check(kind: ProblemKind, document: dict[str, object]) -> None:
    assert document["type"] == f"tag:catwalk.dev,2026:problem/{kind.code}"
    assert document["code"] == kind.code
    assert document["status"] == kind.status
    assert document["title"] == kind.title
    assert isinstance(document["detail"], str)
    assert document["detail"]
    assert set(document) <= {"type", "code", "status", "title", "detail", "hint"}


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.code) for kind in HTTP_SCENARIOS])
async def test_an_error_outside_mcp_is_a_problem_document(kind):
    access = token_access([]) if kind is ProblemKind.UNAUTHENTICATED else OpenAccess()
    limits = {"max_body_bytes": 1000, "body_timeout_s": 0.1, "access": access}
    async with serve(echo) as port, gateway_to(port, handlers=[broken], ready=False, **limits) as gateway:
        with anyio.fail_after(10):
            response = await raw(gateway.port, HTTP_SCENARIOS[kind])
    assert response.status_code == kind.status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    check(kind, response.json())
    assert "secret" not in response.text


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.code) for kind in UPSTREAM_SCENARIOS])
async def test_a_fault_of_the_upstream_is_a_json_rpc_error_with_the_problem_inside(kind, unused_port):
    script, limits = UPSTREAM_SCENARIOS[kind]
    async with scripted(script or silent) as upstream:
        port = unused_port if script is None else upstream.port
        async with gateway_to(port, relay=limits) as gateway:
            with anyio.fail_after(10):
                response = await raw(gateway.port, REQUEST_LINE + "content-length: 2\r\n\r\n{}")
    assert response.status_code == kind.status
    assert response.headers["content-type"] == "application/json"
    message = response.json()
    assert (message["jsonrpc"], message["id"]) == ("2.0", None)
    assert message["error"]["code"] == -33010
    assert message["error"]["message"].startswith(f"{kind.title}: time: ")
    check(kind, message["error"]["data"])
    assert str(port) not in response.text


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.code) for kind in UPSTREAM_SCENARIOS])
async def test_the_same_fault_of_a_stream_is_a_problem_document(kind, unused_port):
    script, limits = UPSTREAM_SCENARIOS[kind]
    async with scripted(script or silent) as upstream:
        port = unused_port if script is None else upstream.port
        async with gateway_to(port, relay=limits) as gateway:
            with anyio.fail_after(10):
                response = await raw(gateway.port, "GET /servers/time/mcp HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert response.headers["content-type"] == "application/problem+json"
    check(kind, response.json())


@pytest.mark.parametrize("framing", ["content-length: 1500\r\n", "transfer-encoding: chunked\r\n"])
async def test_a_body_over_the_limit_is_refused_however_it_is_announced(framing):
    body = "x" * 1500 if "length" in framing else f"5dc\r\n{'x' * 1500}\r\n0\r\n\r\n"
    async with serve(echo) as port, gateway_to(port, max_body_bytes=1000) as gateway:
        response = await raw(gateway.port, f"{REQUEST_LINE}{framing}\r\n{body}")
    assert response.status_code == 413


async def test_a_body_that_grows_over_the_limit_on_its_way_is_refused_and_ends_the_exchange():
    left = asyncio.Event()

    async def upstream(reader, _):
        while await reader.read(65_536):
            pass
        left.set()

    async def pieces():
        for _ in range(40):
            yield b"x" * 50_000
            await asyncio.sleep(0)

    async with scripted(upstream) as server, gateway_to(server.port, max_body_bytes=1_000_000) as gateway:
        async with httpx.AsyncClient() as client:
            response = await client.post(gateway.mcp, content=pieces())
        assert response.status_code == 413
        with anyio.fail_after(5):
            await left.wait()


async def test_an_http_error_of_another_rooms_handler_keeps_its_status_and_has_the_same_shape():
    async with serve(echo) as port, gateway_to(port, handlers=[validated]) as gateway:
        response = await raw(gateway.port, "GET /validated HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "the name is missing"
    assert response.json()["errors"] == [{"key": "name"}]


async def test_a_page_below_the_servers_path_can_stand_beside_the_data_path():
    @get("/servers/{name:str}", sync_to_thread=False)
    def page(name: FromPath[str]) -> str:
        return f"about {name}"

    async with serve(echo) as port, gateway_to(port, handlers=[page]) as gateway:
        response = await raw(gateway.port, "GET /servers/time HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert response.text == "about time"


async def test_pages_of_other_rooms_are_behind_the_rule_about_hosts():
    async with serve(echo) as port, gateway_to(port, handlers=[validated]) as gateway:
        response = await raw(gateway.port, "GET /validated HTTP/1.1\r\nhost: evil.example.com\r\n\r\n")
    assert response.status_code == 421
    assert response.json()["code"] == "host-not-allowed"


async def test_health_answers_under_any_host():
    async with serve(echo) as port, gateway_to(port) as gateway:
        for path in ("/healthz", "/readyz"):
            response = await raw(gateway.port, f"GET {path} HTTP/1.1\r\nhost: 10.1.2.3:8080\r\n\r\n")
            assert response.status_code == 200
            assert json.loads(response.content) == {"status": "ok"}


@pytest.mark.parametrize(
    "path",
    [
        "/servers/time/mcp/",
        "/servers//time/mcp",
        "//servers/time/mcp",
        "/servers/time//mcp",
        "/servers/ti%6de/mcp",
        "/servers/time/mc%70",
        "/servers/time%2Fmcp",
        "/servers/../servers/time/mcp",
        "/servers/mcp",
        "/servers//mcp",
        "/Servers/time/mcp",
        "/servers/Time/mcp",
        "/servers/time/mcp/extra",
    ],
)
async def test_there_is_one_spelling_of_a_servers_path(path):
    async with serve(echo) as port, gateway_to(port) as gateway:
        response = await raw(gateway.port, f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_status_without_a_kind_has_a_code_of_its_own():
    assert code_of_status(422) in {"unprocessable-entity", "unprocessable-content"}
