"""What faults know of the engine and do to it: its machines, its clock, and the facts that texts mention."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.engine import identifiers
from reconciler.engine.clock import NANOSECONDS, rfc3339
from reconciler.engine.faults.answers import Facts
from reconciler.engine.faults.calls import body_of, text_of
from reconciler.engine.faults.effects import ClockJump, Effect, ForeignLease
from reconciler.engine.faults.rules import MACHINE, Call, is_create, on_route
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import Lease
from reconciler.engine.refusals import Service
from reconciler.engine.steering import SteerableClock

UNKNOWN_MACHINE = "00000000000000"
"""The id in the text about a name that is taken, where nobody has the name: an id that answers 404."""
LEASE_S = 60
"""When the lease of a made-up 409 is said to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    inventory: Inventory
    clock: SteerableClock
    region: str

    def prepare(self, call: Call, effects: Sequence[Effect]) -> None:
        """Does what happens in the moment before the call."""
        for effect in effects:
            if isinstance(effect, ClockJump):
                self.clock.jump(effect.seconds)
            elif isinstance(effect, ForeignLease):
                self._lease(call.subject.machine_id, effect)

    def _lease(self, machine_id: str, effect: ForeignLease) -> None:
        machine = self.inventory.machine(machine_id)
        if machine is None:
            return
        lease = Lease(
            nonce=identifiers.nonce(),
            owner=effect.owner,
            description="",
            expires_ns=self.clock.now_ns() + int(effect.ttl_s * NANOSECONDS),
        )
        self.inventory.put_machine(replace(machine, lease=lease))

    def facts(self, call: Call, body: bytes) -> Facts:
        wanted = body_of(body)
        config = wanted.get("config")
        name = call.subject.machine_name or text_of(wanted, "name")
        return Facts(
            machine=self._holder(call.subject.app, name) if is_create(call) else call.subject.machine_id,
            name=name,
            image=text_of(config, "image") if isinstance(config, dict) else "",  # pyright: ignore[reportUnknownArgumentType] - untyped JSON.
            expires_at=rfc3339(self.clock.now_ns() + LEASE_S * NANOSECONDS),
            lease_call=on_route(f"{MACHINE}/lease", call.path),
            service=service_of(call.path),
        )

    def _holder(self, app: str, name: str) -> str:
        """The machine that has a name."""
        found = (machine.id for machine in self.inventory.machines_of(app) if machine.name == name)
        return next(found, UNKNOWN_MACHINE)


def service_of(path: str) -> Service:
    """Apps and their addresses belong to one service, everything else to the other."""
    parts = path.split("/")
    is_app = parts[1:3] == ["v1", "apps"] and (len(parts) <= 4 or parts[4] == "ip_assignments")
    return Service.APPS if is_app else Service.MACHINES
