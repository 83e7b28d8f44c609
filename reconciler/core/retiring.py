"""How a machine goes: out of rotation, stopped gently, destroyed; and never the last one that serves.

Fly destroys at once and calls in flight end with it. So a machine that runs is first taken out of the proxy's rotation
and then stopped, which lets it finish what it has begun. This is the one place where Catwalk stops a machine: idle
machines are put to sleep by Fly, which alone sees the calls that arrive meanwhile.
"""

from collections.abc import Iterator

from reconciler.core.actions import Action, Cordon, Destroy, Held, Stop
from reconciler.core.attempts import attempt_of, wait_for
from reconciler.core.machine_health import AWAKE
from reconciler.core.parts import Circumstances, Part, Rotation, Wait
from reconciler.core.types import MachineState, ObservedMachine


def retire(machine: ObservedMachine, reason: str, around: Circumstances, rotation: Rotation) -> Part:
    """Lets a machine of ours go now, or says why not."""
    if not around.complete:
        return Part(held=(held_by_view(machine),))
    actions = (*_leave(machine, reason), destruction(machine, reason))
    waits = (wait_for(attempt_of(action), around.setbacks, around.now) for action in actions)
    if wait := next((found for found in waits if found is not None), None):
        return Part(deferred=(wait.on(actions[-1]),))
    if not rotation.let_go(machine):
        return Part(deferred=(Wait(until="another machine serves", awaits=machine.server).on(actions[-1]),))
    return Part(actions, held=() if machine.host_ok else (_held_by_host(machine),))


def retire_later(machine: ObservedMachine, reason: str, around: Circumstances, wait: Wait) -> Part:
    """A machine that goes when something has come. It is not promised where the view is incomplete."""
    if not around.complete:
        return Part(held=(held_by_view(machine),))
    return Part(deferred=(wait.on(destruction(machine, reason)),))


def destruction(machine: ObservedMachine, reason: str) -> Destroy:
    """The order alone."""
    return Destroy(
        server=machine.server, app=machine.app, machine_id=machine.id, machine_name=machine.name, reason=reason
    )


def _leave(machine: ObservedMachine, reason: str) -> Iterator[Action]:
    if machine.state not in AWAKE or not machine.host_ok:
        return  # A silent host carries out nothing but the destroy.
    if not machine.cordoned:
        yield Cordon(
            server=machine.server,
            app=machine.app,
            machine_id=machine.id,
            machine_name=machine.name,
            reason=f"{reason}; no new call reaches it",
        )
    if machine.state is MachineState.STARTED:
        reason = "calls in flight may end before it is destroyed"
        yield Stop(server=machine.server, app=machine.app, machine_id=machine.id, reason=reason)


def held_by_view(machine: ObservedMachine) -> Held:
    """That an incomplete view keeps a machine alive."""
    return Held(
        server=machine.server,
        summary=f"machine {machine.id} not destroyed",
        reason="the view of the fleet is incomplete",
    )


def _held_by_host(machine: ObservedMachine) -> Held:
    return Held(
        server=machine.server,
        summary=f"machine {machine.id} may stay for a while",
        reason="its host does not answer; the destroy is done when it does",
    )
