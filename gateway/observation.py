"""What happens in the data path, as values for whoever counts or writes it down.

An observer is called from the event loop, once for each call that was accepted, when it is over. It must not block, and
it never sees arguments or results.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol


class Event(Enum):
    """What may be counted beside the calls."""

    SESSION_STARTED = "session-started"
    SESSION_RESTORED = "session-restored"
    SESSION_LOST = "session-lost"
    HELD = "held"
    """A call waited longer than a second for the head of its answer: a machine woke, or a tool thought."""
    READ_FROM_MEMORY = "read-from-memory"


class Result(Enum):
    """How a call ended for its caller."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    LEFT = "left"
    """The caller closed the connection before the answer began."""


class EndedCall(NamedTuple):
    """One call that is over. A tuple, because every call makes one."""

    principal: str
    server: str
    http_method: str
    method: str
    """The JSON-RPC method; empty where there was none or it was not read."""
    name: str
    """The tool, prompt or resource; as the caller wrote it."""
    status: int
    """The HTTP status that the caller got, 0 where it left before."""
    seconds: float
    is_denied: bool = False
    """Whether a policy refused it; older clients get that with HTTP status 200 (JSON-RPC error -32602)."""

    @property
    def result(self) -> Result:
        """The status in one word."""
        if self.status == 0:
            return Result.LEFT
        if self.is_denied:
            return Result.REFUSED
        if self.status < 400:
            return Result.OK
        return Result.REFUSED if self.status < 500 else Result.FAILED


class Observer(Protocol):
    """Counts, or writes down."""

    def call_ended(self, call: EndedCall) -> None:
        """A call is over."""
        ...

    def stream_changed(self, server: str, change: int) -> None:
        """An event stream was opened (1) or closed (-1)."""
        ...

    def happened(self, event: Event, server: str) -> None:
        """Something else worth counting."""
        ...

    def refused(self, code: str) -> None:
        """A request was refused from its head, with a code of `gateway.problems`."""
        ...


class Observers:
    """All observers as one."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def call_ended(self, call: EndedCall) -> None:
        """As `Observer.call_ended`."""
        for observer in self._observers:
            observer.call_ended(call)

    def stream_changed(self, server: str, change: int) -> None:
        """As `Observer.stream_changed`."""
        for observer in self._observers:
            observer.stream_changed(server, change)

    def happened(self, event: Event, server: str) -> None:
        """As `Observer.happened`."""
        for observer in self._observers:
            observer.happened(event, server)

    def refused(self, code: str) -> None:
        """As `Observer.refused`."""
        for observer in self._observers:
            observer.refused(code)
