"""Apps and their addresses: the service whose errors come in the `message` envelope."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace

from pydantic import Field

from reconciler.engine import identifiers, refusals, volumes
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import AFFINITY_COOKIE, Desk
from reconciler.engine.clock import rfc3339
from reconciler.engine.config import Model
from reconciler.engine.records import Address, App, State
from reconciler.engine.refusals import Refusal, Service

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,61}")
NETWORK = r"^[A-Za-z][A-Za-z0-9-]{0,62}$"


class CreateApp(Model):
    name: str = ""
    app_name: str = ""
    """The older name of the same field, which Fly's documentation still shows."""
    org_slug: str = ""
    network: str | None = Field(default=None, pattern=NETWORK)
    enable_subdomains: bool | None = None
    idempotency_key: str | None = None


class AssignAddress(Model):
    type: str = ""
    region: str | None = None
    network: str | None = None
    org_slug: str | None = None
    service_name: str | None = None


class AppRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._inventory = desk.inventory

    def routes(self) -> Iterable[Route]:
        app, addresses = "/v1/apps/{app}", "/v1/apps/{app}/ip_assignments"
        yield Route(method="GET", template="/v1/apps", handler=self.list, service=Service.APPS, needs_query="org_slug")
        for method, template, handler in (
            ("POST", "/v1/apps", self.create),
            ("GET", app, self.show),
            ("DELETE", app, self.delete),
            ("GET", addresses, self.addresses),
            ("POST", addresses, self.assign),
            ("DELETE", f"{addresses}/{{ip}}", self.release),
        ):
            yield Route(method=method, template=template, handler=handler, service=Service.APPS)

    async def list(self, request: ApiRequest) -> Answer:
        slug = request.one("org_slug")
        found = (app for app in self._inventory.apps() if app.organization == slug)
        apps = [self._json(app) for app in found if self._desk.is_listed(app.created_ns, request)]
        return Answer(body={"total_apps": len(apps), "apps": apps})

    async def create(self, request: ApiRequest) -> Answer:
        wanted = request.read(CreateApp)
        name = wanted.name or wanted.app_name
        known = self._known(wanted.idempotency_key or "", name)
        if known is None:
            self._require_name(name, wanted.org_slug)
            known = self._new(name, wanted)
            self._inventory.put_app(known)
            await self._inventory.settle()
        if request.flag("wait"):
            await self._desk.clock.wait(asyncio.Event(), self._desk.settings.timings.replication_lag_s)
        body = {"id": known.id, "created_at": known.created_ns // 1_000_000}
        cookie = f"{AFFINITY_COOKIE}={identifiers.nonce()}; Path=/v1/apps/{known.name}; HttpOnly"
        return Answer(status=201, body=body, headers={"set-cookie": cookie})

    def _known(self, key: str, name: str) -> App | None:
        """The app that an earlier call with the same idempotency key made."""
        found = next((app for app in self._inventory.apps() if key and app.idempotency_key == key), None)
        if found and name not in {"", found.name}:
            raise Refusal(422, "idempotency_key was used for an app of another name")
        return found

    def _require_name(self, name: str, organization: str) -> None:
        if not organization:
            raise refusals.invalid("org_slug is required")
        if organization != self._desk.settings.organization:
            raise Refusal(404, f"organization {organization} not found")
        if not NAME.fullmatch(name):
            raise refusals.name_invalid()
        if self._inventory.app(name):
            raise refusals.name_taken()

    def _new(self, name: str, wanted: CreateApp) -> App:
        now_ns = self._desk.clock.now_ns()
        return App(
            id=identifiers.machine_id(),
            number=now_ns // 1_000_000 % 1_000_000_000,
            name=name,
            organization=wanted.org_slug,
            network=wanted.network or "default",
            created_ns=now_ns,
            idempotency_key=wanted.idempotency_key or "",
        )

    async def show(self, request: ApiRequest) -> Answer:
        return Answer(body=self._json(self._desk.app(request)))

    async def delete(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        self._inventory.remove_app(app.name)
        for machine in tuple(self._inventory.machines_of(app.name)):
            if machine.state is State.DESTROYED:
                self._inventory.forget_machine(machine)
            else:
                self._desk.operations.destroy(machine, force=True)
        self._desk.logs.forget(app.name)
        await self._inventory.settle()
        await asyncio.to_thread(volumes.remove, self._desk.settings.state_dir, [volume.id for volume in app.volumes])
        return Answer(status=202)

    def _json(self, app: App) -> dict[str, object]:
        machines = [
            machine for machine in self._inventory.machines_of(app.name) if machine.state is not State.DESTROYED
        ]
        return {
            "id": app.id,
            "name": app.name,
            "internal_numeric_id": app.number,
            "status": "deployed" if machines else "pending",
            "network": app.network,
            "machine_count": len(machines),
            "volume_count": len(app.volumes),
            "organization": {"name": app.organization, "slug": app.organization, "internal_numeric_id": 1},
        }

    # Addresses.

    async def addresses(self, request: ApiRequest) -> Answer:
        return Answer(
            body={
                "ips": [_address_json(address, app) for app in [self._desk.app(request)] for address in app.addresses]
            }
        )

    async def assign(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        wanted = request.read(AssignAddress)
        if wanted.type != "private_v6":
            raise refusals.invalid(f"the embedded engine assigns private_v6 addresses only, not {wanted.type!r}")
        address = Address(
            ip=identifiers.flycast_ip(),
            type=wanted.type,
            # Not the app's own network: without a name it is the organization's default one.
            network=wanted.network or "default",
            region=wanted.region or "global",
            created_ns=self._desk.clock.now_ns(),
            service_name=wanted.service_name or "",
        )
        self._inventory.put_app(replace(app, addresses=(*app.addresses, address)))
        await self._inventory.settle()
        return Answer(body=_address_json(address, app))

    async def release(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        kept = tuple(address for address in app.addresses if address.ip != request.path["ip"])
        if len(kept) == len(app.addresses):
            raise Refusal(404, "ip address not found")
        self._inventory.put_app(replace(app, addresses=kept))
        await self._inventory.settle()
        return Answer(status=204)


def _address_json(address: Address, app: App) -> dict[str, object]:
    return {
        "ip": address.ip,
        "region": address.region,
        "shared": False,
        "created_at": rfc3339(address.created_ns),
        "service_name": address.service_name,
        "network": {"name": address.network, "org_slug": app.organization},
    }
