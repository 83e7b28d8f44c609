"""Serves an ASGI application on a socket that is already bound, inside an event loop that somebody else owns.

The port is bound before anything starts, so that "port in use" is the first thing said and not the last.
"""

import gc
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn

from gateway.adapter.listener import bound_socket
from gateway.app import Gateway
from reconciler.errors import EnvironmentFault

GRACE_S: Final = 5
"""How long calls under way may take when the process stops; then their connections are cut."""
BACKLOG: Final = 2048


def bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket; port 0 lets the system choose. A shared one is one of several at this port.

    Raises:
        EnvironmentFault: the port is in use, or may not be used.
    """
    listener = reserve(host, port, is_shared=is_shared)
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _in_use(host, port, error) from error
    listener.setblocking(False)
    return listener


def reserve(host: str, port: int, *, is_shared: bool) -> socket.socket:
    """A socket that holds a port and does not listen.

    Raises:
        EnvironmentFault: as `bind`.
    """
    try:
        return bound_socket(host, port, is_shared=is_shared)
    except OSError as error:
        raise _in_use(host, port, error) from error


def _in_use(host: str, port: int, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        "port-in-use",
        f"port {port} of {host} cannot be used for the gateway: {error.strerror}",
        hint="choose another with --port, or --port 0 for any free one",
    )


class _GuestServer(uvicorn.Server):
    """Leaves the signals to the program that it runs in."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextmanager
def settled_memory() -> Generator[None]:
    """What is here now is not looked through for garbage until the end.

    Modules, models and templates are 160,000 objects that stay for ever. A full collection looks at all of them, which
    takes a processor 50 to 100 ms, in which no call is carried.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def serve(app: Gateway, listener: socket.socket, stop: anyio.Event) -> None:
    """Serves until `stop` is set, then lets calls under way finish for a while."""
    config = uvicorn.Config(
        app,
        http=app.http_protocol,
        ws="none",
        loop="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="critical",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
    )
    server = _GuestServer(config)

    async def stop_when_asked() -> None:
        await stop.wait()
        server.should_exit = True

    with settled_memory():
        async with anyio.create_task_group() as group:
            group.start_soon(stop_when_asked)
            await server.serve(sockets=[listener])
            group.cancel_scope.cancel()
