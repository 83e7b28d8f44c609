"""Sessions that a gateway opens by a name of its own choice, so that no gateway has to remember them.

A gateway that serves many servers at one address has a session with each of them behind every session of its clients.
It names them after its client's session, and whichever replica asks next, also after a restart, gets the one that is
there: with its process, its log level and its subscriptions. The name is a secret that only gateways can work out, and
it is good for the principal alone that opened the session.
"""

import anyio

from gateway.adapter.http.pool import SessionPool
from gateway.adapter.http.session import Session
from gateway.protocol.messages import Message, decode_line, read_message

_Key = tuple[str, str]
"""Principal and name."""


class NamedSessions:
    """The sessions of a pool that have names."""

    def __init__(self, pool: SessionPool) -> None:
        self._pool = pool
        self._opened: dict[_Key, tuple[str, bytes]] = {}
        self._locks: dict[_Key, anyio.Lock] = {}

    async def open(self, message: Message, principal: str, name: str) -> tuple[Session, bytes]:
        """The session of that name with its answer to `initialize`; made where there is none.

        Raises:
            NoRoom, Refused, AdapterFailure: as `SessionPool.open`.
        """
        key = (principal, name)
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                known = self._known(key)
                if known is None:
                    known = await self._pool.open(message, principal)
                    self._keep(key, known)
                return known[0], _with_id(known[1], message.raw_id)
        finally:
            if key not in self._opened and not lock.locked():
                self._locks.pop(key, None)

    def _known(self, key: _Key) -> tuple[Session, bytes] | None:
        session_id, body = self._opened.get(key, ("", b""))
        session = self._pool.find(session_id, key[0])
        return (session, body) if session is not None else None

    def _keep(self, key: _Key, opened: tuple[Session, bytes]) -> None:
        """Remember it, and forget the names of sessions that are over, which a pool keeps a bounded number of."""
        for each, (session_id, _) in list(self._opened.items()):
            if not self._pool.has(session_id):
                del self._opened[each]
                self._locks.pop(each, None)
        self._opened[key] = (opened[0].session_id, opened[1])


def _with_id(body: bytes, raw_id: str | None) -> bytes:
    return read_message(decode_line(body)).with_id(raw_id or "null").encode("utf-8")
