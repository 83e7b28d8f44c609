"""When a server counts as well."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """How a server proves that it is well."""

    interval_s: float = 5.0
    timeout_s: float = 4.0
    grace_s: float = 120.0
    """How long a new machine may install and start before it counts as failed."""
    expected_tools: tuple[str, ...] = ()
    """Patterns, each of which must fit a tool that the server lists."""
