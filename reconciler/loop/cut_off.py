"""What an earlier process was making when it was cut off, and what may therefore exist unseen.

Lists lag behind what was made, on Fly by up to a minute. A process knows what it has made itself and asks for it by
id; what the process before it was making when it ended has no id that anybody knows. A plan that does not see such a
machine would make another one in its place. So a server with a creation whose outcome nobody knows waits until lists
must show what came of it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from reconciler.core.actions import Action, Create
from reconciler.core.setbacks import Setback

CUT_OFF: Final = "process-ended"


class OpenIntent(Protocol):
    """An action that was announced, and whose outcome nobody recorded."""

    @property
    def action(self) -> Action: ...

    @property
    def recorded_at(self) -> datetime: ...


class OpenIntents(Protocol):
    """Where announced actions are remembered."""

    async def open_intents(self) -> Sequence[OpenIntent]:
        """Those without an outcome.

        Raises:
            CatwalkError: the memory does not answer.
        """
        ...


class NoIntents:
    """For a memory that does not outlive its process."""

    async def open_intents(self) -> Sequence[OpenIntent]:
        return ()


class CutOff:
    """What was open when this process began to plan; what it announces itself, it also ends."""

    def __init__(self, intents: OpenIntents, *, lists_lag_s: float) -> None:
        self._intents = intents
        self._lists_lag = timedelta(seconds=lists_lag_s)
        self._setbacks: tuple[Setback, ...] | None = None

    async def setbacks(self, now: datetime) -> tuple[Setback, ...]:
        """What makes the servers wait whose machines may exist unseen.

        Raises:
            CatwalkError: the memory does not answer.
        """
        if self._setbacks is None:
            found = await self._intents.open_intents()
            self._setbacks = tuple(self._setback(intent, now) for intent in found if isinstance(intent.action, Create))
        self._setbacks = tuple(setback for setback in self._setbacks if setback.not_before > now)
        return self._setbacks

    def _setback(self, intent: OpenIntent, now: datetime) -> Setback:
        # The clock may have been set back since.
        shown_at = min(intent.recorded_at, now) + self._lists_lag
        return Setback(
            server=intent.action.server, machine="", digest="", code=CUT_OFF, attempts=1, not_before=shown_at
        )
