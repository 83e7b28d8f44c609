"""`POST /webhooks/github`: checks who sent it, keeps it, wakes the loop, answers.

The order matters. What is too large, unsigned or more than there is room for is turned away before anything is read.
The signature is checked over the raw bytes before they are parsed. The delivery is durable before the loop is woken,
and known deliveries are recognised only by what is durable, so that one that was lost in a crash is taken in when
GitHub sends it again under the same id. The answer says 202 and waits for no pass and no plan.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio
import structlog
from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from reconciler.core.secret import SecretValue
from reconciler.core.types import Trigger
from reconciler.errors import CatwalkError, InternalFault
from reconciler.loop.ports import Clock, Delivery, Inbox
from reconciler.web.answers import answer_problem
from reconciler.web.webhooks.events import Followed, Meaning, PayloadError, meaning_of, payload_of
from reconciler.web.webhooks.flood import BodyBudget, TooMuchAtOnce
from reconciler.web.webhooks.intake import Intake
from reconciler.web.webhooks.signature import HEADER, is_signature, is_signed

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.webhooks")

MOST_BYTES: Final = 5 * 2**20
"""GitHub sends up to 25 MB; what Catwalk acts on is some 30 KB. A push that is larger is found by the next poll."""
READ_TIMEOUT_S: Final = 10.0
"""GitHub itself gives up after that (docs, "Best practices for using webhooks")."""
LONGEST_ID: Final = 64
_ID_CHARACTERS: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the receiver works with."""

    secret: SecretValue
    followed: Followed
    inbox: Inbox
    wake: Callable[[Trigger], None]
    clock: Clock
    proposed: Callable[[], None] = lambda: None
    """Called when a proposed commit waits to be planned."""
    changed: Callable[[], None] = lambda: None
    """Called when what the App may do, or where it is installed, has changed."""


@dataclass(frozen=True, slots=True)
class _Desk:
    hooks: Hooks
    intake: Intake
    budget: BodyBudget


AskedDesk = NamedDependency[SkipValidation[_Desk]]


def webhook_router(hooks: Hooks) -> Router:
    """The route, with its own limits. It is mounted without sign-in guards: the signature is its guard."""
    desk = _Desk(hooks, Intake(hooks.inbox), BodyBudget())
    return Router(
        path="/webhooks",
        route_handlers=[receive],
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False)},
        request_max_body_size=MOST_BYTES,
        exception_handlers={CatwalkError: answer_problem, InternalFault: answer_problem},
    )


@post("/github", status_code=HTTPStatus.ACCEPTED, include_in_schema=False)
async def receive(request: Request[object, object, State], desk: AskedDesk) -> Response[dict[str, str]]:
    signature = _header(request, HEADER)
    if not is_signature(signature):
        return _unsigned()
    try:
        with desk.budget.room_for(_size(request)):
            with anyio.fail_after(READ_TIMEOUT_S):
                body = await request.body()
            if not is_signed(body, signature, desk.hooks.secret):
                return _unsigned()
            return await _signed(request, desk, body)
    except TooMuchAtOnce:
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many webhooks at once", retry_after_s=10)
    except TimeoutError:
        return _answer(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time")


async def _signed(request: Request[object, object, State], desk: _Desk, body: bytes) -> Response[dict[str, str]]:
    event = _header(request, "x-github-event").decode("latin-1")
    if event == "ping":
        return _answer(HTTPStatus.OK, "pong")
    try:
        payload = payload_of(body, request.headers.get("content-type", ""))
    except PayloadError:
        return _answer(HTTPStatus.BAD_REQUEST, "the body is no JSON object")
    delivery_id = _header(request, "x-github-delivery").decode("latin-1")
    if not delivery_id or len(delivery_id) > LONGEST_ID or not set(delivery_id) <= _ID_CHARACTERS:
        return _answer(HTTPStatus.BAD_REQUEST, "X-GitHub-Delivery is missing or no delivery id")
    meaning = meaning_of(event, payload, desk.hooks.followed)
    if meaning.nothing:
        return _answer(HTTPStatus.ACCEPTED, meaning.reason)
    return await _take_in(desk, delivery_id, event, meaning)


async def _take_in(desk: _Desk, delivery_id: str, event: str, meaning: Meaning) -> Response[dict[str, str]]:
    hooks = desk.hooks
    delivery = Delivery(
        id=delivery_id,
        trigger=meaning.trigger,
        received_at=hooks.clock.now(),
        proposal=meaning.proposal,
        replanned=meaning.replanned,
    )
    if not await desk.intake.take_in(delivery):
        return _answer(HTTPStatus.ACCEPTED, "it was taken in before")
    if event.startswith("installation"):
        hooks.changed()
    if meaning.trigger is not None:
        hooks.wake(meaning.trigger)
    if meaning.proposal is not None or meaning.replanned:
        hooks.proposed()
    log.info("webhook", delivery=delivery_id, trigger=meaning.trigger, reason=meaning.reason)
    return _answer(HTTPStatus.ACCEPTED, meaning.reason)


def _size(request: Request[object, object, State]) -> int:
    """Bytes of the body; the most that is read where it is not told."""
    told = request.headers.get("content-length", "")
    return min(int(told), MOST_BYTES) if told.isascii() and told.isdigit() else MOST_BYTES


def _unsigned() -> Response[dict[str, str]]:
    return _answer(HTTPStatus.UNAUTHORIZED, "the signature does not belong to this body and our secret")


def _header(request: Request[object, object, State], name: str) -> bytes:
    return next((value for key, value in request.scope["headers"] if key == name.encode("ascii")), b"")


def _answer(status: HTTPStatus, reason: str, *, retry_after_s: int = 0) -> Response[dict[str, str]]:
    headers = {"cache-control": "no-store"}
    if retry_after_s:
        headers["retry-after"] = str(retry_after_s)
    return Response({"reason": reason}, status_code=status, headers=headers)
