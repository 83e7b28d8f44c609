"""Opens the doors to the machines: of the embedded engine that runs here, or of Fly.

Both speak the same API; only addresses and tokens differ. That is the whole difference between trying Catwalk and
running it.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.fly.client import MachinesAPI, OnCall
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.logs import FlyLogs
from reconciler.fly.probe import DataPath, MCPProber
from reconciler.fly.session import LAG_S, Patience
from reconciler.loop.ports import Fleet
from reconciler.settings import Settings

Redact = Callable[[str], str]
HTTP_PORT: Final = 80

FLY_HANDOVER_S: Final = 10.0
"""As long as `fly deploy` waits between two machines of a blue/green change."""
FLY_STARTS_AT_ONCE: Final = 1000
"""Fly limits calls per action and app, and every server is an app of its own: a fleet can be applied in the time of one
server (tests/bench/README.md). How many calls are under way at once is limited in `fly/lanes.py`."""
PROBES_AT_ONCE: Final = 100
"""Of machines elsewhere: as many as the client of the probes has connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where machines are asked for, and how their servers are reached."""

    api_url: str
    logs_url: str
    token: SecretValue | None
    data_path: DataPath
    starts_at_once: int = 8
    """How many servers may be started, changed or stopped at the same time."""
    probes_at_once: int = 8
    """How many may be asked for an MCP answer at the same time."""
    lists_lag_s: float = 0.0
    """How long a new machine may be missing from lists."""
    handover_s: float = 5.0
    """What the callers of a machine get to finish before it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesDoors:
    """Open connections; `open_fleet` gives the door of one fleet of one organization."""

    open_fleet: Callable[[str, str], Fleet]
    logs: FlyLogs
    prober: MCPProber


def engine_address(api_url: str, token: str, proxy_port: int) -> Address:
    """The embedded engine: its log service answers at the same address, and one port stands in for Flycast."""
    return Address(
        api_url=api_url,
        logs_url=api_url,
        token=SecretValue(token),
        data_path=DataPath(host="127.0.0.1", port=proxy_port),
    )


def fly_address(settings: Settings) -> Address:
    """Fly, as the environment has it.

    Raises:
        EnvironmentFault: there is no token.
    """
    if settings.fly_api_token is None:
        raise EnvironmentFault(
            "no-fly-token",
            "no `catwalk up` runs for this directory, and FLY_API_TOKEN is not set",
            hint="start `catwalk up` here to work on this machine, or set FLY_API_TOKEN to work on Fly",
        )
    return Address(
        api_url=settings.fly_api_url,
        logs_url=settings.fly_logs_url,
        token=settings.fly_api_token,
        data_path=flycast(settings.flycast_url),
        starts_at_once=FLY_STARTS_AT_ONCE,
        probes_at_once=PROBES_AT_ONCE,
        lists_lag_s=LAG_S,
        handover_s=FLY_HANDOVER_S,
    )


def flycast(url: str) -> DataPath:
    """Where the machines' proxy is: by name on Fly, or at the one address that stands in for it.

    Raises:
        EnvironmentFault: this is no plain http address of a host.
    """
    if not url:
        return DataPath()
    try:
        parts = urlsplit(url)
        path = DataPath(host=parts.hostname or "", port=parts.port or HTTP_PORT)
    except ValueError as error:
        raise _bad_flycast() from error
    if not path.host or parts.scheme != "http" or parts.path.strip("/") or parts.query:
        raise _bad_flycast()
    return path


def _bad_flycast() -> EnvironmentFault:
    return EnvironmentFault(
        "bad-flycast-url",
        "CATWALK_FLYCAST_URL is no address of the form http://HOST:PORT",
        hint="give the address that `catwalk engine` prints as Flycast, or unset it on Fly",
    )


@asynccontextmanager
async def open_machines(
    address: Address, redact: Redact, *, on_call: OnCall | None = None
) -> AsyncGenerator[MachinesDoors]:
    """Opens the doors for as long as the block lasts. `on_call` counts requests to the Machines API."""
    async with AsyncExitStack() as opened:
        api = await opened.enter_async_context(
            MachinesAPI(base_url=address.api_url, token=address.token, on_call=on_call)
        )
        service = await opened.enter_async_context(MachinesAPI(base_url=address.logs_url, token=address.token))
        prober = await opened.enter_async_context(MCPProber(address.data_path, redact=redact))

        def open_fleet(fleet: str, organization: str) -> Fleet:
            patience = Patience(handover_s=address.handover_s)
            return FlyFleet(api, fleet=fleet, organization=organization, patience=patience)

        yield MachinesDoors(
            open_fleet=open_fleet, logs=FlyLogs(service, machines_api=api, redact=redact), prober=prober
        )
