"""What the wiring decides about the aggregate, once, at its start."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.aggregate.names import Prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the control plane knows of a server."""

    identity: str
    """What runs: an opaque text that changes with the version or the configuration."""
    is_asleep: bool


def _unknown(_: str) -> Running | None:
    return None


def _always() -> Prefix:
    return Prefix.ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateSettings:
    """Times in seconds."""

    prefix: Callable[[], Prefix] = _always
    """When tools and prompts are named after their server, now."""
    list_timeout_s: float = 8.0
    """How long one server may take for its part of a list. Hosts give up on a connection after ten seconds or more, and
    a server that starts from an image takes a few."""
    running: Callable[[str], Running | None] = _unknown
    """What a server runs and whether it sleeps; None where that is not known. The list of one that sleeps is used
    without waking it, if it is known of the same identity."""
    notice_pause_s: float = 1.0
    """How long notices of changed lists are gathered before one of each kind goes out."""
    listen_linger_s: float = 120.0
    """How long after its last call a server is still listened to. An open stream keeps a machine awake; a machine that
    sleeps changes no list."""
