"""What may cut a pass short: a look that is waited for, an action that has not begun, never one that has."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What may cut a pass short."""

    woken: anyio.Event = field(default_factory=anyio.Event)
    """Ends the health window early: something asked for another look."""
    pressed: anyio.Event = field(default_factory=anyio.Event)
    """Keeps further actions from beginning: the world may be another one, for example by a newer commit."""
    stopping: anyio.Event = field(default_factory=anyio.Event)
    """Keeps further actions from beginning: the process is to end."""
    may_act: Callable[[], bool] = lambda: True
    """Whether this process leads the fleet just now; while it does not, no action begins."""

    def reason_to_stop(self) -> str:
        """Why no further action may begin; empty when one may."""
        if self.stopping.is_set():
            return "Catwalk is stopping"
        if not self.may_act():
            return "this process does not lead the fleet any more"
        return "something newer is to be looked at first" if self.pressed.is_set() else ""
