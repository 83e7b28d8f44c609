"""The legacy sessions of a machine: made by `initialize`, found by id, closed by DELETE, by idleness or with the
machine.
"""

import secrets
import time

import anyio
from anyio.abc import TaskGroup

from gateway.adapter.causes import AdapterFailure
from gateway.adapter.handshake import Approach, Greeting, Handshake
from gateway.adapter.http.bridged import BridgedSession
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.lanes import LanePool
from gateway.adapter.http.legacyshapes import facts_of
from gateway.adapter.http.native import NativeSession
from gateway.adapter.http.session import Session
from gateway.adapter.http.tenants import Limit, Tenancy, Tenant
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options, SessionMode
from gateway.adapter.source import Source
from gateway.adapter.upstream import Live, Upstream
from gateway.protocol.messages import Message
from gateway.protocol.revisions import LEGACY_REVISIONS, NEWEST_LEGACY, Era, negotiate
from gateway.protocol.scan import object_members, splice

_SWEEP_S = 15.0
_ASKABLE = frozenset({"elicitation", "sampling", "roots"})


class Refused(Exception):
    """There will be no session: `body` is the error for the client."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        super().__init__("the server refused initialize")
        self.body = body
        self.status = status


class SessionPool:
    """See the module. Runs the processes of isolated sessions in `tasks`."""

    def __init__(self, options: Options, source: Source, common: CommonVoice, log: AdapterLog) -> None:
        self._options = options
        self._source = source
        self._common = common
        self._log = log
        self._tasks: TaskGroup | None = None
        self._sessions: dict[str, Session] = {}
        sessions = Limit(total=options.max_sessions, per_principal=options.max_sessions_per_principal)
        children = Limit(total=options.max_children, per_principal=options.max_children_per_principal)
        self._tenancy = Tenancy(sessions, self._evict)
        self._children = Tenancy(children, self._evict)
        self.lanes = LanePool(source, self._children, log, options.session_idle_s)
        self._only_modern = False

    def run_in(self, tasks: TaskGroup) -> None:
        """Give the pool the task group that its processes live in."""
        self._tasks = tasks
        self.lanes.run_in(tasks)

    def find(self, session_id: str, principal: str) -> Session | None:
        """A session by its id; that of another principal is none."""
        session = self._sessions.get(session_id)
        if session is None or session.principal != principal:
            return None
        session.last_used_s = time.monotonic()
        return session

    def has(self, session_id: str) -> bool:
        """Whether there is such a session."""
        return session_id in self._sessions

    def sharing(self) -> list[NativeSession]:
        """The sessions on the shared legacy process."""
        return [each for each in self._sessions.values() if isinstance(each, NativeSession) and not each.isolated]

    async def open(self, message: Message, principal: str) -> tuple[Session, bytes]:
        """Make a session for an `initialize`; return it with the answer. Raises NoRoom, Refused, AdapterFailure."""
        shared = await self._common.upstream.live()
        wants_own = self._wants_isolation(message) and not self._only_modern
        if wants_own:
            own = await self._open_isolated(message, principal, shared)
            if own is not None:
                return own
        if shared.handshake.era is Era.MODERN:
            return self._open_bridged(message, principal, shared)
        return self._open_shared(message, principal, shared)

    def close(self, session: Session) -> None:
        """End a session and its own process; its running calls end with it."""
        if self._sessions.pop(session.session_id, None) is None:
            return
        self._tenancy.remove(session)
        self._children.remove(session)
        session.end("its session was ended")
        if session.scope is not None:
            session.scope.cancel()
        session.closed()

    def close_streams(self) -> None:
        """End the open GET streams, so that a drain does not wait for them."""
        for session in self._sessions.values():
            session.general.leave()

    async def sweep_forever(self) -> None:
        """Close idle sessions, refuse questions that nobody hears, withdraw calls that take too long."""
        idle_s = self._options.session_idle_s
        pause_s = min(_SWEEP_S, max(min(idle_s, self._options.max_call_s) / 4, 0.05))
        while True:
            await anyio.sleep(pause_s)
            now_s = time.monotonic()
            self._end_overdue(now_s)
            self.lanes.sweep(now_s)
            for session in list(self._sessions.values()):
                session.sweep(now_s)
                if not session.is_listened_to and now_s - session.last_used_s > idle_s:
                    self._log.event("session-idle", isolated=session.isolated)
                    self.close(session)

    def _end_overdue(self, now_s: float) -> None:
        own = [session.upstream for session in self._sessions.values() if session.isolated]
        for upstream in (self._common.upstream, *own, *(lane.upstream for lane in self.lanes.all())):
            live = upstream.current
            if live is not None:
                live.connection.end_overdue(now_s, self._options.max_call_s)

    def restore_shared(self, live: Live) -> None:
        """Give a restarted shared process what its clients had set up."""
        self._common.restore(live)
        for session in self._sessions.values():
            if isinstance(session, BridgedSession):
                session.restore(live)

    def _evict(self, tenant: Tenant) -> None:
        self._log.event("evicted", idle_s=round(time.monotonic() - tenant.last_used_s))
        if isinstance(tenant, Session):
            self.close(tenant)
        else:
            self.lanes.close(tenant)

    def _wants_isolation(self, message: Message) -> bool:
        if self._options.sessions is not SessionMode.AUTO:
            return self._options.sessions is SessionMode.ISOLATED
        capabilities = message.params.get("capabilities")
        return isinstance(capabilities, dict) and not _ASKABLE.isdisjoint(capabilities)  # pyright: ignore[reportUnknownArgumentType] - JSON

    def _keep(self, session: Session) -> None:
        """Raises NoRoom."""
        self._tenancy.add(session)
        self._sessions[session.session_id] = session

    def _open_shared(self, message: Message, principal: str, shared: Live) -> tuple[Session, bytes]:
        assert message.raw_id is not None
        session = NativeSession(_new_id(), principal, self._common)
        session.upstream = self._common.upstream
        if not shared.handshake.succeeded:
            raise Refused(shared.handshake.answer.with_id(message.raw_id).encode())
        self._keep(session)
        requested = message.params.get("protocolVersion")
        session.revision = negotiate(requested=requested, offered=shared.handshake.revision)
        return session, _with_revision(shared.handshake.answer, message.raw_id, session.revision)

    def _open_bridged(self, message: Message, principal: str, shared: Live) -> tuple[Session, bytes]:
        session = BridgedSession(_new_id(), principal, self._common.upstream, facts_of(message))
        self._keep(session)
        return session, session.welcome(message, shared)

    async def _open_isolated(self, message: Message, principal: str, shared: Live) -> tuple[Session, bytes] | None:
        """None when the server turns out to speak only the newer revisions."""
        session = NativeSession(_new_id(), principal, None)
        self._keep(session)
        try:
            self._children.add(session)
            handshake = await self._start(session, message)
            if shared.handshake.era is Era.MODERN and not handshake.succeeded:
                self._only_modern = handshake.refuses_the_handshake
                self.close(session)
                return None
            return session, self._welcome(session, message, handshake)
        except BaseException:
            self.close(session)
            raise

    async def _start(self, session: NativeSession, message: Message) -> Handshake:
        assert self._tasks is not None
        greeting = Greeting(approach=Approach.LEGACY, raw_params=_known_revision(message))
        session.upstream = Upstream(self._source, session, greeting, self._log)
        session.upstream.announce_at_once = False
        session.upstream.on_restart = session.restore
        scope = session.scope = anyio.CancelScope()
        self._tasks.start_soon(self._run_isolated, session, scope)
        return (await session.upstream.live()).handshake

    async def _run_isolated(self, session: NativeSession, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await session.upstream.run()
            except AdapterFailure as failure:
                self._log.event("session-failed", cause=failure.cause.value, detail=failure.detail)
        self.close(session)

    def _welcome(self, session: Session, message: Message, handshake: Handshake) -> bytes:
        assert message.raw_id is not None
        if not handshake.succeeded:
            raise Refused(handshake.answer.with_id(message.raw_id).encode())
        session.revision = handshake.revision
        return handshake.answer.with_id(message.raw_id).encode()


def _new_id() -> str:
    return secrets.token_hex(16)


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
