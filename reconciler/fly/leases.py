"""Leases: the lock around one change of one machine.

A held lease also keeps Fly's proxy from waking the machine, so it lasts as long as one call and is given back whatever
happens, in a scope that a cancellation cannot reach. What a crash leaves behind ends with its time to live.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import structlog

from reconciler.errors import CatwalkError
from reconciler.fly import errors, paths
from reconciler.fly.calls import Call, Effect
from reconciler.fly.client import MachinesAPI
from reconciler.fly.wire import LeaseEntry

_LOG: Final = structlog.stdlib.get_logger()
DESCRIPTION: Final = "catwalk"
TIME_TO_LIVE_S: Final = 90
"""Longer than the timeout of an update; the default of the API is undocumented, so it is always set."""
_TIMEOUT_S: Final = 15.0
_RELEASE_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def held(api: MachinesAPI, app: str, machine_id: str) -> AsyncGenerator[LeaseEntry]:
    """Holds the machine for the length of the block.

    Raises:
        LeaseHeld: somebody else does.
    """
    lease = await acquire(api, app, machine_id)
    try:
        yield lease
    finally:
        with anyio.move_on_after(_RELEASE_TIMEOUT_S, shield=True):
            await _release_or_log(api, app, machine_id, lease.nonce)


async def acquire(api: MachinesAPI, app: str, machine_id: str) -> LeaseEntry:
    """Takes the lease. Its `version` is the version of the machine at that moment.

    Raises:
        LeaseHeld: somebody else has it.
    """
    call = Call(
        method="POST",
        path=f"{paths.machine(app, machine_id)}/lease",
        # The document wants the time to live in the body, fly-go sends it in the query.
        query={"ttl": str(TIME_TO_LIVE_S)},
        body={"ttl": TIME_TO_LIVE_S, "description": DESCRIPTION},
        purpose=f"lease machine {machine_id} in app {app}",
        action="acquire lease",
        subject=machine_id,
        effect=Effect.WRITE,
        timeout_s=_TIMEOUT_S,
    )
    return await api.ask(call, LeaseEntry)


async def release(api: MachinesAPI, app: str, machine_id: str, nonce: str) -> None:
    """Gives the lease back.

    Raises:
        NotFound: there is none any more.
    """
    call = Call(
        method="DELETE",
        path=f"{paths.machine(app, machine_id)}/lease",
        nonce=nonce,
        purpose=f"release the lease of machine {machine_id} in app {app}",
        action="release lease",
        subject=machine_id,
        effect=Effect.REPEATABLE,
        timeout_s=_TIMEOUT_S,
    )
    await api.tell(call)


async def holder(api: MachinesAPI, app: str, machine_id: str) -> LeaseEntry:
    """Who holds the machine.

    Raises:
        NotFound: nobody.
    """
    call = Call(
        method="GET",
        path=f"{paths.machine(app, machine_id)}/lease",
        purpose=f"read the lease of machine {machine_id} in app {app}",
        action="get lease",
        subject=machine_id,
        timeout_s=_TIMEOUT_S,
    )
    return await api.ask(call, LeaseEntry)


async def _release_or_log(api: MachinesAPI, app: str, machine_id: str, nonce: str) -> None:
    """A lease that cannot be given back ends by itself; that must not hide what the block came to."""
    try:
        await release(api, app, machine_id, nonce)
    except errors.NotFound:
        return
    except CatwalkError as error:
        _LOG.warning("lease-not-released", app=app, machine=machine_id, ends_in_s=TIME_TO_LIVE_S, problem=str(error))
