"""The values that the control plane thinks in.

Ten types carry a fleet from a commit to a verdict: `Revision`, `ServerSpec`, `DesiredMachine`, `ObservedMachine`,
`Snapshot`, `Action` (in `actions`), `Plan`, `Outcome`, `ServerStatus`, `Pass`. All are frozen: a change is a new value.
None of them can hold a secret's plaintext, because plans, statuses and the store are made of them; secrets travel
beside them as `SecretValue`.

Times are aware and in UTC, durations are seconds and say so in their names, sizes are megabytes of 2**20 bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from reconciler.core.digests import server_digest
from reconciler.core.health_policy import HealthPolicy
from reconciler.core.locked import LockDuty, LockedProgram
from reconciler.core.problems import Location, Problem
from reconciler.core.programs import FolderProgram, GitProgram, ImageProgram, PlacedFile
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.remotes import RemoteProgram
from reconciler.core.serving import Serving
from reconciler.core.setbacks import Setback


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One commit of the source repository."""

    commit: str
    """40 hexadecimal digits; for uncommitted files `worktree:` and a digest of their content."""
    branch: str
    source: str
    """The repository without credentials: a URL or a path."""
    subject: str = ""
    """First line of the commit message, for people."""
    committed_at: datetime | None = None

    @property
    def committed(self) -> bool:
        """Whether it is a commit, as against files that lie in a directory."""
        return ":" not in self.commit

    @property
    def short(self) -> str:
        """What people read: seven digits."""
        return self.commit[:7] if self.committed else "worktree"


class Registry(StrEnum):
    """Where a package comes from. The manifest states it: guessing the runtime runs another publisher's code."""

    NPM = "npm"
    PYPI = "pypi"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageReference:
    """`npm:NAME@VERSION` or `pypi:NAME@VERSION`; an empty version means the newest one."""

    registry: Registry
    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.registry}:{self.name}@{self.version}" if self.version else f"{self.registry}:{self.name}"


Program: TypeAlias = PackageReference | GitProgram | FolderProgram | ImageProgram | RemoteProgram
"""What a server runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """The size of a machine, in Fly's words (flyctl `machine update`: kinds, CPU counts and memory steps)."""

    cpu_kind: str = "shared"
    cpus: int = 1
    memory_mb: int = 512


