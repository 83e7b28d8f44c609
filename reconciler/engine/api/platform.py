"""What belongs to no app: the regions."""

from collections.abc import Iterable

from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk

PLACES = (
    ("ams", "Amsterdam, Netherlands", 52.3740, 4.8897),
    ("fra", "Frankfurt, Germany", 50.1109, 8.6821),
    ("iad", "Ashburn, Virginia (US)", 39.0438, -77.4874),
    ("nrt", "Tokyo, Japan", 35.6762, 139.6503),
    ("sjc", "San Jose, California (US)", 37.3382, -121.8863),
    ("syd", "Sydney, Australia", -33.8688, 151.2093),
)
"""A few of Fly's regions by code and place. Machines may name any region: here they all are this computer."""


class PlatformRoutes:
    def __init__(self, desk: Desk) -> None:
        self._settings = desk.settings

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template="/v1/platform/regions", handler=self.regions, public=True)

    async def regions(self, _request: ApiRequest) -> Answer:
        """Capital letters as on the wire, where the OpenAPI document has small ones."""
        places = (*PLACES, (self._settings.region, "This computer", 0.0, 0.0))
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
            for code, name, latitude, longitude in dict.fromkeys(places)
        ]
        return Answer(body={"Regions": regions, "Nearest": self._settings.region})
