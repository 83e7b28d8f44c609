"""Open streams: notices of several servers on one stream of a client.

The stream listens to the servers that its client uses (`gateway.aggregate.attention`). Notices that a list has changed
are gathered for a moment, so that a deployment that touches ten servers makes a client read its lists once; a change of
the fleet itself, or of what the caller may use, is one of them. Everything else passes at once. A stream that a server
ends is opened again when that server is used next.
"""

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from gateway.aggregate.attention import Board
from gateway.aggregate.core import Core
from gateway.aggregate.gathering import Inquiry, Unavailable
from gateway.aggregate.inner import JSON_HEADERS, Ask, collect
from gateway.aggregate.sessions import Session
from gateway.aggregate.speech import LIST_CHANGED, UPDATED, ExposeUri, from_legacy_server
from gateway.aggregate.visit import Visit
from gateway.client import ClientGone
from gateway.headers import VERSION_HEADER
from gateway.problems import Refused
from gateway.protocol.headers import METHOD_HEADER
from gateway.protocol.messages import InvalidMessage, Message, read_message
from gateway.protocol.revisions import META_SUBSCRIPTION_ID, NEWEST_MODERN
from gateway.protocol.scan import MalformedJson, json_array, json_object
from gateway.relay import RelayFault

_COMMENT_S = 15.0
_MAX_URIS = 1000
_FLAGS: Mapping[str, str] = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


class OpenStream(ABC):
    """A client's stream, until the client leaves or may no longer listen."""

    def __init__(self, core: Core, visit: Visit, key: object) -> None:
        self._core = core
        self._visit = visit
        self._key = key
        self._changed: set[str] = set()
        self._has_changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._view = visit.view
        self._deaf: set[str] = set()
        """Servers without a stream, which are not asked for one again."""

    @abstractmethod
    async def _listen_to(self, server: str) -> bool:
        """Listen to one server until it ends the stream; False where it has none to offer. Raises Unavailable."""

    @abstractmethod
    async def _tell_change(self, method: str) -> None:
        """Tell the client that a list has changed."""

    def _started_with(self) -> set[str]:
        """The servers to listen to from the beginning."""
        return set()

    def _pinned(self) -> set[str]:
        """The servers to listen to until the end."""
        return set()

    async def _run(self) -> None:
        with self._core.attention.board(self._key) as board:
            board.pinned |= self._pinned()
            for server in self._started_with():
                board.note(server, self._core.settings.monotonic())
            async with _until_left(self._visit) as group:
                group.create_task(self._tell_changes())
                group.create_task(self._sign_of_life())
                await self._supervise(board, group)

    async def _supervise(self, board: Board, group: asyncio.TaskGroup) -> None:
        """Have the stream listen to whom it should, whenever that changes."""
        linger_s = self._core.settings.aggregate.listen_linger_s
        while await self._may_listen():
            if board.lists:
                self._note_changes(tuple(board.lists))
                board.lists.clear()
            wanted = board.wanted(self._core.settings.monotonic(), linger_s)
            wanted &= set(self._view.servers) - self._deaf
            for server in wanted - self._tasks.keys():
                self._tasks[server] = group.create_task(self._listen_safely(server, board))
            for server in self._tasks.keys() - wanted:
                self._tasks.pop(server).cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(linger_s / 2):
                    await board.changed.wait()
            board.changed.clear()

    async def _may_listen(self) -> bool:
        """Look again at what the caller may use; changes of it are changes of every list."""
        try:
            view = await self._core.callers.view(_authorization(self._visit))
        except Refused:
            return False
        if view.servers != self._view.servers:
            self._note_changes(LIST_CHANGED)
        self._view = view
        return True

    async def _listen_safely(self, server: str, board: Board) -> None:
        try:
            if not await self._listen_to(server):
                self._deaf.add(server)
        except (Unavailable, RelayFault):
            pass
        finally:
            board.used_at_s.pop(server, None)
            if self._tasks.get(server) is asyncio.current_task():
                del self._tasks[server]

    async def _sign_of_life(self) -> None:
        while True:
            await asyncio.sleep(_COMMENT_S)
            await self._visit.outlet.comment()

    def _note_changes(self, methods: tuple[str, ...]) -> None:
        self._changed.update(methods)
        self._has_changed.set()

    async def _tell_changes(self) -> None:
        while True:
            await self._has_changed.wait()
            await asyncio.sleep(self._core.settings.aggregate.notice_pause_s)
            self._has_changed.clear()
            told, self._changed = sorted(self._changed), set()
            for method in told:
                await self._tell_change(method)


