"""What the edge knows of a request to the common address, and what it makes of it. Values."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.aggregate.callers import View
from gateway.aggregate.passing import Changes
from gateway.aggregate.routing import Destination
from gateway.calls import Call
from gateway.edge.plans import Plan
from gateway.relay.wire import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonHead:
    """A head of a POST to `/mcp` that was accepted."""

    block: bytes
    """As it stood on the wire."""
    view: View
    headers: Headers
    body_size: int
    version: str
    """The revision of the protocol."""
    method: str = ""
    """Of a stateless client, which says it in the head."""
    name: str = ""
    """The same for the name or URI."""
    place: Destination | None = None
    """Where a tool or a prompt of that name is."""
    session_key: bytes = b""
    """Of a client with a session."""
    expires_at_s: float | None = None
    """When that session is over (Unix seconds)."""


class Answering(Protocol):
    """What becomes of the server's answer, and who wants to know when it is over."""

    marker: bytes | None
    """A plain JSON body without these bytes passes as it is; None where all of them do."""
    in_session: bool
    """Whether 404 says that the server knows the session no more, and has carried out nothing."""

    def changes(self) -> Changes:
        """What is changed; asked for only where something may have to be."""
        ...

    def began(self) -> None: ...

    def ended(self) -> None: ...

    def session_lost(self) -> None: ...


class Carriage(NamedTuple):
    """A request to the common address as its server gets it."""

    plan: Plan
    body: bytes
    asked: Call
    answering: Answering
