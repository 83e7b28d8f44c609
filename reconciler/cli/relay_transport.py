"""Lets an ordinary HTTP client ask a remote server by the gateway's own way: its relay, its guard, its credentials.

So a probe proves what callers get: the same addresses are refused, the same token is shown and renewed, and a
certificate that is not good stops both.
"""

from collections.abc import AsyncIterator

import httpx

from gateway.relay import Address, BufferedResponse, Exchange, Relay, RelayFault, RequestHead, ResponseHead
from gateway.relay.wire import Headers
from gateway.remote import remote_headers
from gateway.routing import Upstream

_WRITTEN_HERE = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"user-agent"})


class RelayTransport(httpx.AsyncBaseTransport):
    """Sends every request to one upstream, whatever its URL says."""

    def __init__(self, relay: Relay, upstream: Upstream) -> None:
        self._relay = relay
        self._upstream = upstream

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; a second one where the credentials were refused and there are better ones.

        Raises:
            RelayFault: it did not come to an answer.
        """
        remote = self._upstream.remote
        assert remote is not None
        body = await request.aread()
        shown = await remote.credentials.headers()
        answer = await self._exchange(request, body, shown)
        if answer.status_code == 401 and await remote.credentials.renew(shown):
            await answer.aclose()
            answer = await self._exchange(request, body, await remote.credentials.headers())
        return answer

    async def _exchange(self, request: httpx.Request, body: bytes, shown: Headers) -> httpx.Response:
        upstream, remote = self._upstream, self._upstream.remote
        address = Address(upstream.host, upstream.port, upstream.authority, remote.outside if remote else None)
        response = BufferedResponse(self._relay.limits)
        opening = self._head(request, len(body), shown).encode() + body
        exchange = await self._relay.open(address, opening, response, chunked=False)
        exchange.complete_request()
        try:
            head = await response.head()
        except RelayFault:
            exchange.abort()
            raise
        return _response(head, _Body(response, exchange))

    def _head(self, request: httpx.Request, size: int, shown: Headers) -> RequestHead:
        own = [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in _WRITTEN_HERE]
        kept = [header for header in own if header[0] != b"accept-encoding"]
        return RequestHead(
            method=request.method.encode("ascii"),
            target=self._upstream.path.encode("ascii"),
            authority=self._upstream.authority.encode("ascii"),
            headers=remote_headers([*kept, (b"accept-encoding", b"identity")], shown),
            content_length=size,
        )


def _response(head: ResponseHead, body: "_Body") -> httpx.Response:
    return httpx.Response(head.status, headers=list(head.headers), stream=body)


class _Body(httpx.AsyncByteStream):
    """What comes after the head; closing it early ends the exchange."""

    def __init__(self, response: BufferedResponse, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._response.read():
            yield piece

    async def aclose(self) -> None:
        self._exchange.abort()
