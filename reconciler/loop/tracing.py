"""Where the time of a pass goes, told as spans to whoever wants to know; to nobody, and at no price, by default.

The loop names its steps and knows nothing of OpenTelemetry. A tracer is put around the loop by the wiring and found
through the context, like the loggers' keys: everything that runs inside it, in whatever task, belongs to it.
Attributes may name servers and revisions, and never hold text from outside, where a secret could be.
"""

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum
from typing import Final, Protocol

Attribute = str | int | bool


class Step(StrEnum):
    """The steps of a pass that have a span."""

    PASS = "pass"  # noqa: S105  # A pass of the loop, no password.
    READ = "read"
    OBSERVE = "observe"
    PLAN = "plan"
    APPLY = "apply"
    WATCH = "watch"
    REPORT = "report"


class Span(Protocol):
    """A step that is under way."""

    def note(self, **attributes: Attribute) -> None:
        """Adds what is known only now. Names get the prefix `catwalk.`."""
        ...


class Tracer(Protocol):
    """Opens spans; the one that is open when another opens is its parent."""

    def span(self, step: Step, attributes: Mapping[str, Attribute]) -> AbstractContextManager[Span]: ...


class _Nobody:
    def note(self, **attributes: Attribute) -> None:
        del attributes


_NOBODY: Final = _Nobody()
_TRACER: Final[ContextVar[Tracer | None]] = ContextVar("catwalk-tracer", default=None)


def span(step: Step, **attributes: Attribute) -> AbstractContextManager[Span]:
    """A step that lasts as long as the block; one that raises is marked as failed."""
    tracer = _TRACER.get()
    return nullcontext(_NOBODY) if tracer is None else tracer.span(step, attributes)


@contextmanager
def traced_by(tracer: Tracer) -> Generator[None]:
    """Everything inside the block, and every task that is started there, tells this tracer."""
    token = _TRACER.set(tracer)
    try:
        yield
    finally:
        _TRACER.reset(token)
