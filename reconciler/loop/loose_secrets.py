"""Which apps have secrets that were set for a version which no machine came to run.

Secrets belong to an app and not to a machine, and are set before the machine that needs them is made or changed. Where
that fails and the commit is taken back, the machines are as wanted again, and nothing that can be seen tells that they
will boot with the secrets of the other version. So it is remembered, before secrets are set, that they are ahead of the
machines, and forgotten when a machine has followed them or when they were set for machines that are as wanted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from reconciler.core.actions import Action, Create, DestroyApp, Outcome, SetSecrets, Update
from reconciler.core.types import OutcomeKind
from reconciler.loop.ports import TextShelf

LOOSE_SECRETS: Final = "loose-secrets"
"""The shelf in the store."""


@dataclass(slots=True)
class ShelfOfOneLife:
    """For what need not outlive its process."""

    texts: dict[str, str] = field(default_factory=dict[str, str])

    async def load(self) -> Sequence[tuple[str, str]]:
        return tuple(self.texts.items())

    async def save(self, texts: Mapping[str, str]) -> None:
        self.texts.update(texts)

    async def forget(self, keys: Collection[str]) -> None:
        for key in keys:
            self.texts.pop(key, None)


class LooseSecrets:
    """The apps, by name."""

    def __init__(self, shelf: TextShelf) -> None:
        self._shelf = shelf

    async def apps(self) -> frozenset[str]:
        """Apps whose secrets may be those of a version that never ran.

        Raises:
            CatwalkError: the memory does not answer.
        """
        return frozenset([app for app, _ in await self._shelf.load()])

    async def begin(self, actions: Iterable[Action]) -> None:
        """Told of what is about to be done. Durable when it returns.

        Raises:
            CatwalkError: the memory does not answer; then nothing may be done.
        """
        ahead = {action.app for action in actions if isinstance(action, SetSecrets) and not action.settles}
        if ahead:
            await self._shelf.save(dict.fromkeys(sorted(ahead), "ahead"))

    async def end(self, outcomes: Iterable[Outcome]) -> None:
        """Told of what came of it.

        Raises:
            CatwalkError: the memory does not answer; then secrets are set once more than needed.
        """
        settled = {outcome.action.app for outcome in outcomes if _settles(outcome)}
        if settled and (settled := settled & await self.apps()):
            await self._shelf.forget(sorted(settled))


def _settles(outcome: Outcome) -> bool:
    """A machine that was adopted may run another version than the one that its secrets were set for."""
    action = outcome.action
    if outcome.kind is not OutcomeKind.APPLIED:
        return False
    return isinstance(action, Create | Update | DestroyApp) or (isinstance(action, SetSecrets) and action.settles)
