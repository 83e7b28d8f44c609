"""Servers that start at once: forked from one process that has loaded the MCP SDK already.

Loading it takes more than a second of processor time, and a suite that opens hundreds of sessions with a process each
pays that for every one of them. `python -m tests.servers.loaded SOCKET` loads the everything-server once and forks;
what a test runs as its server is `loaded_client.py`, a program of a few milliseconds that hands over its standard
streams, its arguments and its variables, ends when the server does, with its exit code, and takes it along when killed.
"""

import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypedDict

EVERYTHING: Final = Path(__file__).parent / "everything"
CLIENT: Final = Path(__file__).parent / "loaded_client.py"
LARGEST_ORDER: Final = 128 * 1024
"""Bytes of arguments and variables."""

_main: Callable[[], None]
"""Of the everything-server; set before the first fork."""


class Order(TypedDict):
    """What a client hands over beside its standard streams."""

    arguments: list[str]
    variables: dict[str, str]
    directory: str


def command(address: Path, *arguments: str) -> tuple[str, ...]:
    """What a test runs in place of `python tests/servers/everything ARGUMENTS`."""
    return (sys.executable, "-S", "-E", str(CLIENT), str(address), *arguments)


def serve(address: Path) -> None:
    """Until it is ended: one fork for each connection, which keeps watch over a server of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(address))
        listening.listen(64)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _keep(connection)
            connection.close()


def _keep(connection: socket.socket) -> NoReturn:
    """Starts the server of one client, and ends with either of them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order, streams, _, _ = socket.recv_fds(connection, LARGEST_ORDER, 3)
    server = os.fork()
    if server == 0:
        connection.close()
        _become(json.loads(order), streams)
    for stream in streams:
        os.close(stream)
    watched = select.poll()
    watched.register(connection, select.POLLIN | select.POLLHUP)
    watched.register(ended := os.pidfd_open(server), select.POLLIN)
    if any(descriptor == ended for descriptor, _ in watched.poll()):
        _, status = os.waitpid(server, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    else:
        os.kill(server, signal.SIGKILL)
    os._exit(0)


def _become(order: Order, streams: list[int]) -> NoReturn:
    """The server: everything of the client's but its process."""
    code = 1
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(order["variables"])
        os.chdir(order["directory"])
        sys.argv = [str(EVERYTHING), *order["arguments"]]
        _main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    # The server's modules import each other by name, as they do when its folder is run as a program.
    sys.path.insert(0, str(EVERYTHING))
    _main = runpy.run_path(str(EVERYTHING / "__main__.py"), run_name="everything")["main"]
    serve(Path(sys.argv[1]))
