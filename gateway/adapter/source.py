"""Where connections to a server come from: a process of its own for each (stdio), or one process that serves all
(HTTP).
"""

from typing import Protocol

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.child import Launch, spawn
from gateway.adapter.connection import Channel, Connection


class Source(Protocol):
    """What an upstream opens its connections with."""

    async def open(self, connection: Connection) -> Channel:
        """Start or reach the server; what it says goes to the connection. Raises AdapterFailure."""
        ...


class StdioSource:
    """Starts a process for every connection and speaks over its pipes."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch

    async def open(self, connection: Connection) -> Channel:
        """Start the process. Raises AdapterFailure when the command cannot be executed."""
        try:
            return await spawn(self._launch, connection)
        except OSError as error:
            name = self._launch.command[0]
            raise AdapterFailure(Cause.NO_EXECUTABLE, f"cannot run {name}: {error.strerror}") from error
