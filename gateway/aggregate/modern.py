"""POST of stateless clients (2026-07-28): what a request becomes, and where it goes.

Headers are judged against the body as a server would, in the names that the client uses; then the request goes to one
server in its own names, with `Mcp-Name` to match and everything else as it was: `Mcp-Param-*` repeat arguments, which
are not changed. The state of a call that waits for its client's input comes back sealed with its server.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from gateway.aggregate.answering import Asked, modern_changes
from gateway.aggregate.core import CAPABILITIES, SERVER_INFO, Core, instructions, with_string
from gateway.aggregate.gathering import Inquiry, RefusedRequest
from gateway.aggregate.inner import JSON_HEADERS, Ask, Collected, collect, exchange
from gateway.aggregate.known import Asker
from gateway.aggregate.listening import ModernListen
from gateway.aggregate.parts import LISTINGS, UnreadablePart, decoded, read_answer
from gateway.aggregate.passing import Changes, Passage
from gateway.aggregate.routing import Destination, listing_of, not_found
from gateway.aggregate.seals import BadToken
from gateway.aggregate.speech import States
from gateway.aggregate.visit import Visit, error_status, fault
from gateway.headers import VERSION_HEADER
from gateway.protocol.errors import INVALID_PARAMS, METHOD_NOT_FOUND, Refusal
from gateway.protocol.headers import METHOD_HEADER, NAME_HEADER, check_modern_request, encode_header_value
from gateway.protocol.messages import Message, MessageKind, read_message
from gateway.protocol.revisions import (
    META_CLIENT_CAPABILITIES,
    META_SERVER_INFO,
    MODERN_REVISIONS,
    NEWEST_MODERN,
    PROGRESS_KEY,
)
from gateway.protocol.scan import json_object
from gateway.relay.wire import Headers

_DISCOVERY_TTL_MS = 60_000
_TASKS = "io.modelcontextprotocol/tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request of a client."""

    visit: Visit
    message: Message
    pinned: str | None = None
    """The server whose call this goes on with."""

    @property
    def raw_id(self) -> str:
        """The request's id, as JSON text."""
        return self.message.raw_id or "null"

    @property
    def asker(self) -> Asker:
        """Who asks, as servers may tell them apart."""
        return Asker.of(self.visit.view, self.message.meta.get(META_CLIENT_CAPABILITIES))


