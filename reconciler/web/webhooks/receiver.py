"""`POST /webhooks/github`: checks who sent it, keeps it, wakes the loop, answers.

The order matters. Who knocks too often is turned away before anything is read. The signature is checked over the raw
bytes before they are parsed. The delivery is durable before the loop is woken, and known deliveries are recognised only
by what is durable, so that one that was lost in a crash is taken in when GitHub sends it again under the same id. The
answer says 202 and does not wait for the pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

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
from reconciler.web.webhooks.events import Followed, PayloadError, meaning_of, payload_of
from reconciler.web.webhooks.flood import Bucket
from reconciler.web.webhooks.signature import HEADER, is_signed

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.webhooks")

MOST_BYTES: Final = 5 * 2**20
"""GitHub sends up to 25 MB; what Catwalk acts on is some 30 KB. A push that is larger is found by the next poll."""
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


@dataclass(frozen=True, slots=True)
class _Desk:
    hooks: Hooks
    bucket: Bucket


AskedDesk = NamedDependency[SkipValidation[_Desk]]


def webhook_router(hooks: Hooks) -> Router:
    """The route, with its own limits. It is mounted without sign-in guards: the signature is its guard."""
    desk = _Desk(hooks, Bucket(hooks.clock))
    return Router(
        path="/webhooks",
        route_handlers=[receive],
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False)},
        request_max_body_size=MOST_BYTES,
        exception_handlers={CatwalkError: answer_problem, InternalFault: answer_problem},
    )


@post("/github", status_code=HTTPStatus.ACCEPTED, include_in_schema=False)
async def receive(request: Request[object, object, State], desk: AskedDesk) -> Response[dict[str, str]]:
    if not desk.bucket.take():
        return _answer(HTTPStatus.TOO_MANY_REQUESTS, "too many webhooks at once", retry_after_s=10)
    body = await request.body()
    if not is_signed(body, _header(request, HEADER), desk.hooks.secret):
        return _answer(HTTPStatus.UNAUTHORIZED, "the signature does not belong to this body and our secret")
    event = _header(request, "x-github-event").decode("latin-1")
    if event == "ping":
        return _answer(HTTPStatus.OK, "pong")
    try:
        payload = payload_of(body, request.headers.get("content-type", ""))
    except PayloadError:
        return _answer(HTTPStatus.BAD_REQUEST, "the body is no JSON object")
    return await _take_in(desk.hooks, _header(request, "x-github-delivery").decode("latin-1"), event, payload)


async def _take_in(hooks: Hooks, delivery_id: str, event: str, payload: dict[str, object]) -> Response[dict[str, str]]:
    if not delivery_id or len(delivery_id) > LONGEST_ID or not set(delivery_id) <= _ID_CHARACTERS:
        return _answer(HTTPStatus.BAD_REQUEST, "X-GitHub-Delivery is missing or no delivery id")
    meaning = meaning_of(event, payload, hooks.followed)
    if meaning.trigger is None:
        return _answer(HTTPStatus.ACCEPTED, meaning.reason)
    delivery = Delivery(id=delivery_id, trigger=meaning.trigger, received_at=hooks.clock.now())
    if not await hooks.inbox.take_in(delivery):
        return _answer(HTTPStatus.ACCEPTED, "it was taken in before")
    hooks.wake(meaning.trigger)
    log.info("webhook", delivery=delivery_id, trigger=meaning.trigger, reason=meaning.reason)
    return _answer(HTTPStatus.ACCEPTED, meaning.reason)


def _header(request: Request[object, object, State], name: str) -> bytes:
    return next((value for key, value in request.scope["headers"] if key == name.encode("ascii")), b"")


def _answer(status: HTTPStatus, reason: str, *, retry_after_s: int = 0) -> Response[dict[str, str]]:
    headers = {"cache-control": "no-store"}
    if retry_after_s:
        headers["retry-after"] = str(retry_after_s)
    return Response({"reason": reason}, status_code=status, headers=headers)
