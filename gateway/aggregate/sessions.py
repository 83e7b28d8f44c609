"""Legacy sessions with the aggregate, and the sessions with servers behind them.

What the client holds is a capsule like that of a server's own address (`gateway.sessions`): a random id, its principal,
its expiry, and what it said in `initialize`. Nothing is started by it. A session with a server is started when the
client first needs that server, with the client's own words, and again where the server has lost it. It has a name that
every replica works out from the client's session, by which the adapter gives back the one that is there; a server that
is not behind an adapter starts another. What a client set for all of its session (log level, subscriptions) is repeated
to each server that joins later, as long as this process remembers it.

Losing one server's session is no reason to end those with all the others, so it is not a 404 here.
"""

import asyncio
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from gateway.aggregate.callers import View
from gateway.aggregate.gathering import Unavailable
from gateway.aggregate.inner import JSON_HEADERS, Asgi, Ask, Collected, collect
from gateway.aggregate.parts import UnreadablePart, decoded, read_answer
from gateway.headers import SESSION_HEADER, VERSION_HEADER
from gateway.problems import SessionNotFound
from gateway.protocol.revisions import LEGACY_REVISIONS, NEWEST_LEGACY
from gateway.protocol.scan import json_object
from gateway.relay.wire import Headers
from gateway.sessions import MAX_OPENING_BYTES, BadCapsule, CapsuleSealer, PinnedSession
from gateway.settings import GatewaySettings

ALL_SERVERS = "*"
"""In capsules and audit lines: no server can be called this."""
_MAX_SESSIONS = 10_000
_MAX_ENDED = 50_000
_MAX_RUNNING = 1_000
_SHOWN_CHARACTERS = 200
OnMessage = Callable[[str, str], Awaitable[None]]
"""Takes what a server says beside an answer: the server and the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSession:
    """A session with one server: what names it, and the revision that was agreed on."""

    capsule: bytes | None
    revision: str

    def headers(self) -> Headers:
        """What a request in this session carries."""
        named = [(SESSION_HEADER, self.capsule)] if self.capsule is not None else []
        return [*JSON_HEADERS, (VERSION_HEADER, self.revision.encode("ascii")), *named]


@dataclass(slots=True, kw_only=True)
class Session:
    """What this process knows of a client's session."""

    key: bytes
    opening: dict[str, object]
    inner: dict[str, InnerSession] = field(default_factory=dict[str, InnerSession])
    level: str | None = None
    """As JSON text."""
    subscribed: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """URIs by server, as the server knows them."""
    running: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The servers that carry out a request, by its id as JSON text."""
    locks: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    @property
    def capabilities(self) -> object:
        """What the client can do."""
        return self.opening.get("capabilities", {})

    @property
    def revision(self) -> str:
        """What was agreed on with the client."""
        return str(self.opening["protocolVersion"])

    def forget(self, server: str, inner: InnerSession) -> None:
        """The server does not know that session any more; whoever needs one starts another."""
        if self.inner.get(server) is inner:
            del self.inner[server]

    def begin(self, raw_id: str, server: str) -> None:
        """A request is carried out there."""
        if len(self.running) < _MAX_RUNNING:
            self.running.setdefault(raw_id, []).append(server)

    def end(self, raw_id: str, server: str) -> None:
        """It is over."""
        servers = self.running.get(raw_id, [])
        if server in servers:
            servers.remove(server)
        if not servers:
            self.running.pop(raw_id, None)


class Sessions:
    """The sessions of one gateway."""

    def __init__(self, settings: GatewaySettings, servers: Asgi) -> None:
        self._settings = settings
        self._sealer = CapsuleSealer(settings.session_key)
        self._servers = servers
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    def start(self, view: View, params: dict[str, object]) -> tuple[Session, str]:
        """A new session and its capsule."""
        session = Session(key=secrets.token_hex(16).encode("ascii"), opening=_opening(params))
        self._remember(session)
        pinned = PinnedSession(
            server=ALL_SERVERS,
            machine="",
            session_id=session.key,
            principal=view.principal,
            expires_at_s=int(self._settings.now() + self._settings.session_lifetime_s),
            opening=json.dumps(session.opening, separators=(",", ":")).encode("ascii"),
        )
        return session, self._sealer.seal(pinned)

    def find(self, view: View, capsule: str) -> Session:
        """The session that a client names.

        Raises:
            SessionNotFound: it is none of ours, or not this caller's, or over.
        """
        pinned = self.opened(view, capsule)
        if pinned.session_id in self._ended:
            raise SessionNotFound
        known = self._sessions.get(pinned.session_id)
        if known is None:
            known = Session(key=pinned.session_id, opening=json_object(json.loads(pinned.opening)))
        self._remember(known)
        return known

    def opened(self, view: View, capsule: str) -> PinnedSession:
        """What stands in a client's capsule. Raises SessionNotFound where it is none of ours, or not this caller's."""
        try:
            return self._sealer.open(
                capsule.encode("latin-1"),
                server=ALL_SERVERS,
                principal=view.principal,
                now_s=self._settings.now(),
            )
        except BadCapsule as error:
            raise SessionNotFound from error

    def known(self, key: bytes) -> Session | None:
        """The session of that key, if this process knows it and it is not over."""
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
        return session

    def end(self, session: Session) -> None:
        """The client is through with it."""
        self._sessions.pop(session.key, None)
        self._ended[session.key] = None
        if len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)

    async def with_server(self, session: Session, server: str, identity: Headers, hear: OnMessage) -> InnerSession:
        """The session with a server; any number of callers get one and the same.

        Raises:
            Unavailable: the server did not start one.
        """
        known = session.inner.get(server)
        if known is not None:
            return known
        async with session.locks.setdefault(server, asyncio.Lock()):
            known = session.inner.get(server)
            if known is None:
                known = await self._open(session, server, identity, hear)
                session.inner[server] = known
            return known

    async def tell(self, session: Session, server: str, identity: Headers, message: str) -> None:
        """Send a server a message of the client's that wants no answer; one that has no session needs none."""
        inner = session.inner.get(server)
        if inner is not None:
            await self._send(server, [*identity, *inner.headers()], message, _ignore)

    async def ask_end(self, server: str, headers: Headers) -> None:
        """Have a server end a session."""
        await collect(self._servers, Ask(server=server, headers=headers, method="DELETE"), _drop)

    async def _open(self, session: Session, server: str, identity: Headers, hear: OnMessage) -> InnerSession:
        request = {"jsonrpc": "2.0", "id": "catwalk-open", "method": "initialize", "params": session.opening}
        headers, name = [*identity, *JSON_HEADERS], self._name(session, server)
        answer = await self._send(server, headers, json.dumps(request), hear, name=name)
        try:
            response = read_answer(decoded(answer.body))
        except UnreadablePart as error:
            raise Unavailable(str(error)) from error
        if "result" not in response.members:
            error_text = json_object(response.members["error"].value).get("message", "it refused to start a session")
            raise Unavailable(str(error_text)[:_SHOWN_CHARACTERS])
        revision = json_object(response.members["result"].value).get("protocolVersion")
        inner = InnerSession(
            capsule=answer.header(SESSION_HEADER),
            revision=revision if isinstance(revision, str) and revision.isascii() else session.revision,
        )
        for message in _repeated(session, server):
            await self._send(server, [*identity, *inner.headers()], message, hear)
        return inner

    async def _send(
        self, server: str, headers: Headers, message: str, hear: OnMessage, *, name: bytes = b""
    ) -> Collected:
        async def on_message(text: str) -> None:
            await hear(server, text)

        ask = Ask(server=server, headers=headers, body=message.encode(), session_name=name)
        return await collect(self._servers, ask, on_message)

    def _name(self, session: Session, server: str) -> bytes:
        """What every replica calls that session, and nobody else can."""
        text = b"catwalk inner session\n%b\n%b" % (session.key, server.encode("ascii"))
        return hmac.digest(self._settings.session_key, text, "sha256").hex().encode("ascii")

    def _remember(self, session: Session) -> None:
        self._sessions[session.key] = session
        self._sessions.move_to_end(session.key)
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)


