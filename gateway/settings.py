"""What the wiring decides about the gateway, once, at its start."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.access import Access, OpenAccess
from gateway.aggregate.settings import AggregateSettings
from gateway.observation import Observer
from gateway.relay.limits import RelayLimits


def _no_note(_: str) -> str:
    return ""


def _no_metadata(_: str) -> None:
    """Nobody issues tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Sizes in bytes, times in seconds."""

    session_key: bytes = field(repr=False)
    """Authenticates session capsules; at least 32 random bytes, the same in every replica and after a restart."""
    is_bound_to_loopback: bool = True
    """Whether the listener is on 127.0.0.1 or ::1. Then the loopback names are always good hosts and origins."""
    allowed_hosts: tuple[str, ...] = ()
    """What a `Host` header may say: `gateway.example.com` (without a port), `gateway.example.com:8443`,
    `gateway.example.com:*` (with any port or none), `[::1]:*`, or `*` for anything."""
    allowed_origins: tuple[str, ...] = ()
    """What an `Origin` header may say: `https://app.example.com`, `http://app.example.com:*`, or `*`."""
    access: Access = field(default_factory=OpenAccess)
    """Who may use what."""
    resource_metadata: Callable[[str], Mapping[str, object] | None] = _no_metadata
    """The OAuth metadata of a server's address (`gateway.oauth.pages`)."""
    session_lifetime_s: float = 7 * 24 * 3600.0
    """How long a session id is good for, whatever the server thinks of it."""
    now: Callable[[], float] = time.time
    """The clock, in Unix seconds, that expiries are compared with."""
    server_note: Callable[[str], str] = _no_note
    """What the control plane knows about a server that does not run, for its callers; empty where that is nothing."""
    monotonic: Callable[[], float] = time.monotonic
    """A clock that never goes back, in seconds."""
    observers: tuple[Observer, ...] = ()
    """Who is told of every call: metrics (`gateway.metrics`), the audit log (`gateway.audit`)."""
    max_body_bytes: int = 16 * 1024 * 1024
    max_head_bytes: int = 32 * 1024
    max_headers: int = 128
    body_timeout_s: float = 60.0
    """How long a client may leave a gap in its request body."""
    patience_s: float = 0.05
    """How long an answer may take before the client's connection is watched. A client that leaves earlier than that is
    noticed then, which costs the upstream this much work and saves every quick call the price of a watcher."""
    aggregate: AggregateSettings = field(default_factory=AggregateSettings)
    """What `/mcp` looks like."""
    relay: RelayLimits = field(default_factory=RelayLimits)
