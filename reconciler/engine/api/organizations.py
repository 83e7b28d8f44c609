"""The org-wide list of machines: one call that sees the whole fleet, in pages, oldest change first."""

from collections.abc import Callable, Iterable
from itertools import islice

from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.api.paging import Position, beginning, cursor_at, page_limit
from reconciler.engine.clock import rfc3339
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import Machine, State
from reconciler.engine.refusals import Refusal


class OrganizationRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._inventory: Inventory = desk.inventory

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template="/v1/orgs/{org}/machines", handler=self.machines)

    async def machines(self, request: ApiRequest) -> Answer:
        if request.path["org"] != self._desk.settings.organization:
            raise Refusal(404, "organization not found")
        after, limit, summary = beginning(request), page_limit(request), request.flag("summary")
        found = sorted(filter(self._filter(request), self._inventory.machines()), key=_position)
        later = (machine for machine in found if _position(machine) > after)
        page = list(islice(later, limit + 1))
        more, page = len(page) > limit, page[:limit]
        body: dict[str, object] = {
            "machines": [_overview(machine, summary=summary) for machine in page],
            "error_regions": [],
            "last_machine_id": page[-1].id if page else "",
            "last_updated_at": rfc3339(page[-1].updated_ns) if page else "",
            "next_cursor": cursor_at(_position(page[-1])) if more else "",
        }
        return Answer(body=body)

    def _filter(self, request: ApiRequest) -> Callable[[Machine], bool]:
        """What the query asks for, read once: a fleet has a thousand machines and a request one query."""
        states, regions = frozenset(request.words("state")), frozenset(request.words("region"))
        deleted = request.flag("include_deleted")

        def wanted(machine: Machine) -> bool:
            return (
                (deleted or machine.state is not State.DESTROYED)
                and (not states or machine.state in states)
                and (not regions or machine.region in regions)
                and self._inventory.app(machine.app) is not None
                and self._desk.is_listed(machine.created_ns, request)
            )

        return wanted


def _position(machine: Machine) -> Position:
    return machine.updated_ns, machine.id


def _overview(machine: Machine, *, summary: bool) -> dict[str, object]:
    overview: dict[str, object] = {
        "id": machine.id,
        "app_name": machine.app,
        "name": machine.name,
        "state": str(machine.state),
        "region": machine.region,
        "version": machine.instance_id,
        "instance_id": machine.instance_id,
        "private_ip": machine.private_ip,
        "created_at": rfc3339(machine.created_ns),
        "updated_at": rfc3339(machine.updated_ns),
    }
    if summary:
        return overview
    config = {
        "image": machine.config.image,
        "guest": machine.config.guest.model_dump(exclude_none=True),
        "metadata": dict(machine.config.metadata or {}),
    }
    return {**overview, "config": config}
