"""Lets the callers of a machine that is about to go finish what they do with it.

Fly's proxy knows requests and no MCP sessions: a machine that is taken out of rotation is lost to the sessions that
live in it. So before that the adapter is told (SIGUSR1) to send what begins anew to the other machines, and gets some
seconds in which short sessions end. Longer ones learn that they are gone (404, as MCP has it) and begin anew elsewhere.
`fly deploy` waits ten seconds at the same place.
"""

from typing import Final

from reconciler.core.runner import is_runner
from reconciler.core.types import MachineState
from reconciler.errors import Conflict
from reconciler.fly import machines
from reconciler.fly.observed import host_ok, machine_state
from reconciler.fly.session import Session
from reconciler.fly.wire import MachineEntry

LEAVE_SIGNAL: Final = "SIGUSR1"
"""What makes the adapter begin nothing new. It would end a process that does not expect it."""


async def hand_over(session: Session, app: str, entry: MachineEntry) -> None:
    """Returns when the machine has had its time to finish; at once where nothing could be finished.

    Raises:
        NotFound: it is gone.
    """
    if session.patience.handover_s <= 0 or not _hears(entry):
        return
    try:
        await machines.signal(session.api, app, entry.id, signal=LEAVE_SIGNAL)
    except Conflict:
        return  # It has stopped meanwhile, so that nothing lives in it.
    await session.sleep(session.patience.handover_s)


def _hears(entry: MachineEntry) -> bool:
    runs = machine_state(entry) is MachineState.STARTED and host_ok(entry) and not entry.cordoned
    return runs and is_runner(str(entry.config.get("image", "")))
