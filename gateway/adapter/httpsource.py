"""A server that speaks HTTP: one process for all connections, started with the first one, ended with the last.

Its port is chosen here unless it is given, and told to the server in the variable PORT. It counts as started when the
port accepts connections; whether it speaks MCP the handshake shows.
"""

import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
from anyio.abc import TaskGroup

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.child import ChildProcess, Launch, spawn
from gateway.adapter.connection import Channel, Connection
from gateway.adapter.diagnose import diagnose_exit
from gateway.adapter.httpchannel import HttpChannel
from gateway.adapter.httpclient import HttpClient, is_listening
from gateway.adapter.lines import Oversized
from gateway.adapter.log import AdapterLog
from gateway.adapter.toolheaders import ToolHeaders
from gateway.protocol.parameters import ParameterHeader

_START_S = 120.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server listens: a port of this machine, 0 for any free one, and the path of its endpoint."""

    port: int
    path: str


class _Process:
    """The running process and the channels that use it; see `HttpHost`."""

    def __init__(self, endpoint: Endpoint, max_message_bytes: int, tools: ToolHeaders, log: AdapterLog) -> None:
        self.client = HttpClient(endpoint.port)
        self.port = endpoint.port
        self.path = endpoint.path
        self.max_message_bytes = max_message_bytes
        self.channels: list[HttpChannel] = []
        self.status: int | None = None
        self.last_error_lines: deque[str] = deque()
        self.child: ChildProcess | None = None
        self._tools = tools
        self._log = log

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def line_received(self, line: bytes) -> None:
        self._log.output(line.decode("utf-8", "replace"))

    def line_dropped(self, line: Oversized) -> None:
        self._log.output(line.head.decode("utf-8", "replace"))

    def error_line_received(self, line: str) -> None:
        self._log.output(line)

    def ended(self, status: int) -> None:
        self.status = status
        self.client.close()
        for channel in self.channels:
            channel.ended(status)

    def wanted_headers(self, tool: object) -> Sequence[ParameterHeader]:
        return self._tools.wanted(tool)

    async def release(self, channel: HttpChannel, *, force: bool) -> None:
        if channel in self.channels:
            self.channels.remove(channel)
        if self.child is not None and self.status is None and (force or not self.channels):
            await self.child.end()


class HttpSource:
    """See the module; a `Source`. `tools` says which headers calls need."""

    def __init__(self, launch: Launch, endpoint: Endpoint, tools: ToolHeaders, log: AdapterLog) -> None:
        self._launch = launch
        self._endpoint = endpoint
        self._tools = tools
        self._log = log
        self._tasks: TaskGroup | None = None
        self._process: _Process | None = None
        self._starting = anyio.Lock()

    def run_in(self, tasks: TaskGroup) -> None:
        """Give the source the task group that its exchanges run in."""
        self._tasks = tasks

    async def open(self, connection: Connection) -> Channel:
        """See `Source`."""
        assert self._tasks is not None
        async with self._starting:
            process = self._process
            if process is None or process.status is not None:
                process = self._process = await self._start()
            channel = HttpChannel(connection, process, self._tasks)
            process.channels.append(channel)
            return channel

    async def _start(self) -> _Process:
        endpoint = replace(self._endpoint, port=self._endpoint.port or _free_port())
        if await is_listening(endpoint.port):
            text = f"port {endpoint.port}, which the server wants, is taken"
            raise AdapterFailure(Cause.PORT_IN_USE, text)
        process = _Process(endpoint, self._launch.max_message_bytes, self._tools, self._log)
        environment = {**self._launch.environment, "PORT": str(endpoint.port)}
        try:
            process.child = await spawn(replace(self._launch, environment=environment), process)
        except OSError as error:
            name = self._launch.command[0]
            raise AdapterFailure(Cause.NO_EXECUTABLE, f"cannot run {name}: {error.strerror}") from error
        process.last_error_lines = process.child.last_error_lines
        await self._until_listening(process)
        return process

    async def _until_listening(self, process: _Process) -> None:
        assert process.child is not None
        try:
            with anyio.fail_after(_START_S):
                while process.status is None and not await is_listening(process.port):  # noqa: ASYNC110 - a port tells nobody
                    await anyio.sleep(_POLL_S)
        except TimeoutError as error:
            await process.child.end()
            text = f"the server does not listen on port {process.port} after {_START_S:.0f} s"
            raise AdapterFailure(Cause.TIMEOUT, text) from error
        except BaseException:
            await process.child.end()
            raise
        if process.status is not None:
            lines = [self._log.mask(line) for line in process.last_error_lines]
            raise diagnose_exit(process.status, lines)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
