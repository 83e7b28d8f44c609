"""The fleet whose name the manifest tells.

A door to machines must know its fleet's name, and the name stands in the manifest, which a pass reads first.
`NamedFleet` therefore listens to the manifest reader and opens the door when the name is known. A name never changes
while machines carry the old one: they would be nobody's, and run on for ever.
"""

from collections.abc import Callable, Mapping

from reconciler.core.actions import Action, Outcome
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location
from reconciler.core.types import Observation, Revision, ServerSpec
from reconciler.errors import InternalFault, SourceError
from reconciler.loop.ports import Fleet, ManifestReader, ServerSecrets

OpenFleet = Callable[[str, str], Fleet]
"""From the names of fleet and organization to its door."""


class NamedFleet:
    """Implements the `Fleet` port and wraps the `ManifestReader` port."""

    def __init__(self, read_manifests: ManifestReader, open_fleet: OpenFleet, *, known_name: str = "") -> None:
        """`known_name` is the fleet that earlier passes worked on; empty on the first start."""
        self._read_manifests = read_manifests
        self._open_fleet = open_fleet
        self._known_name = known_name
        self._fleet: Fleet | None = None
        self._specs: Mapping[str, ServerSpec] = {}

    @property
    def name(self) -> str:
        """Empty until a manifest has been read."""
        return self._known_name

    @property
    def specs(self) -> Mapping[str, ServerSpec]:
        """The servers of the manifests that were read last, by name."""
        return self._specs

    def read_manifests(self, files: Mapping[str, bytes]) -> ManifestSet:
        """Reads the manifests and learns the name.

        Raises:
            SourceError: the name is another one than before.
            InvalidManifests: as the reader does.
        """
        found = self._read_manifests(files)
        if self._known_name and found.fleet != self._known_name:
            raise SourceError(
                "fleet-renamed",
                f"the fleet was called {self._known_name} and is now called {found.fleet}",
                hint="its machines carry the old name: keep it, or remove all servers under it before renaming",
                location=Location(file=found.files[0]) if found.files else None,
            )
        self._known_name = found.fleet
        self._specs = {spec.name: spec for spec in found.specs}
        if self._fleet is None:
            self._fleet = self._open_fleet(found.fleet, found.organization)
        return found

    async def observe(self, *, glance: bool = False) -> Observation:
        return await self._opened().observe(glance=glance)

    async def apply(self, action: Action, *, secrets: ServerSecrets, revision: Revision) -> Outcome:
        return await self._opened().apply(action, secrets=secrets, revision=revision)

    def _opened(self) -> Fleet:
        if self._fleet is None:
            raise InternalFault("fleet-unnamed", "machines were asked for before any manifest was read")
        return self._fleet
