"""Reads the desired state for a pass, and tells listeners when it changed.

A health pass takes what the last pass read, unless something in it may have changed without a commit: a registry that
did not answer, a key that was missing, a source that was down.
"""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.core.holds import GoodServer
from reconciler.core.problems import Problem
from reconciler.core.types import Revision, ServerStatus, Trigger
from reconciler.loop.desired import Accepted, Desired, ResolvedServer
from reconciler.loop.packages import PackageChecks
from reconciler.loop.progress import Progress, RevisionAccepted, RevisionRefused, WarningsChanged
from reconciler.loop.remotes import remote_servers
from reconciler.loop.revisions import Revisions
from reconciler.loop.rollback import Readers, Rollback
from reconciler.loop.servers import Resolver
from reconciler.loop.setup import PassSettings, Ports


class DesiredReader:
    """Reads the newest revision, or the last good one, down to resolved servers."""

    def __init__(self, ports: Ports, settings: PassSettings) -> None:
        self._revisions = Revisions(ports.source, ports.read_manifests, ports.memory, ports.trust)
        self._resolver = Resolver(ports.secrets, PackageChecks(ports.catalog, ports.clock), settings)
        readers = Readers(revisions=self._revisions, resolver=self._resolver)
        self._rollback = Rollback(ports.memory, ports.clock, readers)
        self._announcer = Announcer(ports.progress)
        self._remotes = ports.remotes
        self._last: Desired | None = None

    async def read(self, trigger: Trigger, *, retry_held: bool = False, look_only: bool = False) -> Desired:
        """The desired state of now. Failures are part of it; so are servers that are held at an earlier configuration.

        Args:
            trigger: why it is read; a health pass takes what was read last where only a commit could change it.
            retry_held: ends every hold, so that the revision's own configuration is tried once more.
            look_only: writes nothing.

        Raises:
            CatwalkError: the memory cannot say which revision was the last good one.
        """
        if trigger is Trigger.HEALTH and self._last is not None and self._last.final:
            return self._last
        choice = await self._revisions.choose()
        servers: tuple[ResolvedServer, ...] = ()
        if choice.accepted is not None:
            resolved = await self._resolver.resolve_all(choice.accepted)
            servers = await self._rollback.settle(choice.accepted, resolved, retry=retry_held, look_only=look_only)
        self._last = Desired(accepted=choice.accepted, refusal=choice.refusal, servers=servers)
        if choice.accepted is not None and not look_only:
            self._remotes.follow(remote_servers(servers))
        self._announcer.announce(self._last)
        return self._last

    @property
    def in_force(self) -> Desired | None:
        """What was read last; none before the first pass."""
        return self._last

    @property
    def former_dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """What each server depended on before: those that go, go in the opposite order."""
        return self._revisions.former_dependencies

    async def hold_failed(self, desired: Desired, statuses: Iterable[ServerStatus]) -> Desired:
        """Sends servers back whose new configuration has failed; `desired` itself when there is none.

        Raises:
            CatwalkError: a hold could not be made durable.
        """
        self._last = await self._rollback.hold_failed(desired, statuses)
        return self._last

    async def keep_good_servers(self, arrived: Sequence[GoodServer]) -> None:
        """Remembers configurations that were seen healthy."""
        await self._rollback.keep_good(arrived)

    async def keep_good(self, accepted: Accepted) -> None:
        """Makes a revision the one to fall back to."""
        await self._revisions.keep_good(accepted)


class Announcer:
    """Says once what changed about the desired state, however often it is read."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._in_force: Revision | None = None
        self._refused: tuple[Problem, ...] = ()
        self._warned: tuple[Problem, ...] = ()

    def announce(self, desired: Desired) -> None:
        in_force = desired.accepted.revision if desired.accepted else None
        if desired.accepted is not None and in_force != self._in_force:
            manifests = desired.accepted.manifests
            event = RevisionAccepted(
                revision=desired.accepted.revision, warnings=manifests.warnings, gateway=manifests.gateway
            )
            self._progress.on_event(event)
        self._in_force = in_force
        self._announce_refusal(desired, in_force)
        self._announce_warnings(desired)

    def _announce_refusal(self, desired: Desired, in_force: Revision | None) -> None:
        refused = desired.refusal.problems if desired.refusal else ()
        if desired.refusal is not None and refused != self._refused:
            event = RevisionRefused(revision=desired.refusal.revision, problems=refused, in_force=in_force)
            self._progress.on_event(event)
        self._refused = refused

    def _announce_warnings(self, desired: Desired) -> None:
        if desired.warnings != self._warned:
            added = tuple(problem for problem in desired.warnings if problem not in self._warned)
            self._progress.on_event(WarningsChanged(warnings=desired.warnings, added=added))
        self._warned = desired.warnings
