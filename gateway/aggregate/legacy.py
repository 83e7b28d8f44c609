"""POST of clients with sessions (2025-03-26 to 2025-11-25): what a request becomes, and where it goes.

A call goes to its server in that server's session, and the answer passes as it comes. What a server asks meanwhile
reaches the client on the same stream under an id that names the server; the client's answer goes back by that id.
A disconnect is no cancellation; a notice of cancellation goes to the servers that carry out a request of that id.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from gateway.aggregate.answering import Asked, legacy_changes
from gateway.aggregate.core import CAPABILITIES, SERVER_INFO, Core, instructions, with_string
from gateway.aggregate.gathering import Inquiry, RefusedRequest, Unavailable
from gateway.aggregate.inner import Ask, Collected, collect, exchange
from gateway.aggregate.known import Asker
from gateway.aggregate.parts import LISTINGS, UnreadablePart, decoded, read_answer
from gateway.aggregate.passing import Passage
from gateway.aggregate.routing import Destination, listing_of, not_found
from gateway.aggregate.sessions import InnerSession, Session
from gateway.aggregate.speech import CANCELLED, asker, from_legacy_server, with_exposed_contents
from gateway.aggregate.visit import Visit, fault
from gateway.headers import SESSION_HEADER
from gateway.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Refusal
from gateway.protocol.headers import SESSION_HEADER as SESSION_NAME
from gateway.protocol.messages import Message, MessageKind
from gateway.protocol.revisions import LOG_LEVELS
from gateway.protocol.scan import json_object

_BROADCAST = frozenset({"notifications/roots/list_changed", "notifications/progress"})
_SESSION_GONE = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request of a client in its session."""

    visit: Visit
    session: Session
    message: Message

    @property
    def raw_id(self) -> str:
        """The request's id, as JSON text."""
        return self.message.raw_id or "null"


