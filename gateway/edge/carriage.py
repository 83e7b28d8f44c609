"""What the edge knows of a request to the common address, and what it makes of it. Values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.aggregate.callers import View
from gateway.aggregate.names import Target
from gateway.aggregate.passing import Changes
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
    target: Target | None = None
    """What that name stands for, where it is one of a tool or a prompt."""
    session_key: bytes = b""
    """Of a client with a session."""
    expires_at_s: float | None = None
    """When that session is over (Unix seconds)."""


class Answering(NamedTuple):
    """What becomes of the server's answer, and who wants to know when it is over."""

    changes: Callable[[], Changes]
    """Worked out only where something may have to be changed."""
    marker: bytes | None
    """A plain JSON body without these bytes passes as it is; None where all of them do."""
    lost: Callable[[], None] | None
    """In a session: 404 says that the server knows it no more and has carried out nothing. Forgets that session."""
    began: Callable[[], None]
    ended: Callable[[], None]


class Carriage(NamedTuple):
    """A request to the common address as its server gets it."""

    plan: Plan
    body: bytes
    asked: Call
    answering: Answering
