"""Writes down who did what: an observer of the gateway, whose lines go to the store and are read on a page.

Calls are counted in memory and written every few seconds, equal ones in one line, so that a thousand calls a second
cost one row and no call waits for a disk. What can be told apart in one such stretch is bounded too: beyond it the
names of tools, which callers choose, are dropped. The log of `gateway.audit` has a line for each call and is not kept.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Final, NamedTuple, Self

import anyio
import structlog

from gateway.observation import EndedCall, Event, Result
from reconciler.cli.gateway_access import FollowedAccess
from reconciler.cli.sign_in import is_local, token_of
from reconciler.core.audit import AuditDeed, AuditKind, AuditLine, AuditQuery, AuditResult, KeptLine
from reconciler.errors import CatwalkError
from reconciler.loop.clock import pause
from reconciler.loop.ports import Clock
from reconciler.loop.store.store import Store
from reconciler.web.audit import AuditReader
from reconciler.web.errors import NotAllowed

FLUSH_S: Final = 2.0
"""How long a line may be missing from the page, and how much a killed process forgets."""
MOST_TOLD_APART: Final = 500
"""Different deeds in one stretch; more are counted without the name of the tool."""
LONGEST_NAME: Final = 128
SIGN_IN_CODES: Final = frozenset({"unauthenticated", "insufficient-scope"})
"""Refusals of `gateway.problems` that are about a credential."""
CALLED: Final = "tools/call"

from_page: ContextVar[bool] = ContextVar("from_page", default=False)
"""Set while a page makes a call through the gateway in the name of the person who looks at it."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.audit")

ReaderOf = Callable[[str], AuditReader]
"""Who looks, by the `Authorization` header; raises `NotAllowed` where that is not known."""


class _Key(NamedTuple):
    """A deed as a tuple, because every call makes one."""

    kind: AuditKind
    who: str
    server: str
    method: str
    tool: str
    result: str
    detail: str = ""


class _Count:
    __slots__ = ("slowest_ms", "times")

    def __init__(self) -> None:
        self.times, self.slowest_ms = 0, 0.0


class AuditBook:
    """Implements the gateway's `Observer` and the pages' `AuditDesk`."""

    def __init__(self, store: Store, clock: Clock, reader: ReaderOf) -> None:
        self._store, self._clock, self._reader = store, clock, reader
        self._counted: dict[_Key, _Count] = {}

    def __deepcopy__(self, memo: object) -> Self:
        """Litestar copies what routers are given; there is one book behind all copies."""
        return self

    def call_ended(self, call: EndedCall) -> None:
        """Tools that were called, and whatever did not go well."""
        result = call.result
        if call.method != CALLED and result is Result.OK:
            return
        kind = AuditKind.TRY if from_page.get() else AuditKind.CALL
        method = (call.method or call.http_method)[:LONGEST_NAME]
        tool = call.name[:LONGEST_NAME] if call.method == CALLED else ""
        self._count(_Key(kind, call.principal, call.server, method, tool, result.value), call.seconds * 1000)

    def stream_changed(self, server: str, change: int) -> None:
        """A stream is told of when it ends, as a call."""

    def happened(self, event: Event, server: str) -> None:
        """Counted by metrics."""

    def refused(self, code: str) -> None:
        """A credential that the gateway does not accept; every other refusal is counted by metrics."""
        if code in SIGN_IN_CODES:
            self.sign_in_refused("gateway", code)

    def sign_in_refused(self, place: str, code: str) -> None:
        """A credential was shown at `place` and is not good."""
        self._count(_Key(AuditKind.SIGN_IN, "", "", place, "", Result.REFUSED.value, code), 0.0)

    def reader(self, authorization: str) -> AuditReader:
        """As `AuditDesk.reader`."""
        return self._reader(authorization)

    async def lines(self, query: AuditQuery) -> Sequence[KeptLine]:
        """As `AuditDesk.lines`, with what was done a moment ago."""
        await self.flush()
        return await self._store.audit(query)

    async def run(self, stop: anyio.Event) -> None:
        """Writes until `stop` is set. Whoever stops writes the rest with `flush`."""
        while not await pause(stop, FLUSH_S):
            await self.flush()

    async def flush(self) -> None:
        """Writes what was counted; what the store does not take now is written with the next."""
        counted, self._counted = self._counted, {}
        if not counted:
            return
        now = self._clock.now()
        try:
            await self._store.note([_line(key, count, now) for key, count in counted.items()])
        except CatwalkError as fault:
            log.warning("audit-not-written", code=fault.problem.code, lines=len(counted))
            for key, count in counted.items():
                self._count(key, count.slowest_ms, times=count.times)

    def _count(self, key: _Key, took_ms: float, *, times: int = 1) -> None:
        counted = self._counted
        count = counted.get(key)
        if count is None:
            if len(counted) >= MOST_TOLD_APART:
                key = key._replace(tool="", detail="too many to tell apart")
            count = counted.setdefault(key, _Count())
        count.times += times
        count.slowest_ms = max(count.slowest_ms, took_ms)


def _line(key: _Key, count: _Count, now: datetime) -> AuditLine:
    deed = AuditDeed(
        kind=key.kind,
        who=key.who[:256],
        result=AuditResult(key.result),
        server=key.server[:LONGEST_NAME],
        method=key.method,
        tool=key.tool,
        detail=key.detail,
    )
    return AuditLine(at=now, deed=deed, times=count.times, slowest_ms=count.slowest_ms)


def everybody(_authorization: str) -> AuditReader:
    """For a gateway that only this machine reaches."""
    return AuditReader(sees_all=True)


def readers_of(access: FollowedAccess, local_token: str) -> ReaderOf:
    """Who may read what, by the rules of `access` as they are then; the local token is of this machine's commands."""

    def reader(authorization: str) -> AuditReader:
        token = token_of(authorization)
        if access.is_open or is_local(token, local_token):
            return AuditReader(sees_all=True)
        grant = access.static_grant(token)
        if grant is None:
            raise NotAllowed("audit-not-yours", "the audit is shown to those who have a token of this gateway")
        return AuditReader(sees_all=grant.opens_everything, name=grant.name)

    return reader
