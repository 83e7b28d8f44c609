"""A process that leads when it may, for the tests of leadership: it runs passes, acts, writes, and tells what it does.

python leading_program.py up|apply STATE_DIR DATABASE_URL
"""

import json
import signal
import sys
import time
from pathlib import Path

import anyio
import structlog

from reconciler.errors import CatwalkError
from reconciler.loop.clock import SystemClock
from reconciler.loop.leadership import Leadership, holder_name
from reconciler.loop.store import Store, open_store

BETWEEN_ACTIONS_S = 0.1


def tell(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, "at": time.monotonic(), **facts}), flush=True)


async def one_pass(lead: Leadership) -> None:
    for _ in range(4):
        if lead.may_act():
            tell("acts", token=lead.token)
        await anyio.sleep(BETWEEN_ACTIONS_S)


async def write_on(lead: Leadership, memory: Store) -> None:
    """Goes on writing once it has led, as a pass does that has not heard of its loss yet."""
    await lead.led()
    while True:
        try:
            await memory.next_number()
        except CatwalkError as error:
            tell("refused", code=error.problem.code)
        await anyio.sleep(BETWEEN_ACTIONS_S)


async def up(lead: Leadership, memory: Store) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(lead.run)
        group.start_soon(end_when_told, group.cancel_scope)
        group.start_soon(write_on, lead, memory)
        while True:
            await lead.led()
            with lead.turn(lambda: tell("asked")) as leads:
                if leads:
                    tell("pass", token=lead.token)
                    await one_pass(lead)
                    tell("passed")
            await anyio.sleep(BETWEEN_ACTIONS_S)


async def end_when_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as received:
        async for _ in received:
            scope.cancel()


async def apply(lead: Leadership, memory: Store) -> None:
    async with lead.held(patience_s=20):
        await memory.next_number()
        await one_pass(lead)


async def main(command: str, state_dir: str, url: str) -> None:
    store = await open_store(Path(state_dir), SystemClock(), url=url)
    lead = Leadership(store.leases, holder=holder_name(command), asks=command == "apply")
    tell("waits")
    await (apply if command == "apply" else up)(lead, store.fenced(lead))
    store.close()
    tell("ended")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    anyio.run(main, *sys.argv[1:])
