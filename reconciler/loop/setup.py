"""What a reconciler is built from: its doors and its numbers, each bundled in one value by the wiring."""

from dataclasses import dataclass, field

from reconciler.loop.clock import Pause, pause
from reconciler.loop.cut_off import NoIntents, OpenIntents
from reconciler.loop.loose_secrets import ShelfOfOneLife
from reconciler.loop.ports import (
    Clock,
    Fleet,
    Gate,
    ManifestReader,
    Memory,
    PackageCatalog,
    Prober,
    Reporter,
    SecretReader,
    Source,
    TextShelf,
)
from reconciler.loop.progress import Progress, Silence
from reconciler.loop.remotes import NoRemotes, Remotes
from reconciler.loop.trust import Trust, TrustsAll


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The doors of a pass. `gates` are asked in order before anything else; the first that refuses ends the pass."""

    source: Source
    read_manifests: ManifestReader
    secrets: SecretReader
    catalog: PackageCatalog
    fleet: Fleet
    prober: Prober
    reporter: Reporter
    memory: Memory
    clock: Clock
    progress: Progress = field(default_factory=Silence)
    gates: tuple[Gate, ...] = ()
    trust: Trust = field(default_factory=TrustsAll)
    remotes: Remotes = field(default_factory=NoRemotes)
    pause: Pause = pause
    intents: OpenIntents = field(default_factory=NoIntents)
    loose_secrets: TextShelf = field(default_factory=ShelfOfOneLife)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSettings:
    """The numbers of a pass."""

    runner_image: str
    """The image whose entrypoint is the adapter."""
    digest_key: bytes = field(repr=False)
    """Key of the digests by which secrets are compared; see `reconciler.loop.store.digest_key`."""
    concurrency: int = 8
    """Servers that are read at the same time; the limit protects this machine and the registries."""
    probes_at_once: int = 8
    """Servers that are asked for an MCP answer at the same time. Each is asked by the way that its callers take."""
    servers_at_once: int = 8
    """Servers whose actions are under way at the same time. An action takes little but time, so that where machines run
    elsewhere all at once are right; on this machine each start takes a processor."""
    look_again_s: float = 1.0
    """How often the health window looks at servers that are coming up."""
    window_margin_s: float = 10.0
    """How much longer than the grace of a server the window waits, so that the verdict `failed` is still seen."""
    probe_again_s: float = 60.0
    """How often a server that never sleeps is probed again. One that may sleep is probed only when it has changed:
    a probe is traffic, and would keep it awake for ever."""
    lists_lag_s: float = 0.0
    """How long a machine that was made may be missing from lists, and so how long a server waits for which an earlier
    process was making a machine when it was cut off."""
