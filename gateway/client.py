"""The client's side of one exchange, over ASGI."""

import asyncio

from litestar.types import Receive, Send

from gateway.calls import UNREAD
from gateway.problems import Answer, Problem, ProblemKind, Refused
from gateway.relay.wire import Headers


class ClientGone(Exception):
    """The client closed its connection: nobody is left to answer."""


class Client:
    """Reads the request body and writes the response. Knows whether a response has begun."""

    __slots__ = ("_receive", "_send", "call", "cors", "has_started", "is_denied", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.has_started = False
        self.call = UNREAD
        """What it asks for, once that has been read."""
        self.is_denied = False
        """Whether a policy has refused it."""
        self.cors: Headers = ()
        """What a web page needs on every answer."""
        self.status = 0
        """Of the response, 0 before it begins."""

    async def next_piece(self, timeout_s: float) -> tuple[bytes, bool]:
        """The next piece of the body, and whether more follows.

        Raises:
            ClientGone: it left before the body was complete.
            Refused: nothing came for `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(_late(timeout_s)) from error
        if message["type"] != "http.request":
            raise ClientGone
        return message["body"], message["more_body"]

    async def left(self) -> None:
        """Wait until the client closes its connection. The body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of the response."""
        self.has_started = True
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.cors]})

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body, waiting while the client does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, answer: Answer) -> None:
        """Send a complete response."""
        await self.start(answer.status, answer.headers)
        await self.write(answer.body, more=False)


def _late(timeout_s: float) -> Problem:
    return Problem(
        kind=ProblemKind.BODY_TIMEOUT,
        detail=f"Nothing of the request body arrived for {timeout_s:g} s.",
        headers=((b"connection", b"close"),),
    )
