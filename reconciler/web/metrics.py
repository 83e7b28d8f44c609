"""`/metrics`: what Prometheus collects.

Collectors come with the address of the machine, so that a service cannot put this page behind the rule about `Host`,
which handlers that the gateway is given are behind; `MetricsPage` is a plugin for that reason. On loopback nobody but
this machine comes, and the rule protects from pages in its browser: there the plain handler is right.
"""

from litestar import MediaType, Request, Response, get
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.plugins import InitPlugin
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class MetricsPage(InitPlugin):
    """Serves one registry at `/metrics`, in the format that the collector asks for (text, or OpenMetrics)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.route_handlers.append(metrics_handler(self._registry))
        return app_config


def metrics_handler(registry: CollectorRegistry) -> HTTPRouteHandler:
    """The route alone, to be mounted where the rule about `Host` holds."""

    @get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False, include_in_schema=False)
    def read_metrics(request: Request[object, object, State]) -> Response[bytes]:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type, "cache-control": "no-store"})

    return read_metrics
