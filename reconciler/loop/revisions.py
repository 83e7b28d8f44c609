"""From the newest commit to the revision in force.

What fails here never turns into "nothing is desired". A revision that cannot be used is refused with its problems and
the last good one stays in force, read from its own files, so that repair goes on. Files of a commit never change, so
what was accepted once is not read again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.problems import Problem
from reconciler.core.types import Revision
from reconciler.errors import CatwalkError
from reconciler.loop.desired import Accepted, Refusal
from reconciler.loop.faults import problems_of
from reconciler.loop.ports import ManifestReader, Memory, Source
from reconciler.loop.trust import Trust, TrustsAll


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The revision in force, and why it is not the newest one if it is not."""

    accepted: Accepted | None
    refusal: Refusal | None = None


class Revisions:
    """Chooses the revision in force at each look."""

    def __init__(
        self, source: Source, read_manifests: ManifestReader, memory: Memory, trust: Trust | None = None
    ) -> None:
        self._source = source
        self._read_manifests = read_manifests
        self._memory = memory
        self._trust = trust or TrustsAll()
        self._looked_at: Accepted | None = None
        self._newest: Accepted | None = None
        self._good: Accepted | None = None

    async def choose(self) -> Choice:
        """The newest revision if it can be used, else the last good one, else none.

        Raises:
            CatwalkError: the memory cannot say which revision was the last good one.
        """
        head: Revision | None = None
        try:
            head = await self._source.head()
            newest = self._looked_at = await self._read(head)
            await self._trust.check(newest)
        except CatwalkError as error:
            return await self._fall_back(head, problems_of(error))
        self._newest = newest
        return Choice(accepted=newest)

    async def keep_good(self, accepted: Accepted) -> None:
        """Makes a revision the one to fall back to. Asking again for the same one costs nothing."""
        if self._good is None or self._good.revision != accepted.revision:
            await self._memory.keep_last_good(accepted.revision)
            await self._trust.keep(accepted)
            self._good = accepted

    @property
    def former_dependencies(self) -> Mapping[str, tuple[str, ...]]:
        """What each server of the last good revision depends on, as far as this process has seen that revision."""
        specs = self._good.manifests.specs if self._good is not None else ()
        return {spec.name: spec.depends_on for spec in specs if spec.depends_on}

    async def read_again(self, revision: Revision) -> Accepted:
        """An earlier revision, from its own files.

        Raises:
            CatwalkError: its files are gone, or cannot be read as manifests any more.
        """
        return await self._read(revision)

    async def _fall_back(self, head: Revision | None, problems: tuple[Problem, ...]) -> Choice:
        good = await self._memory.last_good()
        if good is None:
            return Choice(accepted=None, refusal=Refusal(revision=head, problems=problems))
        try:
            self._good = await self._read(good)
        except CatwalkError as error:
            # Uncommitted files of an earlier process are gone for good: saying so would bury the problem that counts.
            if good.committed:
                problems += problems_of(error)
            return Choice(accepted=None, refusal=Refusal(revision=head, problems=problems))
        return Choice(accepted=self._good, refusal=Refusal(revision=head, problems=problems))

    async def _read(self, revision: Revision) -> Accepted:
        for known in (self._newest, self._good, self._looked_at):
            if known is not None and known.revision.commit == revision.commit:
                return known
        files = await self._source.files(revision)
        return Accepted(revision=revision, manifests=self._read_manifests(files), files=files)
