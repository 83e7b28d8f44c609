"""Starting a lost session again without its client, where nothing can be lost by it.

A machine that was restarted knows none of its sessions any more, and a client that is told so (404) has to start anew;
many do not, and are broken until somebody restarts them. A session that never held anything needs no client: the
gateway repeats the client's `initialize`, which the capsule carries, and then the request that found the session
missing. It does so only for sessions in which nothing was agreed that a new one would lack: the client cannot be asked
anything (no elicitation, sampling or roots), the server keeps no log level and no resource subscriptions per session,
and the adapter shares one process between sessions. Every other lost session is a 404.

What a session became is remembered here, and only here: another replica starts one of its own, which is harmless for
sessions that hold nothing. The memory is bounded.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from gateway.decision import Forward
from gateway.headers import MACHINE_HEADER, SCOPE_HEADER, SESSION_HEADER
from gateway.observation import Event, Observers
from gateway.protocol.affinity import PRINCIPAL_HEADER
from gateway.relay import BufferedResponse, Relay, RequestHead, ResponseHead, UpstreamBroken
from gateway.sessions import MAX_OPENING_BYTES, PinnedSession

_MAX_SUCCESSORS = 10_000
_MAX_ANSWER_BYTES = 1024 * 1024
_NEVER_REACHED = 503
"""What the proxy in front of the machines says, in their place, when it has reached none of them."""


def is_lost(forward: Forward, head: ResponseHead) -> bool:
    """Whether an answer says that the session is unknown, before anything of the request was carried out."""
    if not forward.is_restorable:
        return False
    return head.status == 404 or (head.status == _NEVER_REACHED and head.value(MACHINE_HEADER) is None)


def opening_of(request: bytes, answer: bytes, head: ResponseHead) -> bytes:
    """The `initialize` params to repeat later, from the client's request and the server's answer to it; empty where the
    session could lose something, or where that cannot be told.
    """
    params, result = _member(request, "params"), _member(answer, "result")
    shared = head.value(MACHINE_HEADER) is not None and head.value(SCOPE_HEADER) != b"isolated"
    if not shared or params is None or result is None or params.get("capabilities") != {}:
        return b""
    offered = result.get("capabilities")
    if not isinstance(offered, dict) or _keeps_state(cast("dict[str, object]", offered)):
        return b""
    opening = json.dumps(params, separators=(",", ":")).encode()
    return opening if len(opening) <= MAX_OPENING_BYTES else b""


def _keeps_state(capabilities: Mapping[str, object]) -> bool:
    resources = capabilities.get("resources")
    subscribes = isinstance(resources, dict) and bool(cast("dict[str, object]", resources).get("subscribe"))
    return subscribes or not capabilities.keys() <= {"tools", "prompts", "resources", "completions"}


def _member(body: bytes, name: str) -> dict[str, object] | None:
    try:
        message: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = cast("dict[str, object]", message).get(name) if isinstance(message, dict) else None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


class SessionKeeper:
    """What lost sessions have become."""

    def __init__(self, relay: Relay, observers: Observers) -> None:
        self._relay = relay
        self._observers = observers
        self._successors: dict[bytes, PinnedSession] = {}
        self._under_way: dict[bytes, asyncio.Lock] = {}
        self.generation = 0
        """Grows with every successor."""

    def successor(self, capsule: bytes, session: PinnedSession) -> PinnedSession:
        """The session that stands for the one in this capsule now."""
        return self._successors.get(capsule, session)

    async def restore(self, forward: Forward) -> PinnedSession:
        """A session in place of the one that was lost; any number of callers get one and the same.

        Raises:
            RelayFault: the server cannot be asked, or does not start a session.
        """
        capsule = forward.capsule or b""
        lock = self._under_way.setdefault(capsule, asyncio.Lock())
        try:
            async with lock:
                known = self._successors.get(capsule)
                if known is not None and known != forward.session:
                    return known
                return await self._start(capsule, forward)
        finally:
            if not lock.locked():
                self._under_way.pop(capsule, None)

    async def _start(self, capsule: bytes, forward: Forward) -> PinnedSession:
        assert forward.session is not None
        opening = forward.session.opening
        body = b'{"jsonrpc":"2.0","id":"catwalk-restore","method":"initialize","params":%b}' % opening
        head, answer = await self._ask(forward, (), body)
        session_id, machine = head.value(SESSION_HEADER), head.value(MACHINE_HEADER)
        if head.status != 200 or session_id is None or machine is None or not opening_of(body, answer, head):
            raise UpstreamBroken("it did not start the lost session again")
        session = replace(forward.session, session_id=session_id, machine=machine.decode("ascii", "replace"))
        notice = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
        await self._ask(forward, session.headers(), notice)
        self._remember(capsule, session)
        self._observers.happened(Event.SESSION_RESTORED, session.server)
        return session

    def _remember(self, capsule: bytes, session: PinnedSession) -> None:
        if len(self._successors) >= _MAX_SUCCESSORS:
            del self._successors[next(iter(self._successors))]
        self._successors[capsule] = session
        self.generation += 1

    async def _ask(
        self, forward: Forward, extra: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> tuple[ResponseHead, bytes]:
        headers = [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json, text/event-stream"),
            (b"accept-encoding", b"identity"),
            *(header for header in forward.headers if header[0] == PRINCIPAL_HEADER.encode("ascii")),
            *extra,
        ]
        upstream = forward.upstream
        head = RequestHead(
            method=b"POST",
            target=upstream.path.encode("ascii"),
            authority=upstream.authority.encode("ascii"),
            headers=headers,
            content_length=len(body),
        )
        response = BufferedResponse(self._relay.limits)
        exchange = await self._relay.open(forward.address, head.encode() + body, response, chunked=False)
        exchange.complete_request()
        try:
            return await response.head(), await response.read_whole(_MAX_ANSWER_BYTES)
        finally:
            exchange.abort()
