"""Which machines a command is about: those of the `catwalk up` that runs here, those on Fly, or those that rest on this
disk.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from secrets import token_urlsafe

from reconciler.cli.machines_doors import Address, engine_address, fly_address
from reconciler.cli.place import Place, running_endpoint
from reconciler.engine import EngineSettings, run_engine
from reconciler.settings import Settings


def live_machines(place: Place, settings: Settings) -> Address:
    """Machines that can be changed now.

    Raises:
        EnvironmentFault: no `catwalk up` runs here and there is no token for Fly.
    """
    endpoint = running_endpoint(place)
    if endpoint is not None and endpoint.engine_url:
        return engine_address(endpoint.engine_url, endpoint.engine_token, endpoint.proxy_port)
    return fly_address(settings)


@asynccontextmanager
async def readable_machines(place: Place, settings: Settings) -> AsyncGenerator[Address]:
    """Machines that can at least be read: without a running engine or a token, what the stopped engine remembers."""
    endpoint = running_endpoint(place)
    if (endpoint is not None and endpoint.engine_url) or settings.fly_api_token is not None:
        yield live_machines(place, settings)
        return
    resting = EngineSettings(state_dir=place.engine_dir, token=token_urlsafe(32), boot=False)
    async with run_engine(resting) as engine:
        yield engine_address(engine.api_url, engine.token, engine.proxy_port)
