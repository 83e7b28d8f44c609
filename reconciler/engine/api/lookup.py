"""Finds what a path names, or refuses."""

from dataclasses import dataclass

from reconciler.engine import refusals
from reconciler.engine.api.exchange import ApiRequest
from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.inventory import Inventory
from reconciler.engine.keeper import Keeper
from reconciler.engine.logbook import LogBook
from reconciler.engine.operations import Operations
from reconciler.engine.records import App, Machine
from reconciler.engine.settings import EngineSettings, ForeignLease

LEASE_HEADER = "fly-machine-lease-nonce"


AFFINITY_COOKIE = "fly_flaps_affinity"
"""Leads a caller to the node that its app was made on, which has seen every write (fly-go `flaps/flaps.go`)."""


def has_affinity(request: ApiRequest) -> bool:
    cookies = (pair.partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return any(name.strip() == AFFINITY_COOKIE and value for name, _, value in cookies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every group of routes works with."""

    inventory: Inventory
    operations: Operations
    keeper: Keeper
    logs: LogBook
    clock: Clock
    settings: EngineSettings

    def app(self, request: ApiRequest) -> App:
        """Raises: Refusal: 404."""
        app = self.inventory.app(request.path["app"])
        if app is None or not self._has_arrived(app.created_ns, request):
            raise refusals.app_not_found()
        return app

    def machine(self, request: ApiRequest) -> Machine:
        """Raises: Refusal: 404, for the app or for the machine."""
        app = self.app(request)
        machine = self.inventory.machine(request.path["machine"])
        if machine is None or machine.app != app.name or not self._has_arrived(machine.created_ns, request):
            raise refusals.machine_not_found()
        return machine

    def is_listed(self, created_ns: int, request: ApiRequest) -> bool:
        """Whether a list shows an app or a machine yet: lists lag behind more than other reads."""
        return self._is_known(created_ns, self.settings.timings.list_lag_s, request)

    def _has_arrived(self, created_ns: int, request: ApiRequest) -> bool:
        """Whether the node that is asked knows of something: at once the one it was made on, later every other."""
        return self._is_known(created_ns, self.settings.timings.replication_lag_s, request)

    def _is_known(self, created_ns: int, lag_s: float, request: ApiRequest) -> bool:
        """Without a lag everything is known, also what a clock that went back puts into the future."""
        if lag_s <= 0 or has_affinity(request):
            return True
        return created_ns <= self.clock.now_ns() - int(lag_s * NANOSECONDS)

    def leased_machine(self, request: ApiRequest) -> Machine:
        """A machine that the caller may change: nobody else holds a lease on it.

        Raises:
            Refusal: 404, or 409 with the holder and the end of the lease.
        """
        machine = self.machine(request)
        self.operations.require_lease(machine, request.headers.get(LEASE_HEADER, ""))
        return machine

    async def freed_machine(self, request: ApiRequest) -> Machine:
        """As `leased_machine`, but waits for a foreign lease to end: what stop and destroy do on the live API.

        Raises:
            Refusal: 404; 409 where the settings want the documented behaviour.
        """
        if self.settings.foreign_lease is ForeignLease.REFUSES:
            return self.leased_machine(request)
        nonce = request.headers.get(LEASE_HEADER, "")
        while True:
            machine = self.machine(request)
            lease = self.operations.lease_of(machine)
            if lease is None or lease.nonce == nonce:
                return machine
            left_s = (lease.expires_ns - self.clock.now_ns()) / 1e9
            await self.clock.wait(self.inventory.next_change(machine.app), left_s)
