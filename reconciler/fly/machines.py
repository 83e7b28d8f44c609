"""Machines (Machines API, `/v1/apps/{app}/machines`) and the organization's list of them.

Facts that shape these calls: an update replaces the whole config, `current_version` is the optimistic lock, a wait may
last 60 seconds at most, and a stop or destroy against somebody else's lease blocks until the lease ends, so those two
have a short timeout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from reconciler.core.digests import JSON
from reconciler.fly import paths
from reconciler.fly.calls import MEBIBYTE, Call, Effect
from reconciler.fly.client import MachinesAPI
from reconciler.fly.rates import MACHINE_READS
from reconciler.fly.wire import MachineEntry, MachineList, OrganizationPage

PAGE_SIZE: Final = 1000
"""The largest page of the organization's list."""
LONGEST_WAIT_S: Final = 60
_WAIT_MARGIN_S: Final = 15.0
"""A wait that answers at its last moment must not meet a client that has just given up."""
_BLOCKING_TIMEOUT_S: Final = 20.0

Config: TypeAlias = Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineVersion:
    """A machine at one version of its config; the version of an update, or else the old one would answer for it."""

    app: str
    machine_id: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a create or an update sends."""

    config: Config
    """The whole config, metadata included."""
    min_secrets_version: int = 0
    """The machine boots with at least these secrets; 0 asks for none in particular."""
    name: str = ""
    region: str = ""
    current_version: str = ""
    """Update only: refuses unless the machine is still at this version."""
    nonce: str = field(default="", repr=False)

    def body(self) -> dict[str, JSON]:
        """The JSON of the request; empty fields are left out, because Fly reads an empty name as a name."""
        fields: dict[str, JSON] = {
            "name": self.name,
            "region": self.region,
            "current_version": self.current_version,
            "min_secrets_version": self.min_secrets_version,
        }
        body: dict[str, JSON] = {"config": self.config}
        body.update((key, value) for key, value in fields.items() if value)
        return body


async def create(api: MachinesAPI, app: str, launch: Launch) -> MachineEntry:
    """Creates and starts a machine. Not idempotent by itself: the name makes it so.

    Raises:
        AlreadyExists: a living machine has the name.
        AnswerLost: it may exist now.
    """
    place = f" in {launch.region}" if launch.region else ""
    call = Call(
        method="POST",
        path=paths.machines(app),
        body=launch.body(),
        purpose=f"create machine {launch.name} of app {app}{place}",
        action="create machine",
        subject=app,
        effect=Effect.WRITE,
        timeout_s=60.0,
    )
    return await api.ask(call, MachineEntry)


async def update(api: MachinesAPI, app: str, machine_id: str, launch: Launch) -> MachineEntry:
    """Replaces the config of a machine, which restarts it at a new version.

    Raises:
        VersionChanged: it is no longer at `launch.current_version`.
        LeaseHeld: somebody else holds it.
        AnswerLost: it may have the new config now.
    """
    call = Call(
        method="POST",
        path=paths.machine(app, machine_id),
        body=launch.body(),
        nonce=launch.nonce,
        purpose=f"update machine {machine_id} in app {app}",
        action="update machine",
        subject=machine_id,
        effect=Effect.WRITE,
        timeout_s=60.0,
    )
    return await api.ask(call, MachineEntry)


async def get(api: MachinesAPI, app: str, machine_id: str) -> MachineEntry:
    """One machine with checks and events. One that was destroyed is still answered, with that state.

    Raises:
        NotFound: the id never existed, or is not replicated yet.
    """
    call = Call(
        method="GET",
        path=paths.machine(app, machine_id),
        purpose=f"read machine {machine_id} in app {app}",
        action="get machine",
        subject=machine_id,
        rate=MACHINE_READS,
    )
    return await api.ask(call, MachineEntry)


async def of_app(api: MachinesAPI, app: str) -> tuple[MachineEntry, ...]:
    """The living machines of one app.

    Raises:
        NotFound: no such app.
    """
    call = Call(
        method="GET",
        path=paths.machines(app),
        purpose=f"list the machines of app {app}",
        action="list machines",
        subject=app,
        limit_bytes=32 * MEBIBYTE,
    )
    return (await api.ask(call, MachineList)).root


async def of_organization(api: MachinesAPI, organization: str, *, cursor: str = "") -> OrganizationPage:
    """One page of all machines of the organization, with image, guest and metadata of their config only."""
    return await _organization_page(api, organization, {"cursor": cursor})


async def changes_of_organization(
    api: MachinesAPI, organization: str, *, after: str, cursor: str = ""
) -> OrganizationPage:
    """One page of the machines that changed after a moment (RFC 3339), the destroyed ones too, without any config."""
    query = {"updated_after": after, "summary": "true", "include_deleted": "true", "cursor": cursor}
    return await _organization_page(api, organization, query)


async def _organization_page(api: MachinesAPI, organization: str, query: Mapping[str, str]) -> OrganizationPage:
    call = Call(
        method="GET",
        path=f"/v1/orgs/{paths.part(organization)}/machines",
        query={"limit": str(PAGE_SIZE)} | {name: value for name, value in query.items() if value},
        purpose=f"list the machines of organization {organization}",
        action="list organization",
        subject=organization,
        limit_bytes=64 * MEBIBYTE,
    )
    return await api.ask(call, OrganizationPage)


async def wait(api: MachinesAPI, target: MachineVersion, *, state: str, timeout_s: int) -> None:
    """Returns when `target` is in `state`.

    Args:
        api: the connection.
        target: the machine, at the version that is meant.
        state: `started`, `stopped`, `suspended` or `destroyed`.
        timeout_s: 1 to 60 seconds.

    Raises:
        WaitExpired: not in that time.
        NotFound: not replicated yet, or gone.
        Conflict: the state cannot be reached from the present one.
    """
    timeout_s = max(1, min(timeout_s, LONGEST_WAIT_S))
    call = Call(
        method="GET",
        path=f"{paths.machine(target.app, target.machine_id)}/wait",
        query={"state": state, "timeout": str(timeout_s)} | ({"version": target.version} if target.version else {}),
        purpose=f"wait for machine {target.machine_id} in app {target.app} to be {state}",
        action="wait",
        subject=target.machine_id,
        effect=Effect.WAIT,
        timeout_s=timeout_s + _WAIT_MARGIN_S,
    )
    await api.tell(call)


async def start(api: MachinesAPI, app: str, machine_id: str) -> None:
    """Starts a sleeping machine.

    Raises:
        NotReady: it is being prepared or replaced.
    """
    await api.tell(
        _order("POST", f"{paths.machine(app, machine_id)}/start", f"start machine {machine_id} in app {app}")
    )


async def stop(api: MachinesAPI, app: str, machine_id: str, *, signal: str, grace_s: int) -> None:
    """Stops a machine; one that is stopped stays so.

    Raises:
        AnswerLost: no answer in time; somebody's lease may be in the way.
    """
    path = f"{paths.machine(app, machine_id)}/stop"
    body: dict[str, JSON] = {"signal": signal, "timeout": f"{grace_s}s"}
    await api.tell(_order("POST", path, f"stop machine {machine_id} in app {app}", body))


async def signal(api: MachinesAPI, app: str, machine_id: str, *, signal: str) -> None:
    """Sends a signal to the command of a machine.

    Raises:
        NotFound: it is gone.
        Conflict: it does not run.
    """
    path = f"{paths.machine(app, machine_id)}/signal"
    await api.tell(_order("POST", path, f"signal machine {machine_id} in app {app}", {"signal": signal}))


async def cordon(api: MachinesAPI, app: str, machine_id: str) -> None:
    """Takes a machine out of the proxy's rotation; one that is out stays so. The mark is lost with an update.

    Raises:
        NotFound: it is gone.
    """
    path = f"{paths.machine(app, machine_id)}/cordon"
    await api.tell(_order("POST", path, f"cordon machine {machine_id} in app {app}"))


async def uncordon(api: MachinesAPI, app: str, machine_id: str) -> None:
    """Puts a machine back into the proxy's rotation.

    Raises:
        NotFound: it is gone.
    """
    path = f"{paths.machine(app, machine_id)}/uncordon"
    await api.tell(_order("POST", path, f"uncordon machine {machine_id} in app {app}"))


async def destroy(api: MachinesAPI, app: str, machine_id: str) -> None:
    """Destroys a machine, also a running one.

    Raises:
        NotFound: it is gone.
        AnswerLost: no answer in time; somebody's lease may be in the way.
    """
    await api.tell(_order("DELETE", paths.machine(app, machine_id), f"destroy machine {machine_id} in app {app}"))


def _order(method: str, path: str, purpose: str, body: JSON = None) -> Call:
    """A change of run state, which may be ordered twice."""
    return Call(
        method=method,
        path=path,
        body=body,
        query={"force": "true"} if method == "DELETE" else {},
        purpose=purpose,
        action=purpose.split(" ", 1)[0],
        subject=path,
        effect=Effect.REPEATABLE,
        timeout_s=_BLOCKING_TIMEOUT_S,
    )
