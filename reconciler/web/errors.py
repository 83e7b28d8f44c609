"""How this room says no: a page for people, `application/problem+json` (RFC 9457) for programs."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

from litestar.exceptions import HTTPException

from reconciler.core.problems import Remedy
from reconciler.errors import CatwalkError, Unavailable

LONGEST_QUOTED: Final = 80
"""Characters of a name from a URL that an error repeats."""


class NotKnown(CatwalkError):
    """A page was asked for of something that this fleet does not have."""

    remedy = Remedy.FIX_SOURCE

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        super().__init__(
            f"unknown-{kind}",
            f"this fleet has no {kind} {name[:LONGEST_QUOTED]!r}",
            hint="the fleet page lists what there is",
        )


class NotAllowed(CatwalkError):
    """The visitor is let in and may not see this."""

    remedy = Remedy.FIX_ENVIRONMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An error as a visitor sees it."""

    status: HTTPStatus
    code: str
    message: str
    hint: str = ""


def answer_to(error: HTTPException | CatwalkError) -> Answer:
    """The status and the words for an error."""
    if isinstance(error, CatwalkError):
        return _known_failure(error)
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        return Answer(status=status, code="unknown-page", message="there is nothing at this address")
    return Answer(status=status, code=status.name.lower().replace("_", "-"), message=_detail(error))


def _detail(error: HTTPException) -> str:
    """Litestar names the method and the whole URL in front of what was wrong; the rest says what a caller can mend."""
    extra = cast("object", error.extra)
    faults = cast("list[object]", extra) if isinstance(extra, list) else []
    read = [cast("dict[str, object]", fault) for fault in faults if isinstance(fault, dict)]
    told = [f"{fault.get('key', '')}: {fault.get('message', '')}" for fault in read]
    return "; ".join(told) or HTTPStatus(error.status_code).phrase


def _known_failure(error: CatwalkError) -> Answer:
    problem = error.problem
    return Answer(status=_status(error), code=problem.code, message=problem.message, hint=problem.hint)


def _status(error: CatwalkError) -> HTTPStatus:
    match error:
        case NotKnown():
            return HTTPStatus.NOT_FOUND
        case NotAllowed():
            return HTTPStatus.FORBIDDEN
        case Unavailable():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR
