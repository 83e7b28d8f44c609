"""Everything that the gateway itself answers with an error, in one closed list and two shapes.

Errors outside MCP are problem documents (RFC 9457, `application/problem+json`) with `type`, `title`, `status`,
`detail`, `code` and, where there is one, `hint`. Faults of an upstream during an MCP call are JSON-RPC errors that
carry the same document as `data`, under the same HTTP status: the official Python client shows the text of a JSON-RPC
error to its user and hides every other body behind "Server returned an error response". `id` is null, because the
gateway does not read the body of a request; clients put the id of the POST in its place.

No document holds anything of the request but the server's name, which the caller sent.
"""

import json
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

from gateway.relay.wire import Headers

_TYPE_PREFIX = "tag:catwalk.dev,2026:problem/"

SESSION_NOT_FOUND_BODY = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Session not found"}}'
"""The body that the official SDK sends with status 404: the client then starts a new session."""

UPSTREAM_FAULT_CODE = -33010
"""Our JSON-RPC code for "the server could not be asked". Outside the range that JSON-RPC and MCP reserve."""
INVALID_REQUEST_CODE = -32600


class ProblemKind(Enum):
    """Every kind of error: its code, its HTTP status and its title."""

    NOT_FOUND = ("not-found", 404, "Nothing is at this address")
    UNKNOWN_SERVER = ("unknown-server", 404, "There is no server of this name")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The HTTP method is not allowed here")
    AMBIGUOUS_REQUEST = ("ambiguous-request", 400, "The request can be read in two ways")
    UNAUTHENTICATED = ("unauthenticated", 401, "The gateway does not know who is calling")
    INSUFFICIENT_SCOPE = ("insufficient-scope", 403, "The token is not good enough")
    HOST_NOT_ALLOWED = ("host-not-allowed", 421, "The Host header names a host that this gateway does not serve")
    ORIGIN_NOT_ALLOWED = ("origin-not-allowed", 403, "Web pages of this origin may not use the gateway")
    HEAD_TOO_LARGE = ("head-too-large", 431, "The request headers are too large")
    BODY_TOO_LARGE = ("body-too-large", 413, "The request body is too large")
    BODY_TIMEOUT = ("body-timeout", 408, "The request body did not arrive")
    RATE_LIMITED = ("rate-limited", 429, "The caller asks for more than it may")
    UPSTREAM_UNREACHABLE = ("upstream-unreachable", 502, "The server cannot be reached")
    UPSTREAM_BROKEN = ("upstream-broken", 502, "The server gave no usable answer")
    CREDENTIALS_REFUSED = ("credentials-refused", 502, "The server refuses the gateway's credentials")
    ISSUER_UNAVAILABLE = ("issuer-unavailable", 503, "The gateway cannot say who is calling")
    SERVER_DOWN = ("server-down", 503, "The server does not run")
    UPSTREAM_BUSY = ("upstream-busy", 503, "The server has too many calls open")
    UPSTREAM_TIMEOUT = ("upstream-timeout", 504, "The server did not answer in time")
    NOT_READY = ("not-ready", 503, "Catwalk is not ready")
    INTERNAL = ("internal", 500, "The gateway has a fault")

    def __init__(self, code: str, status: int, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete small response of the gateway itself."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error: its kind, what happened this time, and what to do about it."""

    kind: ProblemKind
    detail: str
    hint: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further response headers, such as `allow` and `retry-after`."""

    def document(self) -> dict[str, object]:
        """The members of the problem document."""
        return problem_members(
            code=self.kind.code, status=self.kind.status, title=self.kind.title, detail=self.detail, hint=self.hint
        )

    def answer(self) -> Answer:
        """The problem as `application/problem+json`."""
        return _answer(self, b"application/problem+json", self.document())

    def rpc_answer(self) -> Answer:
        """The problem as a JSON-RPC error that an MCP client shows to its user."""
        code = UPSTREAM_FAULT_CODE if self.kind.status >= 500 else INVALID_REQUEST_CODE
        error = {"code": code, "message": f"{self.kind.title}: {self.detail}", "data": self.document()}
        return _answer(self, b"application/json", {"jsonrpc": "2.0", "id": None, "error": error})


class Refused(Exception):
    """A request that is not carried out; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class SessionNotFound(Exception):
    """The session of the request is unknown, not the caller's, or lost: the client has to start a new one."""


def refusal(kind: ProblemKind, detail: str, *, hint: str = "") -> Refused:
    """Short for raising a problem without further headers."""
    return Refused(Problem(kind=kind, detail=detail, hint=hint))


def internal_fault() -> Problem:
    """A fault of the gateway. The log gets its traceback; the client gets nothing of it."""
    return Problem(kind=ProblemKind.INTERNAL, detail="The request failed inside the gateway; its log says more.")


def session_not_found() -> Answer:
    """Status 404 in the shape that makes every MCP client start a new session (2025-11-25, Session Management)."""
    return Answer(
        status=404,
        headers=(
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(SESSION_NOT_FOUND_BODY)),
            (b"cache-control", b"no-store"),
        ),
        body=SESSION_NOT_FOUND_BODY,
    )


def problem_members(*, code: str, status: int, title: str, detail: str, hint: str = "") -> dict[str, object]:
    """The one shape of a problem document."""
    members: dict[str, object] = {
        "type": _TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        members["hint"] = hint
    return members


def code_of_status(status: int) -> str:
    """A code for an HTTP status that has no kind of its own: 422 is `unprocessable-entity`."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-").replace("'", "")


def _answer(problem: Problem, content_type: bytes, document: dict[str, object]) -> Answer:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    headers = (
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *problem.headers,
    )
    return Answer(status=problem.kind.status, headers=headers, body=body)
