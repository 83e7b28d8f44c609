"""What the engine remembers: apps and machines as values, and the closed sets that they move through.

A record is never changed in place: a change is a new value that `inventory` puts in the old one's place, stores, and
announces. What is not worth a disk write (the result of a health check, a line of a log) is not in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.engine.config import MachineConfig


class State(StrEnum):
    """Fly's machine states, as far as this engine enters them (Fly docs, "Machine states")."""

    CREATED = "created"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESTARTING = "restarting"
    REPLACING = "replacing"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    FAILED = "failed"


SETTLED = frozenset({State.STARTED, State.STOPPED, State.SUSPENDED, State.DESTROYED, State.FAILED})
"""What the wait state `settled` means."""


class Goal(StrEnum):
    """Where a machine is meant to end up. It is stored, so that a restarted engine goes on where it was killed."""

    RUN = "run"
    REST = "rest"
    SLEEP = "sleep"
    """Suspended: its memory is kept."""
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a machine's command ended."""

    code: int
    """As a shell reports it: 128 + the signal's number where a signal ended it."""
    signal: int = 0
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    id: str
    type: str
    status: str
    source: str
    timestamp_ms: int
    request: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    nonce: str
    owner: str
    description: str
    expires_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    id: str
    config: MachineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    id: str
    app: str
    name: str
    region: str
    instance_id: str
    """The version; every update makes a new one."""
    private_ip: str
    config: MachineConfig
    image_digest: str = ""
    """What the image's tag stood for when it was resolved; empty in a state that an earlier version wrote."""
    state: State
    goal: Goal
    created_ns: int
    updated_ns: int
    """Moves with state, configuration and metadata, not with health checks."""
    started_ns: int = 0
    """When the present run began; 0 before the first."""
    min_secrets_version: int = 0
    skip_secrets: bool = False
    cordoned: bool = False
    lease: Lease | None = None
    events: tuple[Event, ...] = ()
    """Newest first, the last `EVENTS_KEPT`."""
    versions: tuple[Version, ...] = ()
    """Newest first, the present one included, the last `VERSIONS_KEPT`."""
    exits_ns: tuple[int, ...] = ()
    """When it ended without being asked to, oldest first; the restart policy counts them."""


EVENTS_KEPT = 30
VERSIONS_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    value: str = field(repr=False)
    digest: str
    created_ns: int
    updated_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    ip: str
    type: str
    network: str
    region: str
    created_ns: int
    service_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    id: str
    name: str
    region: str
    size_gb: int
    encrypted: bool
    fstype: str
    snapshot_retention: int
    """Days."""
    auto_backup_enabled: bool
    created_ns: int
    updated_ns: int = 0
    """0 where it has never been changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployToken:
    digest: str
    """SHA-256 of the token, in hexadecimal; the token itself is known to its holder only."""
    expires_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    id: str
    number: int
    name: str
    organization: str
    network: str
    created_ns: int
    idempotency_key: str = ""
    secrets: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    secrets_version: int = 0
    addresses: tuple[Address, ...] = ()
    deploy_tokens: tuple[DeployToken, ...] = ()
    volumes: tuple[Volume, ...] = ()


class CheckStatus(StrEnum):
    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    name: str
    status: CheckStatus
    output: str
    updated_ns: int