class LegacyStream(OpenStream):
    """GET of a legacy session."""

    def __init__(self, core: Core, visit: Visit, session: Session, expose: ExposeUri) -> None:
        super().__init__(core, visit, session.key)
        self._session = session
        self._expose = expose

    async def run(self) -> None:
        """Serve the stream."""
        await self._visit.outlet.comment()
        await self._run()

    def _started_with(self) -> set[str]:
        return set(self._session.inner)

    def _pinned(self) -> set[str]:
        return {server for server, uris in self._session.subscribed.items() if uris}

    async def _listen_to(self, server: str) -> bool:
        inner = await self._core.sessions.with_server(self._session, server, self._visit.identity, self._hear)
        headers = [header for header in inner.headers() if header[0] not in {b"content-type", b"accept"}]
        accept = (b"accept", b"text/event-stream")

        async def hear(text: str) -> None:
            await self._hear(server, text)

        ask = Ask(server=server, headers=[*self._visit.identity, *headers, accept], method="GET")
        answer = await collect(self._core.servers, ask, hear)
        if answer.status == 404 and self._session.inner.get(server) is inner:
            del self._session.inner[server]
        return answer.status in {200, 404}

    async def _hear(self, server: str, text: str) -> None:
        method = _method_of(text)
        if method in LIST_CHANGED:
            self._note_changes((method,))
        else:
            await self._visit.outlet.say(from_legacy_server(server, text, self._expose))

    async def _tell_change(self, method: str) -> None:
        await self._visit.outlet.say(f'{{"jsonrpc":"2.0","method":"{method}"}}')


class ModernListen(OpenStream):
    """`subscriptions/listen` of a modern client."""

    def __init__(self, core: Core, inquiry: Inquiry, message: Message) -> None:
        super().__init__(core, inquiry.visit, inquiry.visit.view.principal)
        self._inquiry = inquiry
        self._message = message
        wanted = json_object(message.params.get("notifications"))
        self._flags = [flag for flag in _FLAGS if wanted.get(flag) is True]
        uris = [uri for uri in json_array(wanted.get("resourceSubscriptions")) if isinstance(uri, str)]
        self._uris = list(dict.fromkeys(uris))[:_MAX_URIS]
        self._by_server: dict[str, list[str]] = {}

    async def run(self) -> None:
        """Acknowledge and serve the stream."""
        for uri in self._uris:
            for place in (await self._core.router.by_uri(self._inquiry, uri))[:1]:
                self._by_server.setdefault(place.server, []).append(place.name)
        honoured: dict[str, object] = dict.fromkeys(self._flags, True)
        if self._uris:
            honoured["resourceSubscriptions"] = self._uris
        await self._say(_ACKNOWLEDGED, {"notifications": honoured})
        await self._run()
        await self._visit.outlet.finish(self._end())

    def _started_with(self) -> set[str]:
        """Those who are awake; nobody is woken only to be listened to, but for a resource."""
        running = self._core.settings.aggregate.running
        states = {server: running(server) for server in self._view.servers} if self._flags else {}
        return {server for server, state in states.items() if state is None or not state.is_asleep}

    def _pinned(self) -> set[str]:
        return set(self._by_server)

    async def _listen_to(self, server: str) -> bool:
        wanted: dict[str, object] = dict.fromkeys(self._flags, True)
        if server in self._by_server:
            wanted["resourceSubscriptions"] = self._by_server[server]
        params = {"notifications": wanted, "_meta": self._message.meta}
        body = {"jsonrpc": "2.0", "id": "catwalk-listen", "method": "subscriptions/listen", "params": params}
        version = (VERSION_HEADER, NEWEST_MODERN.encode("ascii"))
        method = (METHOD_HEADER.encode("ascii"), b"subscriptions/listen")
        headers = [*self._visit.identity, *JSON_HEADERS, version, method]

        async def hear(text: str) -> None:
            await self._hear(server, text)

        ask = Ask(server=server, headers=headers, body=json.dumps(body).encode())
        return (await collect(self._core.servers, ask, hear)).status == 200

    async def _hear(self, server: str, text: str) -> None:
        method = _method_of(text)
        if method in LIST_CHANGED:
            self._note_changes((method,))
        elif method == UPDATED:
            params = read_message(text).params
            ownership = self._core.known.ownership(self._inquiry.asker, self._view)
            uri = ownership.exposed(server, str(params.get("uri", "")))
            await self._say(UPDATED, {**params, "uri": uri})

    async def _tell_change(self, method: str) -> None:
        if method in {_FLAGS[flag] for flag in self._flags}:
            await self._say(method, {})

    async def _say(self, method: str, params: dict[str, object]) -> None:
        meta = {**json_object(params.get("_meta")), META_SUBSCRIPTION_ID: self._message.id_value}
        message = {"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}}
        await self._visit.outlet.say(json.dumps(message))

    def _end(self) -> str:
        meta = {META_SUBSCRIPTION_ID: self._message.id_value}
        result = {"resultType": "complete", "_meta": meta}
        return json.dumps({"jsonrpc": "2.0", "id": self._message.id_value, "result": result})


def _method_of(text: str) -> str:
    try:
        return read_message(text).method
    except (MalformedJson, InvalidMessage):
        return ""


def _authorization(visit: Visit) -> bytes | None:
    return next((value for name, value in visit.raw_headers if name == b"authorization"), None)


@asynccontextmanager
async def _until_left(visit: Visit) -> AsyncGenerator[asyncio.TaskGroup, None]:
    """A group of tasks that ends when the client leaves, or its body does."""
    is_over = False
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_raise_when_left(visit))
            yield group
            is_over = True
            raise ClientGone
    except* ClientGone:
        if not is_over:
            raise ClientGone from None


async def _raise_when_left(visit: Visit) -> None:
    await visit.client.left()
    raise ClientGone
