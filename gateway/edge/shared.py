"""What all connections of one gateway share on the edge."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.breaker import Breakers
from gateway.edge.plans import PlanMemory
from gateway.edge.writing import ResponseHeads, encode_headers
from gateway.observation import Observers
from gateway.reads import ReadMemory
from gateway.relay import Relay


class HeadEnds:
    """The headers that uvicorn gives every response, as bytes. It makes a new list each second, for the date."""

    __slots__ = ("_encoded", "_headers")

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._encoded = b"\r\n"

    def of(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The lines of these headers and the empty line behind them."""
        if headers is not self._headers:
            self._headers, self._encoded = headers, encode_headers(headers) + b"\r\n"
        return self._encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What all connections of one gateway share."""

    relay: Relay
    plans: PlanMemory
    heads: ResponseHeads
    breakers: Breakers
    server_note: Callable[[str], str]
    observers: Observers
    reads: ReadMemory
    head_ends: HeadEnds = field(default_factory=HeadEnds)
