"""Remote servers in a process that stands by: it reads the revision that the leader has put in force, and no more.

Servers with machines need nothing here, because their routes are known from the store. A remote server needs its
secrets, which are in no store, so that each process reads them from the repository itself: when the leader has applied
another revision, and after a pause where that has failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from reconciler.core.actions import Pass
from reconciler.core.remotes import RemoteProgram
from reconciler.core.types import Revision, ServerSpec
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Clock, ManifestReader, SecretReader, Source
from reconciler.loop.remotes import Remotes, RemoteServer

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

PAUSE: Final = timedelta(seconds=30)


@dataclass(slots=True, kw_only=True)
class RemoteFollower:
    """Keeps the remote servers of one process in step with the leader's revision."""

    source: Source
    read_manifests: ManifestReader
    secrets: SecretReader
    remotes: Remotes
    clock: Clock
    _in_force: Revision | None = field(default=None, init=False)
    _failed_at: datetime | None = field(default=None, init=False)

    async def catch_up(self, latest: Pass | None) -> None:
        """Takes over the revision that the leader's last pass had in force. What cannot be read is logged."""
        wanted = latest.applied_revision if latest is not None else None
        if wanted is None or wanted == self._in_force or self._pauses():
            return
        try:
            self.remotes.follow(await self._servers(wanted))
        except CatwalkError as error:
            self._failed_at = self.clock.now()
            log.warning("remote-servers-unread", revision=wanted.short, problem=str(error))
        else:
            self._in_force, self._failed_at = wanted, None

    def _pauses(self) -> bool:
        return self._failed_at is not None and self.clock.now() - self._failed_at < PAUSE

    async def _servers(self, revision: Revision) -> list[RemoteServer]:
        await self.source.head()
        files = await self.source.files(revision)
        specs = self.read_manifests(files).specs
        return [await self._server(spec, files) for spec in specs if isinstance(spec.package, RemoteProgram)]

    async def _server(self, spec: ServerSpec, files: Mapping[str, bytes]) -> RemoteServer:
        if spec.suspended:
            return RemoteServer(spec=spec, is_known=False)
        try:
            return RemoteServer(spec=spec, secrets=await self.secrets.read(spec, files))
        except CatwalkError as error:
            log.warning("remote-server-unread", server=spec.name, problem=str(error))
            return RemoteServer(spec=spec, is_known=False)
