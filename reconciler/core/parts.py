"""What one server contributes to a plan, and the little facts that decide about it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.core.actions import Action, Deferred, Held
from reconciler.core.setbacks import Setback
from reconciler.core.types import ObservedMachine


@dataclass(frozen=True, slots=True)
class Part:
    """Actions for now in their order, and what is held or waits."""

    actions: tuple[Action, ...] = ()
    held: tuple[Held, ...] = ()
    deferred: tuple[Deferred, ...] = ()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.actions or self.held or self.deferred)


def joined(parts: Iterable[Part]) -> Part:
    """Several parts one after the other."""
    found = tuple(parts)
    return Part(
        tuple(action for part in found for action in part.actions),
        tuple(held for part in found for held in part.held),
        tuple(deferred for part in found for deferred in part.deferred),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """That something must not happen yet: until when or what, and whose health that is."""

    until: str
    not_before: datetime | None = None
    awaits: str = ""

    def on(self, action: Action) -> Deferred:
        """The action, deferred."""
        return Deferred(action=action, until=self.until, not_before=self.not_before, awaits=self.awaits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides about one server beside its own machines."""

    complete: bool = True
    """Whether the whole fleet was seen."""
    now: datetime | None = None
    setbacks: tuple[Setback, ...] = ()
    """Those of this server."""
    mute: frozenset[str] = frozenset()
    """Machines that pass their checks and speak no MCP."""
    foreign_names: frozenset[str] = frozenset()
    """Names in the app that belong to machines of others."""
    silent_names: frozenset[str] = frozenset()
    """Those of them whose host does not answer: they may be ours, and nobody can tell."""
    app_exists: bool = False
    loose_secrets: bool = False
    """Whether the secrets of the app may be those of a version that no machine came to run."""
    dependency: Wait | None = None
    """The server that this one depends on and that is not ready."""


@dataclass(slots=True)
class Rotation:
    """Which machines of a server serve while a stage is planned. The last one that must not leave cannot."""

    serving: set[str] = field(default_factory=set[str])
    """Ids."""
    must_serve: bool = False
    """Whether somebody must be awake at any time: `scale.min` is at least 1."""

    def let_go(self, machine: ObservedMachine, *, keep: int = 1) -> bool:
        """Takes a machine out, unless fewer than `keep` would go on serving where somebody must."""
        if machine.id not in self.serving:
            return True
        if self.must_serve and len(self.serving) <= keep:
            return False
        self.serving.discard(machine.id)
        return True