async def _drop(_: str) -> None:
    """What comes beside the end of a session."""


async def _ignore(_: str, __: str) -> None:
    """What comes beside an answer that nobody waits for."""


def _repeated(session: Session, server: str) -> list[str]:
    """What a server has to hear before anything else: that the client is there, and what it has set."""
    messages = ['{"jsonrpc":"2.0","method":"notifications/initialized"}']
    if session.level is not None:
        messages.append(_request("logging/setLevel", f'{{"level":{session.level}}}'))
    uris = sorted(session.subscribed.get(server, ()))
    return messages + [_request("resources/subscribe", json.dumps({"uri": uri})) for uri in uris]


def _request(method: str, params: str) -> str:
    return f'{{"jsonrpc":"2.0","id":"catwalk-repeat","method":"{method}","params":{params}}}'


def _opening(params: dict[str, object]) -> dict[str, object]:
    """What is repeated to servers of the client's words; what a capsule cannot hold is left out, longest first."""
    requested = params.get("protocolVersion")
    info = json_object(params.get("clientInfo"))
    kept_info = {name: info[name] for name in ("name", "version", "title") if isinstance(info.get(name), str)}
    opening: dict[str, object] = {
        "protocolVersion": requested if requested in LEGACY_REVISIONS else NEWEST_LEGACY,
        "capabilities": json_object(params.get("capabilities")),
        "clientInfo": {"name": "unknown", "version": "0", **kept_info},
    }
    if _size(opening) > MAX_OPENING_BYTES:
        opening["clientInfo"] = {"name": "unknown", "version": "0"}
    if _size(opening) > MAX_OPENING_BYTES:
        opening["capabilities"] = _plain(cast("dict[str, object]", opening["capabilities"]))
    return opening


def _plain(capabilities: dict[str, object]) -> dict[str, object]:
    known = ("roots", "sampling", "elicitation")
    return {name: {} for name in known if name in capabilities}


def _size(opening: dict[str, object]) -> int:
    return len(json.dumps(opening, separators=(",", ":")))
