"""What an exchange may cost: times, sizes, connections. These bound every wait and every buffer of the relay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """Times in seconds, sizes in bytes. There is no limit on the length of a stream in either."""

    connect_timeout_s: float = 10.0
    head_timeout_s: float = 600.0
    """From the end of the request to the head of the answer. A tool may think for minutes in silence, and a sleeping
    machine may have to install its package first; an MCP client gives up long before this."""
    send_timeout_s: float = 60.0
    """How long an upstream may leave a full send buffer unread."""
    idle_timeout_s: float = 4.0
    """How long an unused connection is kept. It stays below the keep-alive of common servers (uvicorn 5 s, Node 5 s),
    so that we close first and no request meets a connection that the other side is just closing."""
    max_idle_per_upstream: int = 256
    max_connections_per_upstream: int = 10_000
    max_head_bytes: int = 32 * 1024
    max_headers: int = 128
    high_water_bytes: int = 64 * 1024
    """How much of an answer is held for a client that reads slowly, before the upstream is no longer read."""
