"""What a plan is made of: the closed set of things that Catwalk does to a fleet, and what came of each.

Every action carries its reason in words. The reason is for people and is never read by a decision.
"""

from dataclasses import dataclass
from datetime import datetime

from reconciler.core.gateway_rules import GatewayRules
from reconciler.core.problems import Problem
from reconciler.core.types import DesiredMachine, OutcomeKind, Revision, ServerStatus, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field of a machine config, before and after, as JSON text; a dotted path such as `init.cmd`."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApp:
    server: str
    app: str
    network: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocateAddress:
    """A Flycast address in the gateway's network, the only way in. Doing it twice changes nothing."""

    server: str
    app: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSecrets:
    """Makes the app's secrets exactly these names. Values come from the pass, by server and name; others are unset."""

    server: str
    app: str
    names: tuple[str, ...]
    reason: str
    settles: bool = False
    """Whether the machines are as wanted already: then nothing about the secrets is left to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    server: str
    app: str
    machine: DesiredMachine
    reason: str
    replaces: str = ""
    """The name of the machine that serves until this one is healthy; empty where there is none."""
    changes: tuple[FieldChange, ...] = ()
    """Against the machine that it replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replaces the whole config of a machine in place, provided that it is still at `instance_id`."""

    server: str
    app: str
    machine: DesiredMachine
    machine_id: str
    instance_id: str
    changes: tuple[FieldChange, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    server: str
    app: str
    machine_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    server: str
    app: str
    machine_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cordon:
    """Takes a machine out of the proxy's rotation; calls in flight end. What is cordoned can still be destroyed."""

    server: str
    app: str
    machine_id: str
    machine_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncordon:
    """Puts a machine back into the proxy's rotation."""

    server: str
    app: str
    machine_id: str
    machine_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    server: str
    app: str
    machine_id: str
    machine_name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestroyApp:
    """Removes an app of ours with all that is in it."""

    server: str
    app: str
    reason: str


AppAction = CreateApp | AllocateAddress | SetSecrets | DestroyApp
MachineAction = Create | Update | Start | Stop | Cordon | Uncordon | Destroy
Action = AppAction | MachineAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something that the plan would do and does not, with the reason and what would release it."""

    server: str
    summary: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """An action that belongs to the plan and waits for something: the next stage, another server, or a time."""

    action: Action
    until: str
    """What it waits for, in words."""
    not_before: datetime | None = None
    """The time it waits for, if it waits for one; else it waits for what is observed."""
    awaits: str = ""
    """The server whose health it waits for: its own or one that it depends on; empty where it waits for no server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """A removal above the budget, which a person may agree to by its digest."""

    digest: str
    apps: tuple[str, ...]
    reason: str

    @property
    def command(self) -> str:
        """What a person types to agree."""
        return f"catwalk apply --confirm-prune {self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The pure difference between desired and observed, in the order in which it is applied within each server."""

    fleet: str
    revision: Revision
    actions: tuple[Action, ...]
    held: tuple[Held, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    """What follows when what it waits for has come; a pass plans again then."""
    prune: PruneRequest | None = None
    unchanged: tuple[str, ...] = ()
    """Servers that need nothing."""
    digest: str = ""
    """SHA-256 over what would be done and to which version of what; `catwalk apply --plan` compares it."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do now; there may be something that waits."""
        return not self.actions

    @property
    def awaited(self) -> frozenset[str]:
        """Servers that must become healthy before the next stage of the plan can come."""
        return frozenset(deferred.awaits for deferred in self.deferred if deferred.awaits)

    @property
    def next_attempt(self) -> datetime | None:
        """The earliest time that anything waits for; none where nothing waits for a time."""
        return min((found.not_before for found in self.deferred if found.not_before is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one action."""

    action: Action
    kind: OutcomeKind
    machine_id: str = ""
    detail: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One run of: gates, observe, plan, apply, observe, verdict, report. Recorded also when it failed."""

    number: int
    trigger: Trigger
    started_at: datetime
    finished_at: datetime
    fleet: str = ""
    revision: Revision | None = None
    """The revision that was looked at; it may be refused."""
    applied_revision: Revision | None = None
    """The revision whose configuration is in force: the last good one."""
    problems: tuple[Problem, ...] = ()
    plan: Plan | None = None
    outcomes: tuple[Outcome, ...] = ()
    waiting: tuple[Deferred, ...] = ()
    """What of the plan still waited for something when the pass ended; later passes go on with it."""
    statuses: tuple[ServerStatus, ...] = ()
    gateway: GatewayRules | None = None
    """Who may use the servers, by the revision in force; none when no revision is."""

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do and nothing went wrong."""
        undone = any(outcome.kind in {OutcomeKind.FAILED, OutcomeKind.SKIPPED} for outcome in self.outcomes)
        return not self.problems and not undone and not self.waiting
