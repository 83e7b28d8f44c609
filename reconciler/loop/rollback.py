"""Servers that go back: each to the newest configuration of its own that was seen healthy.

What is remembered of a good configuration is only where it stands: its commit and its digest. It is read again from the
files of that commit, secrets included, so that no plaintext and no old manifest is kept anywhere but in git. Where that
commit cannot be read any more there is nothing to go back to, and the hold says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from reconciler.core.holds import GoodServer, Hold
from reconciler.core.rollback import has_failed
from reconciler.core.types import ServerStatus
from reconciler.errors import CatwalkError
from reconciler.loop.desired import Accepted, Desired, ResolvedServer
from reconciler.loop.ports import Clock, Memory
from reconciler.loop.revisions import Revisions
from reconciler.loop.servers import Resolver

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """What reads an old revision again."""

    revisions: Revisions
    resolver: Resolver


class Rollback:
    """Puts the last good configuration in the place of one that did not become healthy."""

    def __init__(self, memory: Memory, clock: Clock, readers: Readers) -> None:
        self._memory = memory
        self._clock = clock
        self._readers = readers
        self._good: Mapping[str, GoodServer] | None = None
        self._fallbacks: dict[tuple[str, str], ResolvedServer] = {}

    async def settle(
        self, accepted: Accepted, servers: Sequence[ResolvedServer], *, retry: bool, look_only: bool = False
    ) -> tuple[ResolvedServer, ...]:
        """The servers of a revision, those that are held with their fallback. Holds that are over end here.

        Args:
            accepted: the revision in force.
            servers: its servers as it asks for them.
            retry: ends every hold, because a person asked for another try.
            look_only: forgets nothing, because somebody only wants to know.

        Raises:
            CatwalkError: the memory does not answer.
        """
        self._good = await self._memory.good_servers()
        holds = {hold.server: hold for hold in await self._memory.holds()}
        by_name = {server.spec.name: server for server in servers}
        over = [name for name, hold in holds.items() if retry or _is_over(hold, accepted, by_name.get(name))]
        if over and not look_only:
            await self._memory.release_holds(over)
        standing = {name: hold for name, hold in holds.items() if name not in over}
        settled = [await self._go_back(server, standing.get(server.spec.name)) for server in servers]
        self._forget_others(standing)
        return tuple(settled)

    async def hold_failed(self, desired: Desired, statuses: Iterable[ServerStatus]) -> Desired:
        """Holds every server whose new configuration has failed, and puts its fallback in its place.

        Returns `desired` itself when there is none. A server that was never seen healthy has nothing to go back to and
        is left to its failure; so is one that fails with the configuration that once was good.

        Raises:
            CatwalkError: a hold could not be made durable; then that server stays as it is.
        """
        trials = desired.trials
        failed = [status for status in statuses if self._is_failed_trial(trials.get(status.server), status)]
        if not failed or desired.accepted is None:
            return desired
        held: dict[str, ResolvedServer] = {}
        for status in failed:
            held[status.server] = await self._hold(trials[status.server], status, desired.accepted.revision.commit)
        return replace(desired, servers=tuple(held.get(server.spec.name, server) for server in desired.servers))

    async def keep_good(self, arrived: Sequence[GoodServer]) -> None:
        """Remembers the configurations that were seen healthy. One that is known already keeps its commit.

        Raises:
            CatwalkError: the memory does not answer.
        """
        known = self._good or {}
        fresh = [good for good in arrived if good.server not in known or known[good.server].digest != good.digest]
        if fresh:
            await self._memory.keep_good_servers(fresh)
            self._good = {**known, **{good.server: good for good in fresh}}

    def _is_failed_trial(self, server: ResolvedServer | None, status: ServerStatus) -> bool:
        if server is None or server.desired is None or not has_failed(server.spec, status, now=self._clock.now()):
            return False
        good = (self._good or {}).get(status.server)
        return good is not None and good.digest != server.desired.digest

    async def _hold(self, server: ResolvedServer, status: ServerStatus, commit: str) -> ResolvedServer:
        assert server.desired is not None
        hold = Hold(
            server=status.server,
            commit=commit,
            digest=server.desired.digest,
            cause=status.cause,
            detail=status.detail,
            held_at=self._clock.now(),
        )
        gone_back = await self._go_back(server, hold)
        assert gone_back.hold is not None
        await self._memory.hold(gone_back.hold)
        log.warning("server-held", server=hold.server, commit=commit, fallback=gone_back.hold.fallback)
        return gone_back

    async def _go_back(self, server: ResolvedServer, hold: Hold | None) -> ResolvedServer:
        """The server as it was when it was last seen healthy; as it is wanted now where there is no way back."""
        if hold is None or server.desired is None:
            return server
        good = (self._good or {}).get(hold.server)
        if good is None or good.digest == hold.digest:
            return replace(server, hold=replace(hold, fallback=""))
        try:
            fallback = await self._fallback(good)
        except CatwalkError as error:
            detail = f"{hold.detail}; {good.revision.short} cannot be used again: {error.problem.message}"
            return replace(server, hold=replace(hold, fallback="", detail=detail))
        return replace(fallback, hold=replace(hold, fallback=good.revision.commit))

    async def _fallback(self, good: GoodServer) -> ResolvedServer:
        key = (good.server, good.revision.commit)
        if key not in self._fallbacks:
            accepted = await self._readers.revisions.read_again(good.revision)
            self._fallbacks[key] = await self._readers.resolver.resolve_one(accepted, good.server)
        return self._fallbacks[key]

    def _forget_others(self, standing: Mapping[str, Hold]) -> None:
        self._fallbacks = {key: found for key, found in self._fallbacks.items() if key[0] in standing}


def _is_over(hold: Hold, accepted: Accepted, server: ResolvedServer | None) -> bool:
    """Whether another commit is in force, or the commit means another configuration than it did.

    A server that is blocked now says nothing about its configuration, so its hold stands.
    """
    if hold.commit != accepted.revision.commit or server is None:
        return True
    return server.desired is not None and server.desired.digest != hold.digest