class IdleAction(StrEnum):
    """What happens to a machine that nobody calls."""

    SUSPEND = "suspend"
    STOP = "stop"
    KEEP = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many machines a server has: `minimum` stay awake, up to `maximum` exist."""

    minimum: int = 0
    maximum: int = 1
    idle: IdleAction = IdleAction.SUSPEND
    idle_after_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretDeclaration:
    """That a server needs a secret, and which file holds it. Never the value."""

    name: str
    """The environment variable of the server."""
    file: str
    """The file with the encrypted value, relative to the followed directory: the manifest or a file of its own."""
    inline: bool
    """Whether the value stands in the manifest, at `servers.NAME.secrets.VARIABLE`."""
    location: Location | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server as the manifest asks for it, defaults merged in."""

    fleet: str
    name: str
    package: Program
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    files: tuple[PlacedFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[SecretDeclaration, ...] = ()
    """Sorted by name. Values are never part of a spec."""
    regions: tuple[str, ...] = ("iad",)
    guest: Guest = field(default_factory=Guest)
    scale: Scale = field(default_factory=Scale)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    entrypoint: str = ""
    """The executable of the package to run where it has several; empty lets the rules choose."""
    serving: Serving = field(default_factory=Serving)
    depends_on: tuple[str, ...] = ()
    """Servers of the same fleet that must be as desired and healthy before this one changes."""
    resolve_as_of: str = ""
    """`latest` or a date; empty resolves dependencies as of the package's publication."""
    suspended: bool = False
    description: str = ""
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    location: Location | None = None
    program_location: Location | None = None
    locked: LockedProgram | None = None
    """What `catwalk.lock` says about it, fitting or not."""
    lock_duty: LockDuty = LockDuty.NONE

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names alone, sorted."""
        return tuple(secret.name for secret in self.secrets)

    @property
    def app(self) -> str:
        """The Fly app of this server: names are global, so the fleet is the prefix."""
        return f"{self.fleet}-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredMachine:
    """One machine that should exist, with everything that decides whether the existing one is the same."""

    app: str
    server: str
    name: str
    """Deterministic and unique in the app, so that a create that is repeated is refused with the id to adopt."""
    region: str
    config: str
    """The Machines API config without metadata, as canonical JSON (sorted keys, no spaces)."""
    digest: str
    """SHA-256 over `config`, `region` and the keyed digests of the secrets, in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredServer:
    """A server with its machines: what one Fly app should look like."""

    spec: ServerSpec
    machines: tuple[DesiredMachine, ...]

    @property
    def digest(self) -> str:
        """Of all its machines: two servers with one digest are configured alike, secrets included."""
        return server_digest(machine.digest for machine in self.machines)

    @property
    def network(self) -> str:
        """The private network of the app; its own, so that an untrusted server reaches no neighbour."""
        return self.spec.app


class MachineState(StrEnum):
    """Fly's machine states (Fly docs, "Machine states"), and `unknown` for one that this version does not know."""

    CREATED = "created"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    RESTARTING = "restarting"
    UPDATING = "updating"
    REPLACING = "replacing"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class CheckState(StrEnum):
    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The last result of one health check. `output` is what the checked page answered, cut to a few kilobytes."""

    name: str
    state: CheckState
    output: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitEvent:
    """How the process of a machine last ended."""

    exit_code: int
    requested: bool
    """Whether the stop was asked for, as against a crash."""
    out_of_memory: bool = False
    restart_count: int = 0
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedMachine:
    """One machine that the Machines API says exists."""

    app: str
    id: str
    name: str
    state: MachineState
    region: str
    instance_id: str
    """The version of the machine; every update makes a new one."""
    fleet: str = ""
    """From the machine's metadata; empty for a machine that is not ours, which is never touched."""
    server: str = ""
    digest: str = ""
    revision: str = ""
    config: str = ""
    """The owned fields of the config as read back, normalised, as canonical JSON; empty when the host hides it."""
    host_ok: bool = True
    cordoned: bool = False
    checks: tuple[Check, ...] = ()
    last_exit: ExitEvent | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedApp:
    """One app of the organization."""

    name: str
    network: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the Machines API said, and whether it said everything. An incomplete view forbids every destroy."""

    apps: tuple[ObservedApp, ...] = ()
    machines: tuple[ObservedMachine, ...] = ()
    complete: bool = True
    incomplete_reason: str = ""
    platform_time: datetime | None = None
    """When it was, by the clock that the times of the machines are from; none where the platform does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that the planner may look at."""

    fleet: str
    revision: Revision
    desired: tuple[DesiredServer, ...]
    observation: Observation
    blocked: tuple[Problem, ...] = ()
    """Servers that the manifest declares but that cannot be resolved now (`Problem.server`): what runs stays."""
    owned_apps: frozenset[str] = frozenset()
    """Apps that this fleet created, by the memory of earlier passes; lets an app without machines go."""
    now: datetime | None = None
    """The time of the observation, against which setbacks are read; without one no setback holds anything."""
    setbacks: tuple[Setback, ...] = ()
    prune: PrunePolicy = field(default_factory=PrunePolicy)
    loose_secrets: frozenset[str] = frozenset()  # Apps whose secrets may be those of a version that never ran.
    confirmed_prunes: frozenset[str] = frozenset()
    confirmed_apps: frozenset[str] = frozenset()
    """Digests and apps of removals that a person agreed to: what an interruption left needs no second word."""
    former_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """What each server depended on when it last ran, by name: servers go in the opposite order."""
    mute_machines: frozenset[str] = frozenset()
    """Ids of machines that pass their health checks and did not answer MCP: nothing is built on them."""
    gone_back: frozenset[str] = frozenset()
    """Servers whose wanted configuration is an earlier one, because that of the revision did not become healthy."""


class OutcomeKind(StrEnum):
    APPLIED = "applied"
    ADOPTED = "adopted"
    """The thing existed already, from an earlier attempt whose answer was lost."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not tried, because an earlier action of the same server failed or a newer revision arrived."""


class Cause(StrEnum):
    """Root causes of a server that does not answer. The first fourteen are the adapter's, in its words."""

    PACKAGE_NOT_FOUND = "package-not-found"
    VERSION_NOT_FOUND = "version-not-found"
    NO_EXECUTABLE = "no-executable"
    RUNTIME_UNAVAILABLE = "runtime-unavailable"
    INSTALL_FAILED = "install-failed"
    MISSING_VARIABLE = "missing-variable"
    MISSING_ARGUMENTS = "missing-arguments"
    PORT_IN_USE = "port-in-use"
    OUT_OF_MEMORY = "out-of-memory"
    CRASH_LOOP = "crash-loop"
    NOT_AN_MCP_SERVER = "not-an-mcp-server"
    TIMEOUT = "timeout"
    REGISTRY_UNAVAILABLE = "registry-unavailable"
    INTEGRITY_MISMATCH = "integrity-mismatch"
    UNREACHABLE = "unreachable"
    """The data path to the machine is broken: no answer, or an answer that is not MCP."""
    PLATFORM = "platform"
    """The Machines API refused, or the host of the machine does not answer."""
    SOURCE = "source"
    """The manifest, a secret or the package reference is wrong."""


class ServerState(StrEnum):
    """What people see of a server."""

    PENDING = "pending"
    INSTALLING = "installing"
    STARTING = "starting"
    READY = "ready"
    IDLE = "idle"
    DEGRADED = "degraded"
    FAILED = "failed"
    HELD = "held"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """One MCP round trip through the data path: `initialize` (or `server/discover`), then `tools/list`."""

    answered: bool
    tools: tuple[str, ...] = ()
    era: str = ""
    server_name: str = ""
    server_version: str = ""
    duration_ms: float = 0.0
    problem: str = ""
    """Why it did not answer, without secrets; empty when it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """The verdict on one server."""

    server: str
    state: ServerState
    cause: Cause | None = None
    detail: str = ""
    problem: Problem | None = None
    machine_id: str = ""
    package: str = ""
    revision: str = ""
    """The commit whose configuration the machine runs."""
    tools: tuple[str, ...] = ()
    since: datetime | None = None


class Trigger(StrEnum):
    """Why a pass ran. Triggers carry no data: they say "look again"."""

    START = "start"
    COMMIT = "commit"
    POLL = "poll"
    HEALTH = "health"
    COMMAND = "command"
    WEBHOOK = "webhook"
