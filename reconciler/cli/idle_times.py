"""What the manifests say about idleness, for the embedded engine.

The Machines API has no field for an idle time: Fly's proxy stops what is idle when it gets round to it. The engine of
`catwalk up` can do better, so it is told what the manifests of the newest readable revision ask for. A new idle time
counts at once and restarts nothing, because it is no part of a machine's configuration.
"""

from collections.abc import Mapping

from reconciler.core.manifest_set import ManifestSet
from reconciler.loop.ports import ManifestReader


class IdleTimes:
    """Learns idle times by app from every manifest that is read."""

    def __init__(self) -> None:
        self._seconds: Mapping[str, float] = {}

    def of(self, app: str) -> float | None:
        """Seconds that the machines of an app may have nothing to do; None for an app of no manifest."""
        return self._seconds.get(app)

    def learning(self, read_manifests: ManifestReader) -> ManifestReader:
        """The same reader, listened to."""

        def read(files: Mapping[str, bytes]) -> ManifestSet:
            found = read_manifests(files)
            self._seconds = {spec.app: spec.scale.idle_after_s for spec in found.specs}
            return found

        return read
