"""How one engine is set up: values handed in by whoever runs it. The engine reads no environment variable."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from reconciler.engine.images import ImageTags


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Time spans in seconds. The defaults suit a person at a keyboard; the platform's own are slower."""

    prepare_s: float = 0.0
    """How long a machine made with `skip_launch` stays `created` and refuses to start (about 9 s on Fly)."""
    replace_s: float = 0.0
    """How long a machine updated at rest is `replacing` and refuses to start (about 3.5 s on Fly)."""
    replication_lag_s: float = 0.0
    """How long a new app or machine is a 404 to a caller without the affinity cookie (up to about 60 s on Fly)."""
    list_lag_s: float = 0.0
    """How long a new machine is missing from lists; the cookie lifts this for its app, never for the organization."""
    start_s: float = 0.0
    """How long a machine is `starting` before its command is started."""
    startup_check_interval_s: float = 0.25
    """Longest pause between health checks until the first one passes: somebody waits for it."""
    default_stop_s: float = 5.0
    """Between the stop signal and the kill, where `stop_config.timeout` is not set."""
    backoff_first_s: float = 0.5
    """Before the first restart; doubles with each one in the window."""
    backoff_limit_s: float = 8.0
    wake_s: float = 60.0
    """How long the proxy holds a request for a machine that is coming up."""
    queue_s: float = 10.0
    """How long the proxy holds a request while every machine is at its hard limit."""
    autostop_tick_s: float = 60.0
    """Between two passes of the autostop loop; each stops at most one machine of an app in a region."""
    autostop_idle_s: float = 300.0
    """How long a machine must have had nothing to do before a pass may stop it."""
    destroyed_kept_s: float = 600.0
    """How long a destroyed machine still answers as `destroyed`."""
    shutdown_s: float = 8.0
    """How long machines may take to stop when the engine ends; then they are killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A sustained rate, and how many calls may come at once after a rest."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What the platform allows for each action and identifier ("Working with the Machines API", Rate limits)."""

    ordinary: Rate = Rate(per_second=1, burst=3)
    machine_reads: Rate = Rate(per_second=5, burst=10)
    app_deletions: Rate = Rate(per_second=100 / 60, burst=100)
    """Counted over all apps together: 100 per minute."""

    @property
    def longest_fill_s(self) -> float:
        """After so long a rest every bucket is full."""
        return max(rate.burst / rate.per_second for rate in (self.ordinary, self.machine_reads, self.app_deletions))


class ForeignLease(StrEnum):
    """What a lease of somebody else does to `stop` and `destroy`, about which the sources disagree."""

    WAITS = "waits"
    """They wait for its end and then happen: measured on the live API."""
    REFUSES = "refuses"
    """They are refused at once, like every other change: Fly's documentation and its Go client."""


def no_idle_time(_app: str) -> float | None:
    """Every machine has the idle time of `Timings`."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    state_dir: Path
    """Made with mode 0700; holds app secrets. One engine at a time."""
    token: str = field(repr=False)
    """What clients must present, as `FlyV1 TOKEN` or `Bearer TOKEN`."""
    readonly_token: str = field(default="", repr=False)
    """A second token, which reads everything and changes nothing. Deploy tokens are made through the API."""
    api_port: int = 0
    """0 lets the system choose."""
    proxy_port: int = 0
    """The port that stands for Flycast; 0 lets the system choose."""
    host: str = "127.0.0.1"
    organization: str = "personal"
    """The slug of the one organization that exists."""
    region: str = "local"
    """The region code of a machine that asks for none. Any region may be asked for; all are this computer."""
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """From the last path component of an image repository to a command, with `{port}`, `{workdir}`, `{cache}`."""
    base_environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """What every machine's environment starts from, such as PATH. Nothing else of this process reaches a machine."""
    cache_dir: Path | None = None
    """Stands for `{cache}`; None means `cache` in the state directory."""
    boot: bool = True
    """False loads the state and serves reads; no machine is started and no change is taken."""
    memory_limits: bool = True
    """Whether machines are held to their memory, where this computer lets the engine do that."""
    control: bool = False
    """Whether `/_engine/…` is served: faults, the clock and the script of a simulation, for whoever has the token."""
    timings: Timings = Timings()
    idle_after_s: Callable[[str], float | None] = no_idle_time
    """From an app to its own idle time in seconds; None leaves it at `Timings.autostop_idle_s`. Asked in every pass of
    the autostop loop, so a new answer counts at once. It is no part of a machine's configuration: the Machines API has
    no such field."""
    foreign_lease: ForeignLease = ForeignLease.WAITS
    tags: ImageTags = field(default_factory=ImageTags)
    """What the tags of images stand for; move one to play a push."""
    rate_limits: RateLimits | None = None
    """None answers as fast as it is asked; `RateLimits()` refuses with a 429 what the platform would refuse."""
