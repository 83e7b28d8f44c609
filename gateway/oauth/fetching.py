"""The one way in which the gateway asks identity providers: small JSON documents, by https, from public addresses.

A provider is outside and may be hostile or down: the size of an answer, the time that it takes and the places that it
may come from are bounded, redirects are refused (they would lead around the check of the address), and nothing of an
answer's text gets into an error.
"""

import asyncio
import json
from typing import Final, cast

from gateway.headers import is_encoded
from gateway.relay import (
    Address,
    BadURL,
    BufferedResponse,
    OutsideRules,
    OutsideURL,
    Relay,
    RelayFault,
    RelayLimits,
    RequestHead,
    ResponseHead,
    read_url,
)
from gateway.relay.outside import Resolve, resolve
from gateway.relay.wire import Headers

MAX_DOCUMENT_BYTES: Final = 512 * 1024
TIMEOUT_S: Final = 5.0
"""For one document, from the name's address to its last byte."""
_LIMITS = RelayLimits(connect_timeout_s=TIMEOUT_S, head_timeout_s=TIMEOUT_S, send_timeout_s=TIMEOUT_S)
_ALWAYS = (
    (b"accept", b"application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"catwalk"),
    # Documents are read minutes apart: a kept connection would only be something to forget.
    (b"connection", b"close"),
)


class FetchFault(Exception):
    """A document could not be had. The cause names no address and quotes nothing of the answer."""

    def __init__(self, cause: str, *, status: int = 0) -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status
        """What was answered instead; 0 where it was nothing."""


class Fetcher:
    """Fetches documents from outside the fleet. Belongs to one event loop."""

    def __init__(self, rules: OutsideRules, *, look_up: Resolve = resolve) -> None:
        self.rules = rules
        self._relay = Relay(_LIMITS, look_up=look_up)

    async def get(self, url: str) -> dict[str, object]:
        """The JSON object at a URL.

        Raises:
            FetchFault: there is none, or it may not be fetched.
        """
        return await self._ask(url, b"GET", (), b"")

    async def post_form(self, url: str, form: bytes, headers: Headers = ()) -> dict[str, object]:
        """The JSON object that answers an encoded form.

        Raises:
            FetchFault: there is none, or the URL may not be called.
        """
        typed = (b"content-type", b"application/x-www-form-urlencoded")
        return await self._ask(url, b"POST", (typed, *headers), form)

    async def _ask(self, url: str, method: bytes, headers: Headers, body: bytes) -> dict[str, object]:
        try:
            read = read_url(url, self.rules)
            async with asyncio.timeout(TIMEOUT_S):
                head, answer = await self._exchange(read, _head(read, method, headers, len(body)) + body)
        except BadURL as error:
            raise FetchFault(f"its URL is refused: {error}") from error
        except TimeoutError as error:
            raise FetchFault(f"no whole answer within {TIMEOUT_S:g} s") from error
        except RelayFault as fault:
            raise FetchFault(fault.cause) from fault
        return _document(head, answer)

    async def _exchange(self, url: OutsideURL, request: bytes) -> tuple[ResponseHead, bytes]:
        address = Address(url.host, url.port, url.authority, url.outside)
        response = BufferedResponse(_LIMITS)
        exchange = await self._relay.open(address, request, response, chunked=False)
        exchange.complete_request()
        try:
            return await response.head(), await response.read_whole(MAX_DOCUMENT_BYTES)
        finally:
            exchange.abort()


def _head(url: OutsideURL, method: bytes, headers: Headers, size: int) -> bytes:
    return RequestHead(
        method=method,
        target=url.target.encode("ascii"),
        authority=url.authority.encode("ascii"),
        headers=[*_ALWAYS, *headers],
        content_length=size,
    ).encode()


def _document(head: ResponseHead, body: bytes) -> dict[str, object]:
    if 300 <= head.status < 400:
        raise FetchFault("it answers with a redirect, which is not followed", status=head.status)
    if head.status != 200:
        raise FetchFault(f"it answers with status {head.status}", status=head.status)
    if is_encoded(head.headers):
        raise FetchFault("its answer is compressed although nobody asked for that")
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FetchFault("its answer is no JSON") from error
    if not isinstance(document, dict):
        raise FetchFault("its answer is no JSON object")
    return cast("dict[str, object]", document)
