"""GET and DELETE of legacy sessions: the stream of notices, the rest of a stream that broke off, and the end.

Event ids of a server's stream come to the client with the server in front (`time/p3-7`), so that whoever comes back
with `Last-Event-ID` gets the rest of that stream from that server. The stream of several servers has no ids.
"""

import asyncio
from contextlib import suppress

from gateway.aggregate.core import Core
from gateway.aggregate.gathering import RefusedRequest, Unavailable
from gateway.aggregate.inner import Ask, exchange
from gateway.aggregate.legacy import LegacySide
from gateway.aggregate.listening import LegacyStream
from gateway.aggregate.passing import Changes, Passage
from gateway.aggregate.sessions import Session
from gateway.aggregate.speech import from_legacy_server
from gateway.aggregate.visit import Visit, fault
from gateway.client import ClientGone
from gateway.problems import Problem, ProblemKind, Refused
from gateway.protocol.errors import INVALID_REQUEST, Refusal
from gateway.protocol.revisions import Era
from gateway.relay import RelayFault

_LAST_EVENT = "last-event-id"
_END_S = 5.0


class StreamVerbs:
    """See the module."""

    def __init__(self, core: Core, legacy: LegacySide) -> None:
        self._core = core
        self._legacy = legacy
        self._open: set[bytes] = set()

    async def handle(self, visit: Visit, era: Era) -> None:
        """One GET or DELETE. Raises RefusedRequest, SessionNotFound, Refused."""
        if era is Era.MODERN:
            allow = (b"allow", b"POST")
            detail = "Clients without sessions use POST alone."
            raise Refused(Problem(kind=ProblemKind.METHOD_NOT_ALLOWED, detail=detail, headers=(allow,)))
        session = self._legacy.session_of(visit)
        if visit.http_method == "DELETE":
            await self._delete(visit, session)
        elif not _takes_events(visit):
            raise _refused("Accept must list text/event-stream", 406)
        elif (last_event := visit.header(_LAST_EVENT)) is not None and "/" in last_event:
            await self._resume(visit, session, last_event)
        else:
            await self._stream(visit, session)

    async def _stream(self, visit: Visit, session: Session) -> None:
        if session.key in self._open:
            raise _refused("the session already has a stream", 409)
        self._open.add(session.key)
        try:
            await LegacyStream(self._core, visit, session, self._legacy.expose(visit, session)).run()
            await visit.outlet.end()
        finally:
            self._open.discard(session.key)

    async def _resume(self, visit: Visit, session: Session, last_event: str) -> None:
        server, _, own_event = last_event.partition("/")
        if server not in visit.view.servers:
            raise _refused("the events after that one are not kept", 400)
        try:
            inner = await self._legacy.inner(visit, session, server)
        except Unavailable as error:
            raise RefusedRequest(fault(server, error.cause)) from error
        expose = self._legacy.expose(visit, session)
        changes = Changes(
            message=lambda text: from_legacy_server(server, text, expose),
            event_id=lambda event_id: f"{server}/{event_id}",
        )
        headers = [header for header in inner.headers() if header[0] not in {b"content-type", b"accept"}]
        own = [(b"accept", b"text/event-stream"), (_LAST_EVENT.encode("ascii"), own_event.encode("latin-1"))]
        passage = Passage(visit.client, changes, is_begun=visit.outlet.is_stream)
        visit.told.by_server = True
        ask = Ask(server=server, headers=[*visit.identity, *headers, *own], method="GET")
        await exchange(self._core.servers, ask, passage.send, visit.client.left)

    async def _delete(self, visit: Visit, session: Session) -> None:
        self._core.sessions.end(session)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S), asyncio.TaskGroup() as group:
                for server in list(session.inner):
                    group.create_task(self._end(visit, session, server))
        await visit.client.start(200, ((b"content-length", b"0"),))
        await visit.client.write(b"", more=False)

    async def _end(self, visit: Visit, session: Session, server: str) -> None:
        inner = session.inner[server]
        headers = [header for header in inner.headers() if header[0] not in {b"content-type", b"accept"}]
        with suppress(RelayFault, ClientGone):
            await self._core.sessions.ask_end(server, [*visit.identity, *headers])


def _takes_events(visit: Visit) -> bool:
    accept = (visit.header("accept") or "*/*").lower()
    return any(each in accept for each in ("text/event-stream", "text/*", "*/*"))


def _refused(text: str, status: int) -> RefusedRequest:
    return RefusedRequest(Refusal(code=INVALID_REQUEST, message=text, http_status=status))
