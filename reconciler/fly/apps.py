"""Apps (Machines API, `/v1/apps`): one per server of the fleet."""

from collections.abc import Sequence

from reconciler.fly import paths
from reconciler.fly.calls import MEBIBYTE, Call, Effect
from reconciler.fly.client import MachinesAPI
from reconciler.fly.rates import APP_DELETIONS
from reconciler.fly.wire import AppEntry, AppPage


async def create(api: MachinesAPI, name: str, *, organization: str, network: str) -> None:
    """Creates an app on a private network of its own; the network of an app can never be changed.

    Raises:
        NameTaken: the name exists, anywhere on Fly.
    """
    call = Call(
        method="POST",
        path=paths.APPS,
        # fly-go waits the same way: the app is then known to more than the node that made it.
        query={"wait": "true"},
        body={"name": name, "org_slug": organization, "network": network},
        purpose=f"create app {name}",
        action="create app",
        subject=name,
        effect=Effect.WRITE,
    )
    await api.tell(call)


async def get(api: MachinesAPI, name: str) -> AppEntry:
    """One app.

    Raises:
        NotFound: no app has the name.
        Forbidden: the app belongs to another organization.
    """
    call = Call(method="GET", path=paths.app(name), purpose=f"read app {name}", action="get app", subject=name)
    return await api.ask(call, AppEntry)


async def of_organization(api: MachinesAPI, organization: str) -> Sequence[AppEntry]:
    """Every app of the organization that the token may see."""
    call = Call(
        method="GET",
        path=paths.APPS,
        query={"org_slug": organization},
        purpose=f"list the apps of organization {organization}",
        action="list apps",
        subject=organization,
        limit_bytes=32 * MEBIBYTE,
    )
    return (await api.ask(call, AppPage)).apps


async def destroy(api: MachinesAPI, name: str, *, organization: str) -> None:
    """Destroys an app with its machines, secrets and addresses.

    Raises:
        NotFound: it is gone already.
    """
    call = Call(
        method="DELETE",
        path=paths.app(name),
        query={"force": "true"},
        purpose=f"destroy app {name}",
        action="destroy app",
        subject=organization,
        rate=APP_DELETIONS,
        effect=Effect.REPEATABLE,
    )
    await api.tell(call)
