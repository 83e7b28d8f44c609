"""What belongs to no app: the regions."""

from collections.abc import Iterable

from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.places import REGIONS


class PlatformRoutes:
    def __init__(self, desk: Desk) -> None:
        self._settings = desk.settings

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template="/v1/platform/regions", handler=self.regions, public=True)

    async def regions(self, _request: ApiRequest) -> Answer:
        """Capital letters as on the wire, where the OpenAPI document has small ones."""
        known = {self._settings.region: ("This computer", 0.0, 0.0), **REGIONS}
        regions = [
            {
                "code": code,
                "name": name,
                "latitude": latitude,
                "longitude": longitude,
                "gateway_available": True,
                "requires_paid_plan": False,
                "deprecated": False,
                "capacity": 1000,
            }
            for code, (name, latitude, longitude) in known.items()
        ]
        return Answer(body={"Regions": regions, "Nearest": self._settings.region})
