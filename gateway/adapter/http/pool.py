"""The legacy sessions of a machine: made by `initialize`, found by id, closed by DELETE, by idleness or with the
machine.
"""

import secrets
import time

import anyio
from anyio.abc import TaskGroup

from gateway.adapter.causes import AdapterFailure
from gateway.adapter.child import Launch
from gateway.adapter.handshake import Handshake
from gateway.adapter.http.session import Session
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options, SessionMode
from gateway.adapter.upstream import Live, Upstream
from gateway.protocol.errors import UNSUPPORTED_VERSION, Refusal
from gateway.protocol.messages import Message
from gateway.protocol.revisions import LEGACY_REVISIONS, MODERN_REVISIONS, NEWEST_LEGACY, Era, negotiate
from gateway.protocol.scan import object_members, splice

_IDLE_S = 30 * 60.0
_EVICTABLE_S = 60.0
_SWEEP_S = 15.0
_ASKABLE = frozenset({"elicitation", "sampling", "roots"})
_MODERN_ONLY = Refusal(
    code=UNSUPPORTED_VERSION,
    message="the server speaks only newer revisions",
    data={"supported": list(MODERN_REVISIONS)},
)


class NoRoom(Exception):
    """A limit is reached and nothing idle can make room."""


class Refused(Exception):
    """There will be no session: `body` is the error for the client."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__("the server refused initialize")
        self.body = body
        self.status = status


class SessionPool:
    """See the module. Runs the processes of isolated sessions in `tasks`."""

    def __init__(self, options: Options, launch: Launch, shared: Upstream, log: AdapterLog) -> None:
        self._options = options
        self._launch = launch
        self._shared = shared
        self._log = log
        self._tasks: TaskGroup | None = None
        self._sessions: dict[str, Session] = {}

    def run_in(self, tasks: TaskGroup) -> None:
        """Give the pool the task group that its processes live in."""
        self._tasks = tasks

    def find(self, session_id: str) -> Session | None:
        """A session by its id."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.last_used_s = time.monotonic()
        return session

    def sharing(self) -> list[Session]:
        """The sessions on the shared process."""
        return [session for session in self._sessions.values() if not session.isolated]

    async def open(self, message: Message) -> tuple[Session, bytes]:
        """Make a session for an `initialize`; return it with the answer. Raises NoRoom, Refused, AdapterFailure."""
        isolated = self._wants_isolation(message)
        self._make_room(isolated=isolated)
        session = Session(secrets.token_hex(16), isolated=isolated)
        self._sessions[session.session_id] = session
        try:
            handshake = await (self._isolate(session, message) if isolated else self._share(session))
            body = self._welcome(session, message, handshake)
        except BaseException:
            self.close(session)
            raise
        return session, body

    def close(self, session: Session) -> None:
        """End a session and its own process; its running calls end with it."""
        self._sessions.pop(session.session_id, None)
        session.scope.cancel()
        session.stream.leave()

    def close_all(self) -> None:
        """End every session."""
        for session in list(self._sessions.values()):
            self.close(session)

    def close_streams(self) -> None:
        """End the open GET streams, so that a drain does not wait for them."""
        for session in self._sessions.values():
            session.stream.leave()

    async def sweep_forever(self) -> None:
        """Close idle sessions and refuse questions that nobody hears."""
        while True:
            await anyio.sleep(_SWEEP_S)
            now_s = time.monotonic()
            for session in list(self._sessions.values()):
                session.refuse_unheard(now_s)
                if not session.is_busy and now_s - session.last_used_s > _IDLE_S:
                    self._log.event("session-idle", isolated=session.isolated)
                    self.close(session)

    def _wants_isolation(self, message: Message) -> bool:
        if self._options.sessions is not SessionMode.AUTO:
            return self._options.sessions is SessionMode.ISOLATED
        capabilities = message.params.get("capabilities")
        return isinstance(capabilities, dict) and not _ASKABLE.isdisjoint(capabilities)  # pyright: ignore[reportUnknownArgumentType] - JSON

    def _make_room(self, *, isolated: bool) -> None:
        alike = [session for session in self._sessions.values() if session.isolated or not isolated]
        limit = self._options.max_children if isolated else self._options.max_sessions
        if len(alike) < limit:
            return
        oldest = min(alike, key=lambda session: (session.is_busy, session.last_used_s))
        if oldest.is_busy or time.monotonic() - oldest.last_used_s < _EVICTABLE_S:
            raise NoRoom
        self._log.event("session-evicted", isolated=oldest.isolated)
        self.close(oldest)

    async def _share(self, session: Session) -> Handshake:
        session.upstream = self._shared
        return (await self._shared.live()).handshake

    async def _isolate(self, session: Session, message: Message) -> Handshake:
        assert self._tasks is not None
        session.upstream = Upstream(self._launch, session, _known_revision(message), self._log)
        session.upstream.announce_at_once = False
        session.upstream.on_restart = session.restore
        self._tasks.start_soon(self._run_isolated, session)
        return (await session.upstream.live()).handshake

    async def _run_isolated(self, session: Session) -> None:
        with session.scope:
            try:
                await session.upstream.run()
            except AdapterFailure as failure:
                self._log.event("session-failed", cause=failure.cause.value, detail=failure.detail)
        self.close(session)

    def _welcome(self, session: Session, message: Message, handshake: Handshake) -> bytes:
        assert message.raw_id is not None
        answer = handshake.answer
        if handshake.era is Era.MODERN:
            raise Refused(_MODERN_ONLY.body(message.raw_id), _MODERN_ONLY.status)
        if not handshake.succeeded:
            raise Refused(answer.with_id(message.raw_id).encode())
        session.revision = handshake.revision
        if session.isolated:
            return answer.with_id(message.raw_id).encode()
        session.revision = negotiate(requested=message.params.get("protocolVersion"), offered=handshake.revision)
        return _with_revision(answer, message.raw_id, session.revision)

    def restore_shared(self, live: Live) -> None:
        """Give a restarted shared process the subscriptions of all its sessions."""
        for session in self.sharing():
            session.restore(live)


def _known_revision(message: Message) -> str:
    """The client's initialize params, with the newest revision in place of one that nobody knows."""
    place = message.members.get("params")
    if place is None:
        return "{}"
    params, end = object_members(message.text, place.start)
    version = params.get("protocolVersion")
    raw = message.text
    if version is None or version.value in LEGACY_REVISIONS:
        return raw[place.start : end]
    return splice(raw[:end], {version: f'"{NEWEST_LEGACY}"'})[place.start :]


def _with_revision(answer: Message, raw_id: str, revision: str) -> bytes:
    result, _ = object_members(answer.text, answer.members["result"].start)
    replacements = {answer.members["id"]: raw_id}
    if "protocolVersion" in result:
        replacements[result["protocolVersion"]] = f'"{revision}"'
    return splice(answer.text, replacements).encode()