class ModernSide:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._handlers: dict[str, Callable[[Turn], Awaitable[None]]] = {
            "server/discover": _discover,
            "tools/call": self._call,
            "prompts/get": self._call,
            "resources/read": self._read,
            "completion/complete": self._complete,
            "subscriptions/listen": self._listen,
            **dict.fromkeys(LISTINGS, self._list),
        }

    async def post(self, visit: Visit, message: Message) -> None:
        """Carry out one message. Raises RefusedRequest."""
        if message.kind is not MessageKind.REQUEST:
            await visit.accepted()
            return
        refusal = check_modern_request(message, visit.headers)
        if refusal is not None:
            raise RefusedRequest(refusal)
        handler = self._handlers.get(message.method)
        if handler is None:
            text = f"Method not found: {message.method}"
            raise RefusedRequest(Refusal(code=METHOD_NOT_FOUND, message=text))
        await handler(self._unwrapped(Turn(visit=visit, message=_without_tasks(message))))

    def _unwrapped(self, turn: Turn) -> Turn:
        """The request with the state that its server gave. Raises RefusedRequest where it is none of ours."""
        state = turn.message.params.get("requestState")
        if state is None:
            return turn
        try:
            server, own = self._states(turn).unwrapped(state if isinstance(state, str) else "")
        except BadToken as error:
            data = {"reason": "invalid_request_state"}
            refusal = Refusal(code=INVALID_PARAMS, message="Invalid or expired requestState", data=data)
            raise RefusedRequest(refusal) from error
        return replace(turn, message=read_message(with_string(turn.message, ("requestState",), own)), pinned=server)

    def _states(self, turn: Turn) -> States:
        return States(seals=self._core.seals, principal=turn.visit.view.principal)

    async def _list(self, turn: Turn) -> None:
        listing = LISTINGS[turn.message.method]
        cursor = turn.message.params.get("cursor")
        await turn.visit.answer(turn.raw_id, await self._core.gatherer.answer(self._inquiry(turn), listing, cursor))

    async def _call(self, turn: Turn) -> None:
        listing = listing_of(turn.message.method)
        place = await self._core.router.by_name(self._inquiry(turn), listing, turn.message.params.get("name"))
        await self._pass(turn, place, ("name",))

    async def _read(self, turn: Turn) -> None:
        places = await self._places(turn, turn.message.params.get("uri"))
        if len(places) == 1:
            await self._pass(turn, places[0], ("uri",))
        else:
            await self._try(turn, places, ("uri",))

    async def _complete(self, turn: Turn) -> None:
        ref = json_object(turn.message.params.get("ref"))
        if ref.get("type") == "ref/prompt":
            listing = listing_of("prompts/get")
            place = await self._core.router.by_name(self._inquiry(turn), listing, ref.get("name"))
            await self._pass(turn, place, ("ref", "name"))
        else:
            await self._try(turn, await self._places(turn, ref.get("uri")), ("ref", "uri"))

    async def _listen(self, turn: Turn) -> None:
        inquiry = self._inquiry(turn)
        await ModernListen(self._core, inquiry, turn.message).run()

    async def _places(self, turn: Turn, uri: object) -> tuple[Destination, ...]:
        if not isinstance(uri, str):
            raise RefusedRequest(Refusal(code=INVALID_PARAMS, message="params.uri must be a string"))
        places = await self._core.router.by_uri(self._inquiry(turn), uri)
        if turn.pinned is None:
            return places
        return tuple(place for place in places if place.server == turn.pinned) or places[:1]

    def _inquiry(self, turn: Turn) -> Inquiry:
        async def ask(server: str, method: str, cursor: str | None) -> Collected:
            meta = {name: value for name, value in turn.message.meta.items() if name != PROGRESS_KEY}
            params = {"_meta": meta} if cursor is None else {"cursor": cursor, "_meta": meta}
            body = {"jsonrpc": "2.0", "id": "catwalk-list", "method": method, "params": params}
            text = json.dumps(body, separators=(",", ":"))
            return await self._ask(turn, server, text, _headers(turn, method))

        return Inquiry(visit=turn.visit, asker=turn.asker, ask=ask, key=turn.visit.view.principal)

    async def _ask(self, turn: Turn, server: str, body: str, headers: Headers) -> Collected:
        """The answer of one server, as a whole; what comes beside it goes to the client."""
        ask = Ask(server=server, headers=headers, body=body.encode("utf-8"))
        return await collect(self._core.servers, ask, turn.visit.outlet.say)

    async def _try(self, turn: Turn, places: tuple[Destination, ...], path: tuple[str, ...]) -> None:
        """Ask one after the other until one has it."""
        refused: str | None = None
        for place in places:
            headers = turn.visit.passed_headers(_name_header(turn, place))
            answer = await self._ask(turn, place.server, with_string(turn.message, path, place.name), headers)
            try:
                text = decoded(answer.body)
                response = read_answer(text)
            except UnreadablePart as error:
                refused = refused or fault(place.server, str(error)).body(turn.message.raw_id).decode()
                continue
            if "result" in response.members:
                await turn.visit.outlet.finish(self._changes(turn, place.server).message(text))
                return
            refused = text
        if len(places) == 1 and refused is not None:
            await turn.visit.outlet.finish(refused, status=error_status(refused, is_modern=True))
            return
        raise RefusedRequest(not_found(turn.message.params.get("uri"), is_modern=True))

    async def _pass(self, turn: Turn, place: Destination, path: tuple[str, ...]) -> None:
        """Carry out a request at one server, and pass its answer on as it comes."""
        if turn.pinned not in {None, place.server}:
            data = {"reason": "invalid_request_state"}
            raise RefusedRequest(Refusal(code=INVALID_PARAMS, message="Invalid or expired requestState", data=data))
        server = place.server
        body = with_string(turn.message, path, place.name).encode("utf-8")
        headers = turn.visit.passed_headers(_name_header(turn, place))
        turn.visit.told.by_server = True
        self._core.attention.used(turn.visit.view.principal, server)
        passage = Passage(turn.visit.client, self._changes(turn, server), is_begun=turn.visit.outlet.is_stream)
        ask = Ask(server=server, headers=headers, body=body)
        await exchange(self._core.servers, ask, passage.send, turn.visit.client.left)

    def _changes(self, turn: Turn, server: str) -> Changes:
        asked = Asked(
            view=turn.visit.view,
            server=server,
            method=turn.message.method,
            uri=turn.message.params.get("uri"),
            asker=lambda: turn.asker,
        )
        return modern_changes(self._core, asked)


async def _discover(turn: Turn) -> None:
    view = turn.visit.view
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN_REVISIONS),
        "capabilities": CAPABILITIES,
        "ttlMs": _DISCOVERY_TTL_MS,
        "cacheScope": "private",
        "_meta": {META_SERVER_INFO: SERVER_INFO},
    }
    told = instructions(view.servers, is_bare=view.names.is_bare)
    if told:
        result["instructions"] = told
    await turn.visit.answer(turn.raw_id, json.dumps(result))


def _headers(turn: Turn, method: str) -> Headers:
    """The headers of a request that the aggregate itself makes in the client's name."""
    version = (VERSION_HEADER, NEWEST_MODERN.encode("ascii"))
    return [*turn.visit.identity, *JSON_HEADERS, version, (METHOD_HEADER.encode("ascii"), method.encode("ascii"))]


def _name_header(turn: Turn, place: Destination) -> str | None:
    """What `Mcp-Name` says to the server, where the client sent one."""
    return None if turn.visit.header(NAME_HEADER) is None else encode_header_value(place.name)


def _without_tasks(message: Message) -> Message:
    """A client is not offered tasks here, so servers are not told that it could take one."""
    if _TASKS not in message.text:
        return message
    meta = dict(message.meta)
    capabilities = json_object(meta.get(META_CLIENT_CAPABILITIES))
    extensions = _without(json_object(capabilities.get("extensions")), _TASKS)
    meta[META_CLIENT_CAPABILITIES] = {**capabilities, "extensions": extensions}
    params = json.dumps({**message.params, "_meta": meta})
    return read_message(message.with_params(params))


def _without(values: Mapping[str, object], name: str) -> dict[str, object]:
    return {each: value for each, value in values.items() if each != name}
