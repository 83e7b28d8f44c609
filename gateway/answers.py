"""From the head of an upstream's response to the head that the client gets: values, without any I/O."""

from dataclasses import dataclass

from gateway.decision import Forward
from gateway.headers import MACHINE_HEADER, SESSION_HEADER, client_headers, is_encoded
from gateway.problems import Problem, ProblemKind, SessionNotFound
from gateway.relay import (
    ExchangeAborted,
    RelayFault,
    ResponseHead,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.remote import CredentialsRefused
from gateway.sessions import BadSession, CapsuleSealer, PinnedSession

_NO_MACHINE_STATUSES = frozenset({502, 503})
_CREDENTIALS_HINT = "Whoever runs the fleet has to correct the server's `remote` credentials in the manifest."
_RETRY_AFTER_BUSY = (b"retry-after", b"1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientResponseHead:
    """What the client's response begins with."""

    status: int
    headers: list[tuple[bytes, bytes]]

    def for_whole_body(self, size: int) -> list[tuple[bytes, bytes]]:
        """The headers for a body of known size, with its length where the upstream did not announce it."""
        if self.status == 204 or any(name == b"content-length" for name, _ in self.headers):
            return self.headers
        return [*self.headers, (b"content-length", b"%d" % size)]

    def for_changed_body(self, size: int) -> list[tuple[bytes, bytes]]:
        """The headers for a body that is no longer the upstream's."""
        kept = [header for header in self.headers if header[0] != b"content-length"]
        return kept if self.status == 204 else [*kept, (b"content-length", b"%d" % size)]


def answer_head(forward: Forward, head: ResponseHead, sealer: CapsuleSealer) -> ClientResponseHead:
    """Translate a response head.

    Raises:
        SessionNotFound: the machine that holds the session is gone: the proxy in front of it answered, not the machine.
        UpstreamBroken: the answer is compressed although nobody asked, or names a session that no header can carry.
    """
    if forward.is_pinned and head.status in _NO_MACHINE_STATUSES and head.value(MACHINE_HEADER) is None:
        raise SessionNotFound
    if is_encoded(head.headers):
        raise UpstreamBroken("the upstream compressed its answer although it was told not to")
    headers = client_headers(head.headers)
    session_id = head.value(SESSION_HEADER)
    if session_id is not None and forward.has_sessions:
        headers.append((SESSION_HEADER, _capsule(forward, head, session_id, sealer)))
    return ClientResponseHead(status=head.status, headers=headers)


def _capsule(forward: Forward, head: ResponseHead, session_id: bytes, sealer: CapsuleSealer) -> bytes:
    # A server that somebody else runs has no machine of ours, whatever it says.
    machine = head.value(MACHINE_HEADER) or b"" if forward.upstream.remote is None else b""
    known = forward.session
    if forward.capsule is not None and known is not None and known.session_id == session_id:
        return forward.capsule
    try:
        session = PinnedSession(
            server=forward.upstream.server,
            machine=machine.decode("ascii", "replace"),
            session_id=session_id,
            principal=forward.grant.principal,
            expires_at_s=forward.session_ends_at_s,
            opening=forward.opening,
        )
        return sealer.seal(session).encode("ascii")
    except BadSession as error:
        raise UpstreamBroken(f"the upstream started a session that cannot be used: {error}") from error


def explain(fault: RelayFault, server: str) -> Problem:
    """The problem that a client is told when an exchange with a server failed."""
    detail = f"{server}: {fault.cause}"
    match fault:
        case CredentialsRefused():
            return Problem(kind=ProblemKind.CREDENTIALS_REFUSED, detail=detail, hint=_CREDENTIALS_HINT)
        case UpstreamUnreachable():
            return Problem(kind=ProblemKind.UPSTREAM_UNREACHABLE, detail=detail)
        case UpstreamTimeout():
            return Problem(kind=ProblemKind.UPSTREAM_TIMEOUT, detail=detail)
        case UpstreamBusy():
            return Problem(kind=ProblemKind.UPSTREAM_BUSY, detail=detail, headers=(_RETRY_AFTER_BUSY,))
        case ExchangeAborted():
            return Problem(kind=ProblemKind.NOT_READY, detail=detail, headers=(_RETRY_AFTER_BUSY,))
        case _:
            return Problem(kind=ProblemKind.UPSTREAM_BROKEN, detail=detail)