class LegacySide:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._handlers: dict[str, Callable[[Turn], Awaitable[None]]] = {
            "ping": _pong,
            "tools/call": self._call,
            "prompts/get": self._call,
            "resources/read": self._read,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._subscribe,
            "completion/complete": self._complete,
            "logging/setLevel": self._set_level,
            **dict.fromkeys(LISTINGS, self._list),
        }

    def session_of(self, visit: Visit) -> Session:
        """The session that a request names.

        Raises:
            RefusedRequest: it names none.
            SessionNotFound: it names one that is not this caller's, or over.
        """
        capsule = visit.header(SESSION_NAME)
        if capsule is None:
            text = "the header Mcp-Session-Id is missing"
            raise RefusedRequest(Refusal(code=INVALID_REQUEST, message=text, http_status=400))
        return self._core.sessions.find(visit.view, capsule)

    async def post(self, visit: Visit, message: Message) -> None:
        """Carry out one message. Raises RefusedRequest, SessionNotFound."""
        if message.method == "initialize" and message.kind is MessageKind.REQUEST:
            await self._initialize(visit, message)
            return
        session = self.session_of(visit)
        if message.kind is MessageKind.REQUEST:
            await self.carry_out(Turn(visit=visit, session=session, message=message))
        else:
            await self.take_in(visit, session, message)
            await visit.accepted()

    async def carry_out(self, turn: Turn) -> None:
        """One request to its answer. Raises RefusedRequest."""
        handler = self._handlers.get(turn.message.method)
        if handler is None:
            text = f"Method not found: {turn.message.method}"
            raise RefusedRequest(Refusal(code=METHOD_NOT_FOUND, message=text))
        await handler(turn)

    async def take_in(self, visit: Visit, session: Session, message: Message) -> None:
        """A notification or a response. Raises RefusedRequest where nobody asked."""
        tell = partial(self._core.sessions.tell, session, identity=visit.identity)
        if message.kind is MessageKind.RESPONSE:
            asked = asker(message, visit.view.servers)
            if asked is None:
                text = "nothing of that id was asked"
                raise RefusedRequest(Refusal(code=INVALID_REQUEST, message=text, http_status=400))
            await self.inner(visit, session, asked[0])
            await tell(asked[0], message=asked[1])
        elif message.method == CANCELLED:
            raw_id = json.dumps(message.params.get("requestId"))
            for server in list(session.running.get(raw_id, session.inner)):
                await tell(server, message=message.text)
        elif message.method in _BROADCAST:
            for server in list(session.inner):
                await tell(server, message=message.text)

    async def inner(self, visit: Visit, session: Session, server: str) -> InnerSession:
        """The session with a server, started where there is none. Raises Unavailable."""

        async def hear(_: str, text: str) -> None:
            await visit.outlet.say(from_legacy_server(server, text, self.expose(visit, session)))

        inner = await self._core.sessions.with_server(session, server, visit.identity, hear)
        self._core.attention.used(session.key, server)
        return inner

    def expose(self, visit: Visit, session: Session) -> Callable[[str, str], str]:
        """How URIs of servers are written for this client."""
        return self._core.known.ownership(Asker.of(visit.view, session.capabilities), visit.view).exposed

    async def _initialize(self, visit: Visit, message: Message) -> None:
        session, capsule = self._core.sessions.start(visit.view, message.params)
        result: dict[str, object] = {
            "protocolVersion": session.revision,
            "capabilities": CAPABILITIES,
            "serverInfo": SERVER_INFO,
        }
        told = instructions(visit.view.servers, is_bare=visit.view.names.is_bare)
        if told:
            result["instructions"] = told
        text = f'{{"jsonrpc":"2.0","id":{message.raw_id},"result":{json.dumps(result)}}}'
        await visit.outlet.finish(text, headers=((SESSION_HEADER, capsule.encode("ascii")),))

    async def _list(self, turn: Turn) -> None:
        listing = LISTINGS[turn.message.method]
        cursor = turn.message.params.get("cursor")
        await turn.visit.answer(turn.raw_id, await self._core.gatherer.answer(self._inquiry(turn), listing, cursor))

    async def _call(self, turn: Turn) -> None:
        listing = listing_of(turn.message.method)
        name = turn.message.params.get("name")
        place = await self._core.router.by_name(self._inquiry(turn), listing, name)
        await self._pass(turn, place.server, with_string(turn.message, ("name",), place.name))

    async def _read(self, turn: Turn) -> None:
        places = await self._places(turn, turn.message.params.get("uri"))
        if len(places) == 1:
            await self._pass(turn, places[0].server, with_string(turn.message, ("uri",), places[0].name))
        else:
            await self._try(turn, places, ("uri",))

    async def _subscribe(self, turn: Turn) -> None:
        places = await self._places(turn, turn.message.params.get("uri"))
        place = await self._try(turn, places, ("uri",))
        if place is None:
            return
        subscribed = turn.session.subscribed.setdefault(place.server, set())
        if turn.message.method == "resources/subscribe":
            subscribed.add(place.name)
            self._core.attention.pin(turn.session.key, place.server)
        else:
            subscribed.discard(place.name)

    async def _complete(self, turn: Turn) -> None:
        ref = json_object(turn.message.params.get("ref"))
        if ref.get("type") == "ref/prompt":
            listing = listing_of("prompts/get")
            place = await self._core.router.by_name(self._inquiry(turn), listing, ref.get("name"))
            await self._pass(turn, place.server, with_string(turn.message, ("ref", "name"), place.name))
        else:
            await self._try(turn, await self._places(turn, ref.get("uri")), ("ref", "uri"))

    async def _set_level(self, turn: Turn) -> None:
        level = turn.message.params.get("level")
        if level not in LOG_LEVELS:
            raise RefusedRequest(Refusal(code=INVALID_PARAMS, message="Invalid log level"))
        turn.session.level = json.dumps(level)
        body = turn.message.with_id('"catwalk-level"')
        async with asyncio.TaskGroup() as group:
            for server in list(turn.session.inner):
                group.create_task(self._ask_quietly(turn, server, body))
        await turn.visit.answer(turn.raw_id, "{}")

    async def _places(self, turn: Turn, uri: object) -> tuple[Destination, ...]:
        if not isinstance(uri, str):
            raise RefusedRequest(Refusal(code=INVALID_PARAMS, message="params.uri must be a string"))
        return await self._core.router.by_uri(self._inquiry(turn), uri)

    def _inquiry(self, turn: Turn) -> Inquiry:
        async def ask(server: str, method: str, cursor: str | None) -> Collected:
            params = {} if cursor is None else {"cursor": cursor}
            body = json.dumps({"jsonrpc": "2.0", "id": "catwalk-list", "method": method, "params": params})
            return await self._ask(turn, server, body)

        asker_ = Asker.of(turn.visit.view, turn.session.capabilities)
        return Inquiry(visit=turn.visit, asker=asker_, ask=ask, key=turn.session.key)

    async def _ask(self, turn: Turn, server: str, body: str) -> Collected:
        """The answer of one server, as a whole; what comes beside it goes to the client. Raises Unavailable."""

        async def hear(text: str) -> None:
            await turn.visit.outlet.say(from_legacy_server(server, text, self.expose(turn.visit, turn.session)))

        for _ in range(2):
            inner = await self.inner(turn.visit, turn.session, server)
            headers = [*turn.visit.identity, *inner.headers()]
            answer = await collect(self._core.servers, Ask(server=server, headers=headers, body=body.encode()), hear)
            if answer.status != _SESSION_GONE or inner.capsule is None:
                return answer
            turn.session.forget(server, inner)
        raise Unavailable("it keeps no session")

    async def _ask_quietly(self, turn: Turn, server: str, body: str) -> None:
        """A server that cannot do what all are asked to do, does not."""
        try:
            await self._ask(turn, server, body)
        except Unavailable:
            return

    async def _try(self, turn: Turn, places: tuple[Destination, ...], path: tuple[str, ...]) -> Destination | None:
        """Ask one after the other until one has it; returns who did, and None where all refused."""
        refused: str | None = None
        for place in places:
            try:
                answer = await self._ask(turn, place.server, with_string(turn.message, path, place.name))
                text = decoded(answer.body)
                response = read_answer(text)
            except (Unavailable, UnreadablePart) as error:
                refused = refused or fault(place.server, str(error)).body(turn.message.raw_id).decode()
                continue
            if "result" in response.members:
                exposed = with_exposed_contents(place.server, text, self.expose(turn.visit, turn.session))
                await turn.visit.outlet.finish(exposed)
                return place
            refused = text
        if len(places) == 1 and refused is not None:
            await turn.visit.outlet.finish(refused)
            return None
        raise RefusedRequest(not_found(turn.message.params.get("uri"), is_modern=False))

    async def _pass(self, turn: Turn, server: str, body: str) -> None:
        """Carry out a request at one server, and pass its answer on as it comes."""
        turn.session.begin(turn.raw_id, server)
        try:
            for _ in range(2):
                inner = await self.inner(turn.visit, turn.session, server)
                if not await self._passed(turn, server, body, inner):
                    return
                turn.session.forget(server, inner)
            raise Unavailable("it keeps no session")
        except Unavailable as error:
            raise RefusedRequest(fault(server, error.cause)) from error
        finally:
            turn.session.end(turn.raw_id, server)

    async def _passed(self, turn: Turn, server: str, body: str, inner: InnerSession) -> bool:
        """One attempt; returns whether the session was lost and nothing was carried out."""
        asked = Asked(
            view=turn.visit.view,
            server=server,
            method=turn.message.method,
            uri=turn.message.params.get("uri"),
            asker=lambda: Asker.of(turn.visit.view, turn.session.capabilities),
        )
        changes = legacy_changes(self._core, asked, in_session=inner.capsule is not None)
        passage = Passage(turn.visit.client, changes, is_begun=turn.visit.outlet.is_stream)
        headers = [*turn.visit.identity, *inner.headers()]
        turn.visit.told.by_server = True
        ask = Ask(server=server, headers=headers, body=body.encode())
        await exchange(self._core.servers, ask, passage.send, turn.visit.client.left)
        return passage.is_lost


async def _pong(turn: Turn) -> None:
    await turn.visit.answer(turn.raw_id, "{}")
