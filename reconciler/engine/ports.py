"""Loopback ports: one listening socket for each of the engine's doors, one free number for each running machine."""

import socket
from random import SystemRandom

from reconciler.errors import EnvironmentFault

MACHINE_PORTS = range(20_000, 32_000)
"""Below Linux's range for outgoing connections (32768 and up), so that a number found free is not taken by one of them
in the moment before the machine binds it."""
ATTEMPTS = 200


def listen(host: str, port: int, purpose: str) -> socket.socket:
    """A bound socket; port 0 lets the system choose.

    Raises:
        EnvironmentFault: the port is taken, or the address is not of this computer.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; else an answer whose head and body are sent
    # one after the other waits 40 ms for the caller's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EnvironmentFault(
            "port-in-use",
            f"{host}:{port} cannot be used for {purpose}: {error.strerror}",
            hint="stop the program that uses it, or choose another port",
        ) from error
    listener.setblocking(False)
    return listener


class PortPool:
    """Hands out ports, none twice at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._taken: set[int] = set()
        self._random = SystemRandom()

    def take(self) -> int:
        """A port that was free a moment ago.

        Raises:
            EnvironmentFault: none was found.
        """
        for _ in range(ATTEMPTS):
            port = self._random.choice(MACHINE_PORTS)
            if port not in self._taken and self._free(port):
                self._taken.add(port)
                return port
        raise EnvironmentFault("no-free-port", f"no free port between {MACHINE_PORTS.start} and {MACHINE_PORTS.stop}")

    def give_back(self, port: int) -> None:
        self._taken.discard(port)

    def _free(self, port: int) -> bool:
        with socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host, port))
            except OSError:
                return False
        return True
