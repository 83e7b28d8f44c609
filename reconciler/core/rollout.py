"""Which machines of a server may change now: one alone first, then a few at a time.

The first machine of a change goes alone, so that a configuration that does not work meets one machine and no more. Once
one is well at the wanted version, up to `AT_ONCE` may be on their way. A machine that came up and is not healthy counts
as on its way and so holds the rest.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.core.actions import Create, Update
from reconciler.core.attempts import THE_APP, attempt_of, setback_of, still_waiting, wait_for, waiting_words
from reconciler.core.changing import Change
from reconciler.core.parts import Circumstances, Wait
from reconciler.core.setbacks import CAPACITY_CODES, QUOTA_CODES, Setback
from reconciler.core.slots import slot_number
from reconciler.core.standing import Standing

AT_ONCE: Final = 3
"""Machines of one server that may be on their way to the wanted version at the same time."""


def permits(
    standing: Standing, changes: Sequence[Change], around: Circumstances
) -> Iterator[tuple[Change, Wait | None]]:
    """Every change with what it waits for; with nothing it may happen now."""
    whole = around.dependency or wait_for(THE_APP, around.setbacks, around.now)
    room = (AT_ONCE if standing.well else 1) - len(standing.unwell)
    ahead = next((slot.current.name for slot in standing.unwell if slot.current is not None), "")
    for change in changes:
        found = _active(change.action, around)
        if wait := whole or _unseen(change, around):
            yield change, wait
        elif found is not None:
            yield change, Wait(until=waiting_words(found), not_before=found.not_before)
            if not standing.well and found.code not in CAPACITY_CODES | QUOTA_CODES:
                # What failed may be the configuration, and the next machine would only fail with it.
                room, ahead = 0, ahead or change.action.machine.name
        elif room > 0:
            yield change, None
            room, ahead = room - 1, ahead or change.action.machine.name
        else:
            yield change, Wait(until=f"machine {ahead} is healthy", awaits=standing.server.spec.name)


def _unseen(change: Change, around: Circumstances) -> Wait | None:
    """A machine that is not seen may exist where the view ends, and would be changed without care if it did.

    So may one that is seen and does not tell whose it is, because its host is silent: it can be the machine of this
    slot, and another beside it would be followed by the next, and the next.
    """
    slot, server = change.slot, change.action.server
    if any(slot_number(server, name) == slot.number for name in around.silent_names):
        return Wait(until="the host of a machine answers that may be this one")
    if around.complete or slot.others or not around.app_exists:
        return None
    return Wait(until="the whole fleet can be seen")


def _active(action: Create | Update, around: Circumstances) -> Setback | None:
    if not around.setbacks:
        return None
    found = setback_of(attempt_of(action), around.setbacks)
    return found if still_waiting(found, around.now) else None
