"""Which headers pass, in each direction."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.relay import MalformedHead, RequestHead
from tests.gateway.conftest import gateway_to, read_body, reply, serve

PASSES_UPSTREAM = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "=?base64?R3LDvMOfZQ==?=",
    "mcp-param-region": "eu",
    "mcp-param-unknown-to-us": "x",
    "last-event-id": "7",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "a=b",
    "baggage": "k=v",
}
STAYS_OUTSIDE = {
    "authorization": "Bearer secret",
    "proxy-authorization": "Basic secret",
    "cookie": "session=secret",
    "user-agent": "someone",
    "x-forwarded-for": "203.0.113.9",
    "forwarded": "for=203.0.113.9",
    "x-api-key": "secret",
    "origin": "http://localhost:3000",
    "referer": "http://localhost/",
    "accept-language": "de",
    "fly-prefer-region": "fra",
    "fly-replay-src": "x",
    "catwalk-machine": "x",
    "mcp-vendor": "x",
    "te": "trailers",
}
PASSES_TO_CLIENT = {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "allow": "POST",
    "retry-after": "3",
    "x-accel-buffering": "no",
    "mcp-protocol-version": "2025-11-25",
    "mcp-something": "x",
}
STAYS_INSIDE = {
    "catwalk-machine": "148e2d",
    "set-cookie": "a=b",
    "www-authenticate": "Bearer",
    "server": "uvicorn-of-a-package",
    "via": "x",
    "fly-request-id": "x",
    "fly-replay": "app=other",
    "location": "http://elsewhere/",
    "access-control-allow-origin": "*",
    "x-powered-by": "x",
    "keep-alive": "timeout=5",
    "content-encoding": "identity",
}


async def test_an_upstream_gets_what_is_on_the_list_and_nothing_else():
    seen: list[tuple[bytes, bytes]] = []

    async def upstream(scope, receive, send):
        seen.extend(scope["headers"])
        await read_body(receive)
        await reply(send, 200)

    async with serve(upstream) as port, gateway_to(port) as gateway, httpx.AsyncClient() as client:
        await client.post(gateway.mcp, content=b"{}", headers={**PASSES_UPSTREAM, **STAYS_OUTSIDE})
    received = {name.decode(): value.decode() for name, value in seen}
    assert received == {
        **PASSES_UPSTREAM,
        "host": "acme-time.flycast",
        "content-length": "2",
        "accept-encoding": "identity",
    }
    assert len(received) == len(seen)


async def test_a_client_gets_what_is_on_the_list_and_nothing_else():
    async def upstream(scope, receive, send):
        headers = {**PASSES_TO_CLIENT, **STAYS_INSIDE}
        await reply(send, 200, b"{}", tuple((name.encode(), value.encode()) for name, value in headers.items()))

    async with serve(upstream) as port, gateway_to(port) as gateway, httpx.AsyncClient() as client:
        response = await client.post(gateway.mcp, content=b"{}")
    own = {"content-length": "2", "date": response.headers["date"], "server": response.headers["server"]}
    assert dict(response.headers) == {**PASSES_TO_CLIENT, **own}
    assert response.headers["server"] != STAYS_INSIDE["server"]


async def test_the_query_stays_outside():
    queries: list[bytes] = []

    async def upstream(scope, receive, send):
        queries.append(scope["query_string"])
        await reply(send, 200)

    async with serve(upstream) as port, gateway_to(port) as gateway, httpx.AsyncClient() as client:
        await client.post(f"{gateway.mcp}?token=secret", content=b"{}")
    assert queries == [b""]


async def test_routing_headers_that_stand_twice_reach_the_upstream_twice():
    """Which of the two counts is for the upstream to judge: it answers -32020, and we must not choose one for it."""
    seen: list[bytes] = []

    async def upstream(scope, receive, send):
        seen.extend(value for name, value in scope["headers"] if name == b"mcp-name")
        await reply(send, 400, b"{}")

    async with serve(upstream) as port, gateway_to(port) as gateway, httpx.AsyncClient() as client:
        await client.post(gateway.mcp, content=b"{}", headers=[("mcp-name", "a"), ("mcp-name", "b")])
    assert seen == [b"a", b"b"]


async def test_a_compressed_answer_that_nobody_asked_for_is_refused():
    async def upstream(scope, receive, send):
        await reply(send, 200, b"\x1f\x8b", ((b"content-encoding", b"gzip"),))

    async with serve(upstream) as port, gateway_to(port) as gateway, httpx.AsyncClient() as client:
        response = await client.post(gateway.mcp, content=b"{}")
    assert response.status_code == 502
    assert response.json()["error"]["data"]["code"] == "upstream-broken"


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_header_changes_the_structure_of_a_request(name, value):
    head = RequestHead(method=b"POST", target=b"/mcp", authority=b"a", headers=[(name, value)], content_length=0)
    if set(name + value) & {0, 10, 13}:
        with pytest.raises(MalformedHead):
            head.encode()
    else:
        assert head.encode().count(b"\r\n") == 5
