"""The secrets of the apps in a random fleet: which version's they are, and what is remembered of them.

A version is known by the digest of its machines, and its secrets by a label ("" where it has none). The memory is what
`reconciler.loop.loose_secrets` keeps in the store, written down here a second time and simply.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from reconciler.core.actions import Action, Create, CreateApp, DestroyApp, SetSecrets, Update
from reconciler.core.types import DesiredServer, ObservedMachine

LABELS = ("", "", "s1", "s2")


@dataclass(slots=True)
class KnownVersions:
    """The secrets of every version that was ever made."""

    labels: dict[str, str] = field(default_factory=dict[str, str])
    """By the digest of its machines."""

    def learn(self, server: DesiredServer, label: str) -> None:
        self.labels |= dict.fromkeys((machine.digest for machine in server.machines), label)

    def label(self, server: DesiredServer) -> str:
        return self.labels[server.machines[0].digest]


@dataclass(slots=True, kw_only=True)
class AppSecrets:
    """What the platform keeps for each app."""

    versions: KnownVersions
    labels: dict[str, str] = field(default_factory=dict[str, str])
    """By app."""
    loose: set[str] = field(default_factory=set[str])
    """Apps whose secrets may be those of a version that no machine came to run."""

    @classmethod
    def any_of(
        cls, dice: Random, versions: KnownVersions, apps: Iterable[str], ours: Iterable[ObservedMachine]
    ) -> "AppSecrets":
        """Those of a version that runs; of any version where none does, or where that is what is remembered."""
        made = cls(versions=versions)
        running: dict[str, list[str]] = {}
        for machine in ours:
            running.setdefault(machine.app, []).append(versions.labels[machine.digest])
        for app in sorted(apps):
            if dice.random() < 0.1:
                made.loose.add(app)
            known = [] if app in made.loose else running.get(app, [])
            made.labels[app] = dice.choice(known or LABELS)
        return made

    def begin(self, actions: Iterable[Action]) -> None:
        """Before any of these is done."""
        self.loose |= {action.app for action in actions if isinstance(action, SetSecrets) and not action.settles}

    def done(self, action: Action, server: DesiredServer | None) -> None:
        """An action has succeeded. A machine never boots with the secrets of another version."""
        match action:
            case SetSecrets() if server is not None:
                self.labels[action.app] = self.versions.label(server)
            case CreateApp():
                self.labels[action.app] = ""
            case Create() | Update():
                mine = self.versions.labels[action.machine.digest]
                assert self.labels[action.app] == mine, f"not the secrets of the version: {action}"
            case _:
                pass
        if isinstance(action, Create | Update | DestroyApp) or (isinstance(action, SetSecrets) and action.settles):
            self.loose.discard(action.app)
