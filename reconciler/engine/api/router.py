"""From bytes to a handler and back: routing, then the token, then the body, then the answer with its request id."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import structlog

from reconciler.engine import identifiers, refusals
from reconciler.engine.api.exchange import NOBODY, Answer, ApiRequest, Grant, Route
from reconciler.engine.api.grants import Grants
from reconciler.engine.api.lookup import Desk
from reconciler.engine.api.rates import RateGate
from reconciler.engine.clock import NANOSECONDS
from reconciler.engine.refusals import Refusal

log = structlog.get_logger()

BODY_LIMIT = 8 * 1024 * 1024
JSON = "application/json; charset=utf-8"
NOT_FOUND = b"404 page not found\n"
"""Go's own answer for a route it does not know."""
REALM = 'Basic realm="api.machines.dev"'
"""What the live API says about its tokens, misleading as it is."""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class MachinesApi:
    """The ASGI application."""

    def __init__(self, routes: Iterable[Route], desk: Desk) -> None:
        self._grants = Grants(desk.settings, desk.inventory, desk.clock)
        self._clock = desk.clock
        self._settings = desk.settings
        self._rates = RateGate(desk.settings.rate_limits, desk.clock)
        self._by_shape: dict[tuple[str, int], list[tuple[Route, tuple[str, ...]]]] = {}
        for route in routes:
            parts = tuple(route.template.split("/"))
            self._by_shape.setdefault((route.method, len(parts)), []).append((route, parts))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        matched = self._match(scope["method"], scope["path"])
        if matched is None or not _has(scope["query_string"], matched[0].needs_query):
            await self._send(send, 404, NOT_FOUND, {"content-type": "text/plain; charset=utf-8"})
            return
        route, variables = matched
        answer = await self._answer(route, variables, scope, receive)
        headers = {**answer.headers, **({} if answer.body is None else {"content-type": JSON})}
        if answer.status == 401:
            headers["www-authenticate"] = REALM
        await self._send(send, answer.status, answer.encoded(), headers)

    def _match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        parts = tuple(path.split("/"))
        for route, template in self._by_shape.get((method, len(parts)), ()):
            pairs = list(zip(template, parts, strict=True))
            if all(part and (name == part or name.startswith("{")) for name, part in pairs[1:]):
                return route, {name[1:-1]: part for name, part in pairs if name.startswith("{")}
        return None

    async def _answer(self, route: Route, variables: Mapping[str, str], scope: Message, receive: Receive) -> Answer:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            grant = self._grant(route, headers)
            if route.changes and not self._settings.boot:
                raise refusals.read_only()
            request = ApiRequest(
                method=route.method,
                path=variables,
                query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
                headers=headers,
                body=await _body(receive),
                grant=grant,
            )
            self._grants.require(grant, route, variables.get("app", ""))
            self._rates.admit(route, request)
            return await route.handler(request)
        except Refusal as refusal:
            return Answer(status=refusal.status, body=refusal.rendered(route.service))
        except Exception:
            # The edge of a request: a fault of the engine is an answer, and the engine goes on.
            log.exception("request-failed", route=route.template, method=route.method)
            return Answer(status=500, body={route.service.value: "unknown: internal error of the engine"})

    def _grant(self, route: Route, headers: Mapping[str, str]) -> Grant:
        if route.public:
            return NOBODY
        grant = self._grants.of(headers.get("authorization", ""))
        if grant is None:
            raise refusals.unauthorized(route.service)
        return grant

    async def _send(self, send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        now_ns = self._clock.now_ns()
        fields = {
            **headers,
            "content-length": str(len(body)),
            "fly-request-id": identifiers.request_id(now_ns, self._settings.region),
            "date": formatdate(now_ns / NANOSECONDS, usegmt=True),
            "server": "Fly/catwalk-engine",
        }
        if status == 204:
            del fields["content-length"]
        raw = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def _has(query: bytes, name: str) -> bool:
    return not name or any(key == name for key, _ in parse_qsl(query.decode("latin-1")))


async def _body(receive: Receive) -> bytes:
    chunks = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "unexpected EOF")
        chunks += message.get("body", b"")
        if len(chunks) > BODY_LIMIT:
            raise Refusal(413, f"request body larger than {BODY_LIMIT} bytes")
        if not message.get("more_body"):
            return bytes(chunks)
