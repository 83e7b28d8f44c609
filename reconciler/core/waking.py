"""Which machines are started or put back into rotation. What sleeps by right is left asleep.

Fly's proxy wakes machines when calls come; Catwalk starts one only where `scale.min` asks for more awake machines than
there are, and no more than that, because what it would start beyond, Fly would put to sleep again. A machine that
crashed is left to its restart policy and to the verdict.
"""

from collections.abc import Collection, Iterator

from reconciler.core.actions import Action, Start, Uncordon
from reconciler.core.attempts import attempt_of, wait_for
from reconciler.core.machine_health import AWAKE, WAKEABLE, crashed, passing
from reconciler.core.parts import Circumstances, Part, joined
from reconciler.core.standing import Standing
from reconciler.core.types import MachineState, ObservedMachine


def wake(standing: Standing, changing: Collection[int], around: Circumstances) -> Part:
    """Starts for a server that must be awake.

    Args:
        standing: the server.
        changing: numbers of slots that change in this stage; their old machines need no start.
        around: tells what failed before.
    """
    minimum = standing.server.spec.scale.minimum
    if minimum == 0:
        return Part()
    current = [slot.current for slot in standing.slots if slot.current is not None]
    older = [
        slot.others[0]
        for slot in standing.slots
        if slot.current is None and slot.others and slot.number not in changing
    ]
    chosen = _sleepers(current)[: max(0, minimum - _awake(current))]
    missing = minimum - _awake((*current, *older)) - len(chosen)
    chosen += _sleepers(older)[: max(0, missing)]
    return joined(_unless_waiting(_start(machine, minimum), around) for machine in chosen)


def back_into_rotation(standing: Standing, around: Circumstances) -> Part:
    """Machines that are wanted and cordoned; and, while nothing else serves, the old one that still could."""
    return joined(_unless_waiting(action, around) for action in _uncordons(standing))


def _uncordons(standing: Standing) -> Iterator[Uncordon]:
    for slot in standing.slots:
        machine = slot.current
        if machine is not None and machine.cordoned and machine.host_ok:
            yield _uncordon(machine, "it is as wanted and was out of rotation")
    if standing.serving:
        return
    for slot in standing.slots:
        for machine in () if slot.number in standing.well else slot.others:
            if machine.cordoned and machine.host_ok and machine.state is MachineState.STARTED and passing(machine):
                yield _uncordon(machine, "no other machine of the server is healthy")
                return


def _awake(machines: Collection[ObservedMachine]) -> int:
    return sum(machine.state in AWAKE and machine.host_ok for machine in machines)


def _sleepers(machines: Collection[ObservedMachine]) -> list[ObservedMachine]:
    return [machine for machine in machines if machine.state in WAKEABLE and machine.host_ok and not crashed(machine)]


def _start(machine: ObservedMachine, minimum: int) -> Start:
    reason = f"scale.min is {minimum} and the machine is {machine.state}"
    return Start(server=machine.server, app=machine.app, machine_id=machine.id, reason=reason)


def _uncordon(machine: ObservedMachine, reason: str) -> Uncordon:
    return Uncordon(
        server=machine.server, app=machine.app, machine_id=machine.id, machine_name=machine.name, reason=reason
    )


def _unless_waiting(action: Action, around: Circumstances) -> Part:
    wait = wait_for(attempt_of(action), around.setbacks, around.now)
    return Part((action,)) if wait is None else Part(deferred=(wait.on(action),))
