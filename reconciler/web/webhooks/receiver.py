"""`POST /webhooks/github`: checks who sent it, keeps it, wakes the loop, answers.

The order matters. What is too large, unsigned or more than there is room for is turned away before anything is read.
The signature is checked over the raw bytes before they are parsed. The delivery is durable before the loop is woken,
and known deliveries are recognised only by what is durable, so that one that was lost in a crash is taken in when
GitHub sends it again under the same id. The answer says 202 and waits for no pass and no plan.

It is an ASGI application of its own below Litestar's route: a thousand forged deliveries a second must cost what their
bytes cost, and no more.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

import structlog
from litestar import Router, asgi
from litestar.types import Receive, Scope, Send

from reconciler.core.secret import SecretValue
from reconciler.core.types import Trigger
from reconciler.errors import CatwalkError, InternalFault, Unavailable
from reconciler.loop.ports import Clock, Delivery, Inbox
from reconciler.web.answers import answer_problem
from reconciler.web.webhooks.events import Followed, Meaning, PayloadError, meaning_of, payload_of
from reconciler.web.webhooks.flood import BodyBudget, Gone, Room, TooLarge, TooMuchAtOnce, read_body
from reconciler.web.webhooks.intake import Intake
from reconciler.web.webhooks.signature import HEADER, is_signature, is_signed

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.webhooks")

MOST_BYTES: Final = 5 * 2**20
"""GitHub sends up to 25 MB; what Catwalk acts on is some 30 KB. A push that is larger is found by the next poll."""
READ_TIMEOUT_S: Final = 10.0
"""GitHub itself gives up after that (docs, "Best practices for using webhooks")."""
RETRY_AFTER_S: Final = 10
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
class _Answer:
    status: HTTPStatus
    reason: str
    retry_after_s: int = 0
    closes: bool = False
    """Whether the connection ends with it: nobody reads a body to its end that was refused before."""

    async def send(self, send: Send) -> None:
        body = json.dumps({"reason": self.reason}).encode("utf-8")
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode("ascii")),
            (b"cache-control", b"no-store"),
        ]
        if self.retry_after_s:
            headers.append((b"retry-after", str(self.retry_after_s).encode("ascii")))
        if self.closes:
            headers.append((b"connection", b"close"))
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", b"POST"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


_UNSIGNED: Final = "the signature does not belong to this body and our secret"


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where deliveries are looked at, one after the other and many at once."""

    hooks: Hooks
    intake: Intake
    budget: BodyBudget

    async def receive(self, method: str, headers: dict[bytes, bytes], receive: Receive) -> _Answer:
        signature = headers.get(HEADER, b"")
        if refusal := _refused_unread(method, headers, signature):
            return refusal
        try:
            with Room(self.budget) as room:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    body = await read_body(receive, room, MOST_BYTES)
                if not is_signed(body, signature, self.hooks.secret):
                    return _Answer(HTTPStatus.UNAUTHORIZED, _UNSIGNED)
                return await self._signed(headers, body)
        except (TooLarge, TooMuchAtOnce, TimeoutError, Unavailable) as reason:
            return _refused(reason)

    async def _signed(self, headers: dict[bytes, bytes], body: bytes) -> _Answer:
        event = headers.get(b"x-github-event", b"").decode("latin-1")
        if event == "ping":
            return _Answer(HTTPStatus.OK, "pong")
        try:
            payload = payload_of(body, headers.get(b"content-type", b"").decode("latin-1"))
        except PayloadError:
            return _Answer(HTTPStatus.BAD_REQUEST, "the body is no JSON object")
        delivery_id = headers.get(b"x-github-delivery", b"").decode("latin-1")
        if not delivery_id or len(delivery_id) > LONGEST_ID or not set(delivery_id) <= _ID_CHARACTERS:
            return _Answer(HTTPStatus.BAD_REQUEST, "X-GitHub-Delivery is missing or no delivery id")
        meaning = meaning_of(event, payload, self.hooks.followed)
        if meaning.nothing:
            return _Answer(HTTPStatus.ACCEPTED, meaning.reason)
        return await self._take_in(delivery_id, event, meaning)

    async def _take_in(self, delivery_id: str, event: str, meaning: Meaning) -> _Answer:
        hooks = self.hooks
        delivery = Delivery(
            id=delivery_id,
            trigger=meaning.trigger,
            received_at=hooks.clock.now(),
            proposal=meaning.proposal,
            replanned=meaning.replanned,
        )
        if not await self.intake.take_in(delivery):
            return _Answer(HTTPStatus.ACCEPTED, "it was taken in before")
        if event.startswith("installation"):
            hooks.changed()
        if meaning.trigger is not None:
            hooks.wake(meaning.trigger)
        if meaning.proposal is not None or meaning.replanned:
            hooks.proposed()
        log.info("webhook", delivery=delivery_id, trigger=meaning.trigger, reason=meaning.reason)
        return _Answer(HTTPStatus.ACCEPTED, meaning.reason)


def webhook_router(hooks: Hooks) -> Router:
    """The route, with its own limits. It is mounted without sign-in guards: the signature is its guard."""
    desk = _Desk(hooks, Intake(hooks.inbox), BodyBudget())

    @asgi("/github", copy_scope=False)
    async def receive_webhook(scope: Scope, receive: Receive, send: Send) -> None:
        method = cast("Mapping[str, object]", scope).get("method")
        if not isinstance(method, str):
            return
        try:
            answer = await desk.receive(method, dict(scope["headers"]), receive)
        except Gone:
            return
        await answer.send(send)

    return Router(
        path="/webhooks",
        route_handlers=[receive_webhook],
        exception_handlers={CatwalkError: answer_problem, InternalFault: answer_problem},
    )


def _refused_unread(method: str, headers: dict[bytes, bytes], signature: bytes) -> _Answer | None:
    """The answer to what cannot be a webhook, whatever its body is."""
    if method != "POST":
        return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, "webhooks are posted", closes=True)
    if not is_signature(signature):
        return _Answer(HTTPStatus.UNAUTHORIZED, _UNSIGNED, closes=True)
    told = headers.get(b"content-length", b"")
    if told.isdigit() and (len(told) > len(str(MOST_BYTES)) or int(told) > MOST_BYTES):
        return _too_large()
    return None


def _refused(reason: TooLarge | TooMuchAtOnce | TimeoutError | Unavailable) -> _Answer:
    if isinstance(reason, TooLarge):
        return _too_large()
    if isinstance(reason, TooMuchAtOnce):
        return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many webhooks at once", RETRY_AFTER_S, closes=True)
    if isinstance(reason, TimeoutError):
        return _Answer(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time", closes=True)
    return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, reason.problem.message, RETRY_AFTER_S)


def _too_large() -> _Answer:
    return _Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no webhook of this size is read", closes=True)
