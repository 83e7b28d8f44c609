"""Machines: list, create, read, change, and what they have been through."""

import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal

from pydantic import ValidationError

from reconciler.engine import durations, refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route, explained
from reconciler.engine.api.lookup import Desk
from reconciler.engine.api.rendering import event_json, lease_overview, machine_json, summary_json
from reconciler.engine.config import CreateMachine, Duration, Model, StopSignal, UpdateMachine
from reconciler.engine.keeper import Halt, halt_of
from reconciler.engine.records import Machine, State

EVENTS_LIMIT = 20
METADATA_FILTER = "metadata."


class StopRequest(Model):
    signal: StopSignal | None = None
    timeout: Duration | None = None


class SignalRequest(Model):
    signal: Literal[
        "SIGABRT", "SIGALRM", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSEGV",
        "SIGTERM", "SIGTRAP", "SIGUSR1", "SIGUSR2",
    ]  # fmt: skip


class MachineRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._inventory = desk.inventory
        self._operations = desk.operations

    def routes(self) -> Iterable[Route]:
        machines, machine = "/v1/apps/{app}/machines", "/v1/apps/{app}/machines/{machine}"
        for method, template, handler in (
            ("GET", machines, self.list),
            ("POST", machines, self.create),
            ("GET", machine, self.show),
            ("POST", machine, self.update),
            ("DELETE", machine, self.destroy),
            ("POST", f"{machine}/start", self.start),
            ("POST", f"{machine}/stop", self.stop),
            ("POST", f"{machine}/restart", self.restart),
            ("POST", f"{machine}/signal", self.signal),
            ("POST", f"{machine}/suspend", self.suspend),
            ("POST", f"{machine}/cordon", self.cordon),
            ("POST", f"{machine}/uncordon", self.uncordon),
            ("GET", f"{machine}/events", self.events),
            ("GET", f"{machine}/versions", self.versions),
        ):
            yield Route(method=method, template=template, handler=handler)

    async def list(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        listed = (one for one in self._inventory.machines_of(app.name) if self._desk.is_listed(one.created_ns, request))
        wanted = filter(_filter(request), listed)
        if request.flag("summary"):
            return Answer(body=[summary_json(machine) for machine in wanted])
        return Answer(body=[self._listed(machine, leases=request.flag("include_leases")) for machine in wanted])

    def _listed(self, machine: Machine, *, leases: bool) -> dict[str, object]:
        rendered = machine_json(machine, self._inventory)
        lease = self._operations.lease_of(machine) if leases else None
        return {**rendered, "lease": lease_overview(lease)} if lease else rendered

    async def create(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        machine = self._operations.create(app, request.read(CreateMachine))
        await self._inventory.settle()
        return Answer(body=machine_json(machine, self._inventory, nonce=machine.lease.nonce if machine.lease else ""))

    async def show(self, request: ApiRequest) -> Answer:
        return Answer(body=machine_json(self._desk.machine(request), self._inventory))

    async def update(self, request: ApiRequest) -> Answer:
        machine = self._desk.leased_machine(request)
        updated = self._operations.update(machine, request.read(UpdateMachine))
        await self._inventory.settle()
        return Answer(body=machine_json(updated, self._inventory))

    async def start(self, request: ApiRequest) -> Answer:
        previous = self._operations.start(self._desk.leased_machine(request))
        await self._inventory.settle()
        body = {"previous_state": str(previous), "migrated": False, "new_host": "", "message": "", "status": "success"}
        return Answer(body=body)

    async def stop(self, request: ApiRequest) -> Answer:
        wanted = request.read(StopRequest)
        machine = await self._desk.freed_machine(request)
        self._operations.stop(machine, self._halt(machine, wanted.signal, wanted.timeout))
        await self._inventory.settle()
        return Answer(body={"ok": True})

    async def restart(self, request: ApiRequest) -> Answer:
        wanted = _stop_request(request)
        machine = self._desk.leased_machine(request)
        halt = self._halt(machine, wanted.signal, wanted.timeout)
        if request.flag("force_stop"):
            halt = replace(halt, signal=signal.SIGKILL)
        self._operations.restart(machine, halt)
        await self._inventory.settle()
        return Answer(body={"ok": True})

    async def suspend(self, request: ApiRequest) -> Answer:
        self._operations.suspend(self._desk.leased_machine(request))
        await self._inventory.settle()
        return Answer(body={"ok": True})

    async def cordon(self, request: ApiRequest) -> Answer:
        return await self._cordon(request, cordoned=True)

    async def uncordon(self, request: ApiRequest) -> Answer:
        return await self._cordon(request, cordoned=False)

    async def _cordon(self, request: ApiRequest, *, cordoned: bool) -> Answer:
        self._operations.cordon(self._desk.leased_machine(request), cordoned=cordoned)
        await self._inventory.settle()
        return Answer(body={"ok": True})

    async def signal(self, request: ApiRequest) -> Answer:
        wanted = request.read(SignalRequest)
        machine = self._desk.leased_machine(request)
        if run := self._desk.keeper.run_of(machine.id):
            run.signal(signal.Signals[wanted.signal])
        return Answer(body={"ok": True})

    async def destroy(self, request: ApiRequest) -> Answer:
        machine = await self._desk.freed_machine(request)
        self._operations.destroy(machine, force=request.flag("force") or request.flag("kill"))
        await self._inventory.settle()
        return Answer(body={"ok": True})

    async def events(self, request: ApiRequest) -> Answer:
        limit = request.one("limit")
        count = int(limit) if limit.isascii() and limit.isdigit() else EVENTS_LIMIT
        return Answer(body=[event_json(event) for event in self._desk.machine(request).events[:count]])

    async def versions(self, request: ApiRequest) -> Answer:
        machine = self._desk.machine(request)
        return Answer(body=[{"version": item.id, "user_config": item.config.read_back()} for item in machine.versions])

    def _halt(self, machine: Machine, name: str | None, timeout: str | None) -> Halt:
        own = halt_of(machine, self._desk.settings.timings)
        return Halt(
            signal=signal.Signals[name] if name else own.signal,
            timeout_s=durations.seconds(timeout) if timeout else own.timeout_s,
        )


def _stop_request(request: ApiRequest) -> StopRequest:
    """What a restart says in its query; a bare number is seconds there.

    Raises:
        Refusal: 400, as for a body.
    """
    timeout = request.one("timeout")
    span = f"{timeout}s" if timeout.isdigit() else timeout
    query = {"signal": request.one("signal") or None, "timeout": span or None}
    try:
        return StopRequest.model_validate(query)
    except ValidationError as error:
        raise refusals.invalid(explained(error)) from error


def _filter(request: ApiRequest) -> Callable[[Machine], bool]:
    """The list's query parameters: states, regions and metadata; destroyed machines only where asked for."""
    states, regions, deleted = request.words("state"), request.words("region"), request.flag("include_deleted")
    metadata = tuple(_metadata_pairs(request))

    def wanted(machine: Machine) -> bool:
        found = machine.config.metadata or {}
        return (
            (deleted or machine.state is not State.DESTROYED or State.DESTROYED in states)
            and (not states or machine.state in states)
            and (not regions or machine.region in regions)
            and all(found.get(key) == value for key, value in metadata)
        )

    return wanted


def _metadata_pairs(request: ApiRequest) -> Iterator[tuple[str, str]]:
    for name, value in request.query:
        if name.startswith(METADATA_FILTER):
            yield name.removeprefix(METADATA_FILTER), value
