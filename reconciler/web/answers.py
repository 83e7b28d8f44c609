"""Exception handlers: the same error as a page for people and as a problem document for programs."""

from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec

from reconciler.errors import CatwalkError
from reconciler.web.documents import ErrorDocument
from reconciler.web.errors import Answer, answer_to
from reconciler.web.rendering import answer_headers, page
from reconciler.web.site import Site

AnyRequest = Request[Any, Any, State]
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
ERRORS: Final = {
    status: ResponseSpec(ErrorDocument, description=description, media_type=PROBLEM_MEDIA_TYPE, generate_examples=False)
    for status, description in (
        (400, "A parameter is out of its range."),
        (403, "It is not for whoever asks."),
        (404, "The fleet has no such thing."),
        (503, "The history or the log service cannot be read now."),
    )
}
"""What every reader of the API may answer, for the OpenAPI document."""


def answer_problem(_request: AnyRequest, error: HTTPException | CatwalkError) -> Response[ErrorDocument]:
    """An error as RFC 9457 has it, with the stable code as an extension member."""
    answer = answer_to(error)
    body = ErrorDocument(
        type="about:blank",
        title=answer.status.phrase,
        status=answer.status.value,
        detail=answer.message,
        code=answer.code,
        hint=answer.hint,
    )
    headers = {**answer_headers(), **_headers_of(error)}
    return Response(body, status_code=answer.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers)


def _headers_of(error: HTTPException | CatwalkError) -> dict[str, str]:
    """What an error wants to say in headers: how to sign in, for example."""
    return dict(error.headers or {}) if isinstance(error, HTTPException) else {}


class PageAnswers:
    """Answers errors with a page where a browser asks, else with a problem document."""

    __slots__ = ("_site",)

    def __init__(self, site: Site) -> None:
        self._site = site

    def __call__(self, request: AnyRequest, error: HTTPException | CatwalkError) -> Response[Any]:
        if "text/html" in request.headers.get("accept", "") or "*/*" in request.headers.get("accept", "*/*"):
            answer = self._page(answer_to(error))
            answer.headers.update(_headers_of(error))
            return answer
        return answer_problem(request, error)

    def _page(self, answer: Answer) -> Response[str]:
        site = self._site
        return page(
            site.templates,
            "error.html",
            {"fleet_name": site.view.fleet, "answer": answer},
            now=site.clock.now(),
            status=answer.status,
        )
