"""From the head of a request to what happens with it: a value, without any I/O.

Everything that can be decided before the body is decided here: host, origin, caller, server, method, session, sizes,
headers. A decision depends on the head, the settings, the rules of access and the route table alone, so that it can be
remembered for as long as `RequestRules.generation` stays the same. Nothing that depends on the body is decided here.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.access import ANONYMOUS, Grant
from gateway.admission import Admission
from gateway.headers import SESSION_HEADER, ClientHeaders, read_client_headers
from gateway.problems import Problem, ProblemKind, Refused, SessionNotFound, refusal
from gateway.protocol.affinity import NAME_HEADER, PRINCIPAL_HEADER
from gateway.relay.pool import Address
from gateway.relay.wire import RequestHead
from gateway.routing import RouteTable, Upstream
from gateway.sessions import BadCapsule, CapsuleSealer, PinnedSession
from gateway.settings import GatewaySettings

PATH_PREFIX = b"/servers/"
BY_AGGREGATE = "catwalk.aggregate"
"""In the scope of a request that the common address makes within this process, with the name of the session that it
opens or nothing. Nobody outside can say it."""
PATH_SUFFIX = b"/mcp"
_METHODS = frozenset({"POST", "GET", "DELETE"})
# The revisions with sessions. Everything else in the version header is judged by the modern, stateless rules, also a
# version that does not exist, so that its sender learns from the upstream which ones do (2026-07-28, Versioning).
_LEGACY_VERSIONS = frozenset({b"2024-11-05", b"2025-03-26", b"2025-06-18", b"2025-11-25"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHead:
    """The head of a request as it came in. Header names are lower case; the path is as it was on the wire."""

    method: str
    path: bytes
    headers: Sequence[tuple[bytes, bytes]]
    is_aggregate: bool = False
    """Whether it is a part of a request to the common address, and the caller's credential is one for that."""
    session_name: bytes = b""
    """What the common address calls the session that this request opens; empty where it opens none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """The request goes to this upstream, in this form."""

    upstream: Upstream
    method: str
    headers: Sequence[tuple[bytes, bytes]]
    content_length: int | None
    """The size of the body, or None when the client sends it in chunks."""
    grant: Grant
    """Who calls, and what they may use."""
    has_sessions: bool
    """Whether the client speaks a revision with sessions: only then may a session id go either way."""
    session: PinnedSession | None
    capsule: bytes | None
    """The session as the client named it."""
    session_ends_at_s: int
    """When a session that this request starts is over (Unix time)."""
    origin: bytes | None = None
    """The web page that asks, where one does; it is one that may."""
    opening: bytes = b""
    """What a session that this request starts may be started with again."""

    @property
    def address(self) -> Address:
        """Where the request goes."""
        upstream, remote = self.upstream, self.upstream.remote
        outside = remote.outside if remote is not None else None
        return Address(upstream.host, upstream.port, upstream.authority, outside)

    @property
    def is_pinned(self) -> bool:
        """Whether only one machine can answer."""
        return self.session is not None and bool(self.session.machine)

    @property
    def is_restorable(self) -> bool:
        """Whether the session may be started again if it is lost."""
        return self.session is not None and bool(self.session.opening)

    def request_head(self, content_length: int | None) -> RequestHead:
        """The head to send, once it is known whether the body has a known size."""
        return RequestHead(
            method=self.method.encode("ascii"),
            target=self.upstream.path.encode("ascii"),
            authority=self.upstream.authority.encode("ascii"),
            headers=self.headers,
            content_length=content_length,
        )


class Successors(Protocol):
    """What lost sessions have become (`gateway.restoring`)."""

    @property
    def generation(self) -> int: ...

    def successor(self, capsule: bytes, session: PinnedSession) -> PinnedSession: ...


class NoSuccessors:
    """Nothing lost has become anything."""

    generation = 0

    def successor(self, capsule: bytes, session: PinnedSession) -> PinnedSession:  # noqa: ARG002 - the protocol's name
        """The session itself."""
        return session


class RequestRules:
    """The rules of one gateway."""

    def __init__(
        self, settings: GatewaySettings, routes: RouteTable, sealer: CapsuleSealer, successors: Successors | None = None
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._sealer = sealer
        self._successors: Successors = successors or NoSuccessors()
        self._admission = Admission(settings)

    @property
    def generation(self) -> tuple[int, int, int]:
        """Changes whenever a decision could come out differently."""
        return self._routes.generation, self._settings.access.generation, self._successors.generation

    def decide(self, head: ClientHead) -> Forward:
        """What to do with a request, from its head.

        Raises:
            Refused: it is not carried out, and why.
            SessionNotFound: it names a session that is not one of this server's.
        """
        read = read_client_headers(head.headers, self._settings)
        self._admission.check(host=read.single.get(b"host"), origin=read.single.get(b"origin"))
        upstream, grant = self._find(head, read.single.get(b"authorization"))
        _check_method(head.method)
        content_length = self._check_body_size(head.method, read)
        has_sessions = read.version is None or read.version in _LEGACY_VERSIONS
        capsule = read.single.get(SESSION_HEADER) if has_sessions else None
        now_s = self._settings.now()
        session = self._open(capsule, upstream, grant, now_s) if capsule is not None else None
        return Forward(
            upstream=upstream,
            method=head.method,
            headers=[
                *read.upstream,
                *_caller(grant),
                *_named(head),
                *(session.headers() if session is not None else ()),
            ],
            content_length=content_length,
            grant=grant,
            has_sessions=has_sessions,
            session=session,
            capsule=capsule,
            origin=read.single.get(b"origin"),
            session_ends_at_s=int(now_s + self._settings.session_lifetime_s),
        )

    def page_of(self, head: ClientHead) -> bytes | None:
        """The allowed web page that a request comes from, also where the request itself is refused; None for others."""
        origins = [value for name, value in head.headers if name == b"origin"]
        hosts = [value for name, value in head.headers if name == b"host"]
        if len(origins) != 1 or len(hosts) != 1:
            return None
        try:
            self._admission.check(host=hosts[0], origin=origins[0])
        except Refused:
            return None
        return origins[0]

    def _find(self, head: ClientHead, authorization: bytes | None) -> tuple[Upstream, Grant]:
        """The caller is asked for first, so that a stranger does not learn which servers exist."""
        name = server_name(head.path)
        grant = self._settings.access.admit(authorization, name, aggregate=head.is_aggregate)
        upstream = self._routes.find(name)
        if upstream is None or grant is None:
            raise refusal(
                ProblemKind.UNKNOWN_SERVER,
                f"This gateway has no server called {name!r}.",
                hint="Compare the name with the manifest; a new server appears when its commit has been applied.",
            )
        # What the common address asks for is counted there, once.
        return upstream, replace(grant, limits=None) if head.is_aggregate else grant

    def _check_body_size(self, method: str, read: ClientHeaders) -> int | None:
        length = _content_length(read)
        if method != "POST":
            if length != 0:
                raise refusal(ProblemKind.AMBIGUOUS_REQUEST, f"A {method} request has no body.")
        elif length is not None and length > self._settings.max_body_bytes:
            raise body_too_large(self._settings)
        return length

    def _open(self, capsule: bytes, upstream: Upstream, grant: Grant, now_s: float) -> PinnedSession:
        try:
            session = self._sealer.open(capsule, server=upstream.server, principal=grant.principal, now_s=now_s)
            return self._successors.successor(capsule, session)
        except BadCapsule as error:
            raise SessionNotFound from error


def _caller(grant: Grant) -> tuple[tuple[bytes, bytes], ...]:
    """Who calls, for the adapter's limits and for what it binds to a caller; a digest, so that it tells nobody who."""
    if grant.principal == ANONYMOUS:
        return ()
    digest = hashlib.sha256(grant.principal.encode("utf-8")).hexdigest()[:32]
    return ((PRINCIPAL_HEADER.encode("ascii"), digest.encode("ascii")),)


def _named(head: ClientHead) -> tuple[tuple[bytes, bytes], ...]:
    return ((NAME_HEADER.encode("ascii"), head.session_name),) if head.session_name else ()


def is_server_path(path: bytes) -> bool:
    """Whether a path on the wire has the form of a server's, so that the data path answers it."""
    return (
        path.startswith(PATH_PREFIX)
        and path.endswith(PATH_SUFFIX)
        and len(path) > len(PATH_PREFIX) + len(PATH_SUFFIX)
        and b"/" not in path[len(PATH_PREFIX) : -len(PATH_SUFFIX)]
    )


def server_name(path: bytes) -> str:
    """The server's name in `/servers/{name}/mcp`, compared byte by byte: no second spelling reaches a server.

    Raises:
        Refused: the path is another one (404).
    """
    name = path[len(PATH_PREFIX) : -len(PATH_SUFFIX)]
    if not is_server_path(path) or not name.replace(b"-", b"").isalnum():
        raise refusal(ProblemKind.NOT_FOUND, "MCP servers are at /servers/{name}/mcp, without a slash at the end.")
    return name.decode("ascii")


def body_too_large(settings: GatewaySettings) -> Refused:
    """The refusal of a body over the limit."""
    return refusal(ProblemKind.BODY_TOO_LARGE, f"A request may have {settings.max_body_bytes} bytes.")


def _check_method(method: str) -> None:
    if method not in _METHODS:
        allow = (b"allow", b"GET, POST, DELETE")
        raise Refused(
            Problem(kind=ProblemKind.METHOD_NOT_ALLOWED, detail="MCP uses POST, GET and DELETE.", headers=(allow,))
        )


def _content_length(read: ClientHeaders) -> int | None:
    """The announced size of the body: 0 where none is announced, None where it comes in chunks.

    Raises:
        Refused: it is announced in two ways or not as a number (400).
    """
    length, coding = read.single.get(b"content-length"), read.single.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or coding.lower() != b"chunked":
            raise refusal(ProblemKind.AMBIGUOUS_REQUEST, "The request says in two ways where its body ends.")
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 18:
        raise refusal(ProblemKind.AMBIGUOUS_REQUEST, "The Content-Length header is no number of bytes.")
    return int(length)
