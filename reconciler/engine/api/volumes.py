"""Volumes: create, list, show, change, extend, delete, and the list of the organization."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from pydantic import Field

from reconciler.engine import identifiers, places, refusals, volumes
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.api.paging import Position, beginning, cursor_at, page_limit
from reconciler.engine.clock import rfc3339
from reconciler.engine.config import Model
from reconciler.engine.records import App, Volume
from reconciler.engine.refusals import Refusal

DEFAULT_SIZE_GB = 3
LARGEST_GB = 500
CREATED = "created"
"""The one state that a volume has here as long as it exists."""
SNAPSHOT_DAYS = 5
"""Snapshots are on by default and kept so long (Fly docs, "Volume snapshots"). None is made here."""


class CreateVolume(Model):
    name: str = Field(pattern=r"^[a-z0-9_]{1,30}$")
    region: str | None = None
    size_gb: int | None = Field(default=None, ge=1, le=LARGEST_GB)
    encrypted: bool | None = None
    fstype: str | None = None
    snapshot_retention: int | None = Field(default=None, ge=1, le=60)
    auto_backup_enabled: bool | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None


class UpdateVolume(Model):
    snapshot_retention: int | None = Field(default=None, ge=1, le=60)
    auto_backup_enabled: bool | None = None


class ExtendVolume(Model):
    size_gb: int = Field(ge=1, le=LARGEST_GB)


class VolumeRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        whole, one = "/v1/apps/{app}/volumes", "/v1/apps/{app}/volumes/{volume}"
        yield Route(method="GET", template=whole, handler=self.list)
        yield Route(method="POST", template=whole, handler=self.create)
        yield Route(method="GET", template=one, handler=self.show)
        yield Route(method="PUT", template=one, handler=self.update)
        yield Route(method="DELETE", template=one, handler=self.delete)
        yield Route(method="PUT", template=f"{one}/extend", handler=self.extend)
        yield Route(method="GET", template="/v1/orgs/{org}/volumes", handler=self.of_organization)

    async def list(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        return Answer(body=[self._json(app, volume) for volume in app.volumes])

    async def of_organization(self, request: ApiRequest) -> Answer:
        """Every volume of every app, in pages. Deleted ones are gone at once here and never listed."""
        if request.path["org"] != self._desk.settings.organization:
            raise Refusal(404, "organization not found")
        after, limit = beginning(request), page_limit(request)
        found = sorted(self._wanted(request), key=lambda one: _position(one[1]))
        page = list(islice((one for one in found if _position(one[1]) > after), limit + 1))
        more, page = len(page) > limit, page[:limit]
        last = page[-1][1] if page else None
        body: dict[str, object] = {
            "volumes": [self._org_json(app, volume) for app, volume in page],
            "last_volume_id": last.id if last else "",
            "last_updated_at": rfc3339(_position(last)[0]) if last else "",
            "next_cursor": cursor_at(_position(last)) if last and more else "",
        }
        return Answer(body=body)

    def _wanted(self, request: ApiRequest) -> Iterator[tuple[App, Volume]]:
        regions, states = request.words("region"), request.words("state")
        for app in self._desk.inventory.apps() if not states or CREATED in states else ():
            for volume in app.volumes:
                if not regions or volume.region in regions:
                    yield app, volume

    def _org_json(self, app: App, volume: Volume) -> dict[str, object]:
        return {**self._json(app, volume), "app_name": app.name, "updated_at": rfc3339(_position(volume)[0])}

    async def create(self, request: ApiRequest) -> Answer:
        """Not idempotent: names are not unique, and a repeated call makes a second volume."""
        app, wanted = self._desk.app(request), request.read(CreateVolume)
        if wanted.snapshot_id or wanted.source_volume_id:
            raise refusals.invalid("the embedded engine has no snapshots and forks no volumes")
        volume = Volume(
            id=identifiers.volume_id(),
            name=wanted.name,
            region=places.target(wanted.region or self._desk.settings.region, own=self._desk.settings.region),
            size_gb=wanted.size_gb or DEFAULT_SIZE_GB,
            encrypted=wanted.encrypted is not False,
            fstype=wanted.fstype or "ext4",
            snapshot_retention=wanted.snapshot_retention or SNAPSHOT_DAYS,
            auto_backup_enabled=wanted.auto_backup_enabled is not False,
            created_ns=self._desk.clock.now_ns(),
        )
        app = await self._put(app, (*app.volumes, volume))
        return Answer(body=self._json(app, volume))

    async def show(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        return Answer(body=self._json(app, _found(app, request)))

    async def update(self, request: ApiRequest) -> Answer:
        app, wanted = self._desk.app(request), request.read(UpdateVolume)
        volume = _found(app, request)
        changed = replace(
            volume,
            updated_ns=self._desk.clock.now_ns(),
            snapshot_retention=wanted.snapshot_retention or volume.snapshot_retention,
            auto_backup_enabled=(
                volume.auto_backup_enabled if wanted.auto_backup_enabled is None else wanted.auto_backup_enabled
            ),
        )
        return Answer(body=self._json(await self._change(app, changed), changed))

    async def extend(self, request: ApiRequest) -> Answer:
        """Volumes only grow."""
        app, size_gb = self._desk.app(request), request.read(ExtendVolume).size_gb
        volume = _found(app, request)
        if size_gb <= volume.size_gb:
            raise refusals.invalid(f"size_gb must be more than the present {volume.size_gb}")
        changed = replace(volume, size_gb=size_gb, updated_ns=self._desk.clock.now_ns())
        app = await self._change(app, changed)
        return Answer(body={"needs_restart": False, "volume": self._json(app, changed)})

    async def delete(self, request: ApiRequest) -> Answer:
        app = self._desk.app(request)
        volume = _found(app, request)
        if holder := volumes.holder_of(self._desk.inventory, app.name, volume.id):
            raise refusals.failed_precondition(f"volume {volume.id} is currently attached to machine {holder.id}")
        await self._put(app, tuple(one for one in app.volumes if one.id != volume.id))
        await asyncio.to_thread(volumes.remove, self._desk.settings.state_dir, [volume.id])
        return Answer(body={**self._json(app, volume), "state": "pending_destroy"})

    async def _change(self, app: App, changed: Volume) -> App:
        return await self._put(app, tuple(changed if one.id == changed.id else one for one in app.volumes))

    async def _put(self, app: App, kept: tuple[Volume, ...]) -> App:
        app = replace(app, volumes=kept)
        self._desk.inventory.put_app(app)
        await self._desk.inventory.settle()
        return app

    def _json(self, app: App, volume: Volume) -> dict[str, object]:
        holder = volumes.holder_of(self._desk.inventory, app.name, volume.id)
        rendered: dict[str, object] = {
            "id": volume.id,
            "name": volume.name,
            "state": CREATED,
            "region": volume.region,
            "zone": "local",
            "size_gb": volume.size_gb,
            "encrypted": volume.encrypted,
            "fstype": volume.fstype,
            "snapshot_retention": volume.snapshot_retention,
            "auto_backup_enabled": volume.auto_backup_enabled,
            "host_status": "ok",
            "created_at": rfc3339(volume.created_ns),
        }
        return {**rendered, "attached_machine_id": holder.id} if holder else rendered


def _position(volume: Volume) -> Position:
    return volume.updated_ns or volume.created_ns, volume.id


def _found(app: App, request: ApiRequest) -> Volume:
    for volume in app.volumes:
        if volume.id == request.path["volume"]:
            return volume
    raise Refusal(404, "volume not found")
