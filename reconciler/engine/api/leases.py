"""Leases: one caller at a time may change a machine. The clock that ends them is the engine's."""

from collections.abc import Iterable
from dataclasses import replace

from pydantic import Field

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import LEASE_HEADER, Desk
from reconciler.engine.api.rendering import lease_json
from reconciler.engine.clock import NANOSECONDS, rfc3339
from reconciler.engine.config import Model
from reconciler.engine.refusals import Refusal

DEFAULT_TTL_S = 60
"""Fly does not document its default."""
LONGEST_TTL_S = 86_400


class LeaseRequest(Model):
    ttl: int = Field(default=0, ge=0, le=LONGEST_TTL_S)
    description: str = ""


class LeaseRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        template = "/v1/apps/{app}/machines/{machine}/lease"
        yield Route(method="GET", template=template, handler=self.show)
        yield Route(method="POST", template=template, handler=self.take)
        yield Route(method="DELETE", template=template, handler=self.release)

    async def show(self, request: ApiRequest) -> Answer:
        machine = self._desk.machine(request)
        lease = self._desk.operations.lease_of(machine)
        if lease is None:
            raise Refusal(404, "lease not found")
        return Answer(body=lease_json(machine, lease, with_nonce=False))

    async def take(self, request: ApiRequest) -> Answer:
        """A new lease, or with the nonce of the present one its refreshment."""
        wanted = request.read(LeaseRequest)
        ttl_s = _ttl(request.one("ttl")) or wanted.ttl or DEFAULT_TTL_S
        machine = self._desk.machine(request)
        held = self._desk.operations.lease_of(machine)
        if held and held.nonce != request.headers.get(LEASE_HEADER):
            text = refusals.lease_text(machine.id, held.owner, rfc3339(held.expires_ns))
            raise Refusal(409, text, body={"status": "error", "message": text, "code": "invalid"})
        lease = self._desk.operations.new_lease(ttl_s, wanted.description)
        if held:
            lease = replace(held, expires_ns=self._desk.clock.now_ns() + ttl_s * NANOSECONDS)
        machine = self._desk.inventory.put_machine(replace(machine, lease=lease))
        await self._desk.inventory.settle()
        return Answer(status=201, body=lease_json(machine, lease, with_nonce=True))

    async def release(self, request: ApiRequest) -> Answer:
        machine = self._desk.leased_machine(request)
        if self._desk.operations.lease_of(machine) is None:
            raise Refusal(404, "lease not found")
        self._desk.inventory.put_machine(replace(machine, lease=None))
        await self._desk.inventory.settle()
        return Answer(body={"status": "success"})


def _ttl(text: str) -> int:
    """The form of fly-go, which sends the time to live in the query."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > LONGEST_TTL_S:
        raise refusals.invalid("ttl must be a number of seconds")
    return int(text)
