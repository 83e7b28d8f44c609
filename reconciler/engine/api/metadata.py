"""Metadata of a machine: read and written without a new version, without a restart, and past every lease."""

from collections.abc import Iterable, Mapping

from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.config import Model
from reconciler.engine.records import Machine
from reconciler.engine.refusals import Refusal


class UpdateMetadata(Model):
    metadata: Mapping[str, str | None]
    machine_version: str | None = None


class UpsertValue(Model):
    value: str


class MetadataRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        whole = "/v1/apps/{app}/machines/{machine}/metadata"
        one = f"{whole}/{{key}}"
        yield Route(method="GET", template=whole, handler=self.show)
        yield Route(method="PUT", template=whole, handler=self.update)
        yield Route(method="PATCH", template=whole, handler=self.update)
        yield Route(method="GET", template=one, handler=self.get)
        yield Route(method="POST", template=one, handler=self.upsert)
        yield Route(method="DELETE", template=one, handler=self.delete)

    async def show(self, request: ApiRequest) -> Answer:
        return Answer(body=dict(self._desk.machine(request).config.metadata or {}))

    async def get(self, request: ApiRequest) -> Answer:
        found = (self._desk.machine(request).config.metadata or {}).get(request.path["key"])
        if found is None:
            raise Refusal(404, "metadata key not found")
        return Answer(body={"value": found})

    async def update(self, request: ApiRequest) -> Answer:
        """Sets and removes several keys at once; the others stay. `null` and the empty text remove."""
        wanted = request.read(UpdateMetadata)
        machine = self._desk.machine(request)
        if wanted.machine_version not in {None, "", machine.instance_id}:
            raise Refusal(412, "failed_precondition: machine version mismatch")
        return await self._change(machine, wanted.metadata)

    async def upsert(self, request: ApiRequest) -> Answer:
        wanted = request.read(UpsertValue)
        return await self._change(self._desk.machine(request), {request.path["key"]: wanted.value})

    async def delete(self, request: ApiRequest) -> Answer:
        return await self._change(self._desk.machine(request), {request.path["key"]: None})

    async def _change(self, machine: Machine, changes: Mapping[str, str | None]) -> Answer:
        merged = {**(machine.config.metadata or {}), **changes}
        self._desk.operations.set_metadata(machine, {key: value for key, value in merged.items() if value})
        await self._desk.inventory.settle()
        return Answer(status=204)
