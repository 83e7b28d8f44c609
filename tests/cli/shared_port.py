"""A gateway behind a shared port, and what keeps its workers alive: a program that a test runs.

`shared_port.py parent UPSTREAM` prints the port; `shared_port.py worker UPSTREAM PORT` is one of its workers.
"""

import os
import sys

import anyio
from litestar import get

from gateway.app import Readiness, create_app
from gateway.routing import RouteTable, Upstream
from gateway.settings import GatewaySettings
from reconciler.cli.serving import bind, reserve, serve
from reconciler.cli.signals import until_told_to_stop
from reconciler.cli.workers import Crew, hear_greeting, run_workers

HOST = "127.0.0.1"


@get("/pid", sync_to_thread=False)
def pid() -> dict[str, int]:
    return {"pid": os.getpid()}


async def work(upstream: int, port: int) -> None:
    number, told = hear_greeting()
    assert number in {0, 1}
    assert told == b"hello"
    route = Upstream(server="time", app="acme-time", host=HOST, port=upstream, authority="acme-time.flycast")
    settings = GatewaySettings(session_key=b"k" * 32)
    app = create_app(settings, RouteTable([route]), lambda: Readiness(is_ready=True), route_handlers=[pid])
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(serve, app, bind(HOST, port, is_shared=True), stop)
        await until_told_to_stop()
        stop.set()


async def keep(upstream: int) -> int:
    with reserve(HOST, 0, is_shared=True) as holder:
        port = holder.getsockname()[1]
        print(port, flush=True)
        command = [sys.executable, __file__, "worker", str(upstream), str(port)]
        return await run_workers(Crew(command=command, count=2, address=(HOST, port), greeting=b"hello"))


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        anyio.run(work, int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(anyio.run(keep, int(sys.argv[2])))
