"""What an answer of GitHub's REST API means, as an error that tells the reader what to do. No I/O.

Only the documented members of GitHub's error body are quoted, redacted and cut; a body of another shape (a page of a
proxy) is not quoted at all.
"""

from datetime import datetime
from typing import Final

import httpx
from pydantic import BaseModel, ValidationError

from reconciler.core.redact import Redactor
from reconciler.errors import CatwalkError, EnvironmentFault, RateLimited, Refused, Unavailable
from reconciler.report.limits import wait_asked_for

LONGEST_QUOTE: Final = 200
"""Characters of GitHub's own words in an error."""


class TokenRefused(EnvironmentFault):
    """The token is not valid, or not any more: whoever can make another one may try once more."""


class NotFound(EnvironmentFault):
    """There is no such thing, or the token may not see it: GitHub does not tell the two apart."""


class ToldAlready(EnvironmentFault):
    """A lack that was told of when it was found: whoever meets it again need not tell anybody."""


class _Fault(BaseModel):
    """GitHub's error body. `errors` is a list of objects or of texts, depending on the endpoint."""

    message: str = ""
    errors: list[dict[str, object] | str] = []


def judge(response: httpx.Response, content: bytes, redact: Redactor, *, now: datetime) -> CatwalkError:
    """The error that an unsuccessful answer means: a limit, an outage, a credential to mend, or a refusal for good."""
    said = redact(_said(content))[:LONGEST_QUOTE]
    wait_s = wait_asked_for(response.status_code, response.headers, said, now=now)
    if wait_s is not None:
        return _rate_limited(wait_s)
    return _refusal(response.status_code, said, response.headers.get("x-accepted-github-permissions", ""))


def no_answer(fault: httpx.HTTPError | TimeoutError) -> Unavailable:
    """Only the kind of fault is told: texts of the HTTP library may quote addresses with credentials."""
    return Unavailable(
        "github-unavailable", f"GitHub does not answer ({type(fault).__name__})", hint="it is tried again by itself"
    )


def _rate_limited(wait_s: float) -> RateLimited:
    limit = RateLimited("github-rate-limited", f"GitHub asks to wait for {wait_s:.0f} s")
    limit.retry_after_s = wait_s
    return limit


def _refusal(status: int, said: str, permissions: str) -> CatwalkError:
    words = f": {said}" if said else ""
    needed = f"; it needs {permissions}" if permissions else ""
    if status >= 500 or status in {408, 409}:
        return Unavailable("github-unavailable", f"GitHub answered {status}{words}", hint="it is tried again by itself")
    if status == 401:
        return TokenRefused(
            "github-token-invalid",
            f"GitHub does not accept the credentials{words}",
            hint="set GITHUB_TOKEN to a valid token, or check the App's id and key and the clock of this machine",
        )
    if status in {403, 404}:
        kind = NotFound if status == 404 else EnvironmentFault
        return kind(
            "github-not-permitted",
            f"GitHub answered {status}{words}",
            hint=f"the token must see the repository and may need `Commit statuses: write`{needed}",
        )
    return Refused("github-refused", f"GitHub answered {status}{words}")


def _said(content: bytes) -> str:
    """What GitHub says is wrong; nothing of a body that is not its usual error."""
    try:
        fault = _Fault.model_validate_json(content)
    except ValidationError:
        return ""
    details = (_detail(error) for error in fault.errors)
    return "; ".join(part for part in (fault.message, *details) if part)


def _detail(error: dict[str, object] | str) -> str:
    return error if isinstance(error, str) else str(error.get("message") or error.get("code", ""))


def unreadable(fault: ValidationError) -> Unavailable:
    """A proxy or a maintenance page answered in GitHub's place."""
    return Unavailable("github-unreadable", f"GitHub's answer has another shape than documented ({fault.title})")
