"""A gateway with one server, `everything`: `python -m tests.conformance.serve_gateway PORT UPSTREAM_PORT`.

Its common address leaves names as they are, because there is one server.
"""

import sys

import uvicorn

from gateway.aggregate.names import Prefix
from gateway.aggregate.settings import AggregateSettings
from gateway.app import Readiness, create_app
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings


def main() -> None:
    port, upstream_port = map(int, sys.argv[1:])
    route = Upstream(
        server="everything",
        app="acme-everything",
        host="127.0.0.1",
        port=upstream_port,
        # The server itself checks its Host, as servers do that are not behind an adapter.
        authority=f"127.0.0.1:{upstream_port}",
    )
    settings = GatewaySettings(session_key=b"k" * 32, aggregate=AggregateSettings(prefix=lambda: Prefix.UNLESS_ALONE))
    app = create_app(settings, RouteTable([route]), lambda: Readiness(is_ready=True))
    uvicorn.run(app, host="127.0.0.1", port=port, http=app.http_protocol, ws="none", log_config=None, access_log=False)


if __name__ == "__main__":
    main()
