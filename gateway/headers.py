"""Which headers pass the gateway, in each direction. Everything that is not named here stays outside.

Upstreams are packages from public registries: they get what MCP needs and nothing that could identify or authenticate
the caller. The client's token is never passed on (MCP authorization, "access token privilege restriction"), nor are
cookies, addresses or the headers by which Fly's proxy is steered. Clients get what describes the answer, and nothing
about the machine that gave it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.problems import ProblemKind, refusal
from gateway.relay.wire import Headers
from gateway.settings import GatewaySettings

SESSION_HEADER = b"mcp-session-id"
MACHINE_HEADER = b"catwalk-machine"
SCOPE_HEADER = b"catwalk-sessions"
"""Of an adapter's answer to `initialize`: `isolated` where the session has a process of its own."""
PIN_HEADER = b"fly-force-instance-id"
PREFER_HEADER = b"fly-prefer-instance-id"
VERSION_HEADER = b"mcp-protocol-version"

_TO_UPSTREAM = frozenset(
    {
        b"content-type",
        b"accept",
        VERSION_HEADER,
        b"mcp-method",
        b"mcp-name",
        b"last-event-id",
        b"traceparent",
        b"tracestate",
        b"baggage",
    }
)
_PARAMETER_PREFIX = b"mcp-param-"
_SINGLE = frozenset({b"host", b"origin", b"authorization", b"content-length", b"transfer-encoding", SESSION_HEADER})

_TO_CLIENT = frozenset(
    {b"content-type", b"content-length", b"cache-control", b"allow", b"retry-after", b"x-accel-buffering"}
)
_MCP_PREFIX = b"mcp-"

# Around a value it means nothing (RFC 9110 section 5.5); the parser in front of us leaves it at the end.
_OPTIONAL_WHITESPACE = b" \t"

# An upstream that compresses would make us pass on a coding that the client did not ask for.
_ALWAYS_TO_UPSTREAM = ((b"accept-encoding", b"identity"),)


@dataclass(slots=True, kw_only=True)
class ClientHeaders:
    """What the gateway read from a request's headers: the few it decides by, and those that go upstream."""

    single: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """Headers that decide and may stand only once, by lower-case name."""
    version: bytes | None = None
    upstream: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    """In the order of the request, duplicates included: whether they are allowed is the upstream's to judge."""


def read_client_headers(headers: Sequence[tuple[bytes, bytes]], settings: GatewaySettings) -> ClientHeaders:
    """Sort a request's headers (lower-case names) in one pass.

    Raises:
        Refused: too many or too large (431), or a header twice by which two readers would decide differently (400).
    """
    read = ClientHeaders(upstream=list(_ALWAYS_TO_UPSTREAM))
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
        if is_client_header(name):
            read.upstream.append((name, value))
            if name == VERSION_HEADER:
                read.version = value
        if name in _SINGLE:
            _keep_single(read, name, value)
    if size > settings.max_head_bytes or len(headers) > settings.max_headers:
        raise refusal(
            ProblemKind.HEAD_TOO_LARGE,
            f"Headers may have {settings.max_head_bytes} bytes and {settings.max_headers} entries in all.",
        )
    return read


def is_client_header(name: bytes) -> bool:
    """Whether a client's header of that lower-case name goes upstream."""
    return name in _TO_UPSTREAM or name.startswith(_PARAMETER_PREFIX)


def client_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """What of an upstream's response headers (lower-case names) the client gets. The session id is not among them."""
    return [
        (name, value)
        for name, value in headers
        if name in _TO_CLIENT or (name.startswith(_MCP_PREFIX) and name != SESSION_HEADER)
    ]


def is_encoded(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a response has a content coding, which nobody asked for and no header would announce to the client."""
    return any(name == b"content-encoding" and value.strip().lower() != b"identity" for name, value in headers)


def _keep_single(read: ClientHeaders, name: bytes, value: bytes) -> None:
    if name in read.single:
        raise refusal(ProblemKind.AMBIGUOUS_REQUEST, f"The header {name.decode('ascii')} stands in the request twice.")
    read.single[name] = value.strip(_OPTIONAL_WHITESPACE)
