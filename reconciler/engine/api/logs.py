"""The log service: pages of 100 lines, oldest first, and a nanosecond cursor. Another service than the Machines API, on
another host at Fly; here it shares the port under `/api/v1`.
"""

from collections.abc import Iterable

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.clock import rfc3339
from reconciler.engine.logbook import Line
from reconciler.engine.refusals import Service

PAGE = 100


class LogRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template="/api/v1/apps/{app}/logs", handler=self.page)

    async def page(self, request: ApiRequest) -> Answer:
        """Without a token the newest page, else the first page after it, or the same token."""
        app = self._desk.inventory.app(request.path["app"])
        if app is None:
            # Whether an app exists is not told to who may not see it.
            raise refusals.unauthorized(Service.MACHINES)
        instance, region, token = request.one("instance"), request.one("region"), request.one("next_token")

        def wanted(line: Line) -> bool:
            return instance in {"", line.instance} and region in {"", line.region}

        if token and not (token.isascii() and token.isdigit()):
            raise refusals.invalid("next_token must be a time in nanoseconds")
        if token:
            lines = self._desk.logs.after(app.name, int(token), wanted, PAGE)
        else:
            lines = self._desk.logs.newest(app.name, wanted, PAGE)
        following = str(lines[-1].at_ns) if lines else token or str(app.created_ns)
        return Answer(body={"data": [_line_json(line) for line in lines], "meta": {"next_token": following}})


def _line_json(line: Line) -> dict[str, object]:
    meta: dict[str, object] = {"instance": line.instance, "region": line.region, "event": {"provider": line.provider}}
    if line.code:
        meta["error"] = {"code": line.code, "message": line.message}
    attributes: dict[str, object] = {
        "timestamp": rfc3339(line.at_ns),
        "message": line.message,
        "level": line.level,
        "instance": line.instance,
        "region": line.region,
        "meta": meta,
    }
    return {"id": str(line.at_ns), "type": "log", "attributes": attributes}
