"""Notice that a client has closed its connection, for the price of one attribute, and let idle connections be small.

ASGI tells it only to a task that waits for it, and such a task is the largest part of what an idle event stream takes.
uvicorn's protocol on httptools is told by the event loop anyway; where it is not installed, a task has to do.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from gateway.adapter.http.lean import HeadFirst, LeanEvent, LeanFlow

if TYPE_CHECKING:
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

CONNECTION = "catwalk.connection"
"""Where a scope has its connection."""


class ClientConnection(Protocol):
    """What a request came through."""

    is_lost: bool
    on_lost: Callable[[], None] | None
    """Called once when the client closes it. One at a time: a connection carries one request after the other."""


def watched_protocol() -> type[asyncio.Protocol] | None:
    """Uvicorn's protocol as a `ClientConnection`; None where httptools is not installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415 - optional
    except ImportError:
        return None

    class WatchedProtocol(HttpToolsProtocol):
        # In slots, because uvicorn's own attributes fill the dictionary that all its connections share the keys of.
        __slots__ = ("is_lost", "on_lost")

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(cast(asyncio.Transport, transport))
            self.flow = cast("FlowControl", LeanFlow(cast(asyncio.Transport, transport)))
            self.is_lost = False
            self.on_lost: Callable[[], None] | None = None

        def on_message_begin(self) -> None:
            super().on_message_begin()
            cast(dict[str, object], self.scope)[CONNECTION] = self

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            cycle = cast("RequestResponseCycle | None", self.cycle)
            if cycle is not None:  # The task that waits for it begins in a later round of the event loop.
                cycle.message_event = cast(asyncio.Event, LeanEvent())
                if self.scope["method"] != "HEAD":  # Nothing follows the head of such a response.
                    cycle.transport = cast(asyncio.Transport, HeadFirst(self.transport))

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self.is_lost = True
            if self.on_lost is not None:
                self.on_lost()

    return WatchedProtocol
