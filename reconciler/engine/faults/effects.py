"""What can go wrong, as values: a closed set, each with the name that it has in JSON.

The cases are those that clients of the platform have reported; each class names what it stands for. Spans are seconds
of the engine's clock.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid")
"""A misspelt key is refused: a fault that silently is another one proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """408: the API waited in vain for the host. `committed`: the host has done it all the same."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["timed-out"] = "timed-out"
    committed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError:
    """A 5xx, before the call had an effect or after."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["server-error"] = "server-error"
    status: Annotated[int, Field(ge=500, le=599)] = 503
    committed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAnswer:
    """The connection is closed without a byte of an answer, after the call had its effect or before."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["lost-answer"] = "lost-answer"
    committed: bool = True


class ConflictReason(StrEnum):
    """The things that a 409 can mean; `empty` and `no-message` tell none of them apart."""

    LEASE = "lease"
    VERSION = "version"
    HOST_MEMORY = "host-memory"
    HOST_CPUS = "host-cpus"
    NO_ADDRESSES = "no-addresses"
    NO_RESOURCES = "no-resources"
    NO_CAPACITY = "no-capacity"
    HOST_DISABLED = "host-disabled"
    GOVERNOR = "governor"
    NAME = "name"
    EMPTY = "empty"
    NO_MESSAGE = "no-message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """409, with the text that the platform gives for the reason; nothing is changed."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["conflict"] = "conflict"
    reason: ConflictReason


class PreconditionReason(StrEnum):
    METADATA = "metadata"
    VOLUME = "volume"
    REPLACING = "replacing"
    CREATED = "created"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreconditionFailed:
    """412, with the text that the platform gives for the reason; nothing is changed."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["precondition-failed"] = "precondition-failed"
    reason: PreconditionReason


@dataclass(frozen=True, slots=True, kw_only=True)
class InsufficientCapacity:
    """422 on a create, with `status: insufficient_capacity`. The rule's `region` says where there is no room."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["insufficient-capacity"] = "insufficient-capacity"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimited:
    """429, without Retry-After, as on the platform. The rule's `times` makes a burst."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["rate-limited"] = "rate-limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestUnknown:
    """400 on a create or an update: an image that was just pushed is not visible yet. `times` says for how many."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["manifest-unknown"] = "manifest-unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedBody:
    """An answer whose JSON ends in the middle, with a length that fits: only a reader of the JSON notices."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["truncated-body"] = "truncated-body"
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """The part of the body that is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowBody:
    """An answer that trickles: its head at once, its body in pieces with a pause before each."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["slow-body"] = "slow-body"
    pause_s: Annotated[float, Field(gt=0)] = 1.0
    pieces: Annotated[int, Field(ge=1, le=1000)] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckTransition:
    """A machine stays in a state that it should leave, until the rule is removed."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["stuck-transition"] = "stuck-transition"
    state: Literal["created", "starting", "stopping", "restarting", "replacing", "destroying"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableHost:
    """The host of a machine is gone: `host_status: unreachable`, `incomplete_config` in place of `config`, lease and
    stop hang, other changes end in 408, only a forced destroy works.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["unreachable-host"] = "unreachable-host"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignLease:
    """Somebody else takes a lease on the machine in the moment before the call."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["foreign-lease"] = "foreign-lease"
    owner: str = "somebody@tokens.fly.io"
    ttl_s: Annotated[float, Field(gt=0)] = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlappingChecks:
    """Health checks of a machine that pass and fail in turn, whatever the machine says."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["flapping-checks"] = "flapping-checks"
    passing: Annotated[int, Field(ge=0)] = 1
    """Results that are left as they are, before the failing ones."""
    critical: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LostCookie:
    """The affinity cookie gets lost on the way in and on the way out: the call lands on a node that lags."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["lost-cookie"] = "lost-cookie"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump:
    """The engine's clock jumps in the moment before the call, forward or back."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    effect: Literal["clock-jump"] = "clock-jump"
    seconds: float


Refusing = Conflict | PreconditionFailed | InsufficientCapacity | RateLimited | ManifestUnknown
"""Effects that take the place of a call."""
Effect = Annotated[
    TimedOut
    | ServerError
    | LostAnswer
    | Conflict
    | PreconditionFailed
    | InsufficientCapacity
    | RateLimited
    | ManifestUnknown
    | TruncatedBody
    | SlowBody
    | StuckTransition
    | UnreachableHost
    | ForeignLease
    | FlappingChecks
    | LostCookie
    | ClockJump,
    Field(discriminator="effect"),
]
