"""Addresses of an app. Catwalk allocates one kind: a private Flycast address in the gateway's network.

The address does not land in the app's own network by default but in the organization's, so the network is always named
(Fly docs, "Flycast" and "Custom private networks").
"""

from typing import Final

from reconciler.core.digests import JSON
from reconciler.fly import paths
from reconciler.fly.calls import Call, Effect
from reconciler.fly.client import MachinesAPI
from reconciler.fly.wire import AddressEntry, AddressPage

FLYCAST_PREFIX: Final = "fdaa:"
DEFAULT_NETWORKS: Final = frozenset({"", "default"})
"""How the organization's own network is written, by us and by Fly."""


async def of_app(api: MachinesAPI, app: str) -> tuple[AddressEntry, ...]:
    """All addresses of an app.

    Raises:
        NotFound: no such app.
    """
    call = Call(
        method="GET",
        path=f"{paths.app(app)}/ip_assignments",
        purpose=f"list the addresses of app {app}",
        action="list addresses",
        subject=app,
    )
    return (await api.ask(call, AddressPage)).ips


async def allocate_private(api: MachinesAPI, app: str, *, network: str) -> AddressEntry:
    """Allocates a Flycast address in `network`; empty is the organization's own. Every call makes one more."""
    body: dict[str, JSON] = {"type": "private_v6"}
    if network not in DEFAULT_NETWORKS:
        body["network"] = network
    call = Call(
        method="POST",
        path=f"{paths.app(app)}/ip_assignments",
        body=body,
        purpose=f"allocate a private address for app {app}",
        action="allocate address",
        subject=app,
        effect=Effect.WRITE,
    )
    return await api.ask(call, AddressEntry)


def reaches(address: AddressEntry, network: str) -> bool:
    """Whether callers in `network` reach the app by `address`."""
    if not address.ip.startswith(FLYCAST_PREFIX):
        return False
    name = address.network.name if address.network else ""
    return name == network or {name, network} <= DEFAULT_NETWORKS
