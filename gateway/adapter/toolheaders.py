"""Which arguments of which tools a modern client repeats in headers (`Mcp-Param-*`), as the server's tool list says."""

import anyio

from gateway.adapter.child import CannotWrite
from gateway.adapter.handshake import UpstreamLost, ask, list_params
from gateway.adapter.upstream import Live
from gateway.protocol.errors import Refusal
from gateway.protocol.messages import InvalidMessage, Message
from gateway.protocol.parameters import (
    PARAM_PREFIX,
    MisusedHeader,
    ParameterHeader,
    check_parameter_headers,
    parameter_headers,
)
from gateway.protocol.scan import MalformedJson, json_array, json_object

_LIST_S = 10.0
_MAX_PAGES = 50
Wanted = dict[str, tuple[ParameterHeader, ...]]


class ToolHeaders:
    """What is known about the tools of a server. It is read when the server starts, and again after a change of the
    list.
    """

    def __init__(self) -> None:
        self._wanted: Wanted = {}
        self._known = False
        self._reading = anyio.Lock()

    def forget(self) -> None:
        """The list has changed: read it again before the next check."""
        self._known = False

    def wanted(self, tool: object) -> tuple[ParameterHeader, ...]:
        """The headers of a tool."""
        return self._wanted.get(tool, ()) if isinstance(tool, str) else ()

    async def check(self, message: Message, headers: list[tuple[str, str]], live: Live) -> Refusal | None:
        """Compare the headers of a call with its arguments; a list that cannot be read leaves the call unchecked."""
        await self.learn(live)
        wanted = self.wanted(message.params.get("name"))
        if not wanted:
            return None
        given = [each for each in headers if each[0].startswith(PARAM_PREFIX)]
        return check_parameter_headers(wanted, message.params.get("arguments"), given)

    async def learn(self, live: Live) -> None:
        """Read the list unless it is known; one that cannot be read is not asked for again before it changes."""
        if self._known:
            return
        async with self._reading:
            if self._known:
                return
            try:
                with anyio.fail_after(_LIST_S):
                    self._wanted = await read_wanted(live)
            except (UpstreamLost, CannotWrite, TimeoutError, MalformedJson, InvalidMessage):
                self._wanted = {}
            self._known = True


async def read_wanted(live: Live) -> Wanted:
    """List all tools; return those that want headers. Raises as `ask`."""
    wanted: Wanted = {}
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        answer = await ask(live.connection, "tools/list", list_params(live.handshake.era, cursor))
        page = json_object(answer.members["result"].value if "result" in answer.members else None)
        for tool in json_array(page.get("tools")):
            _note(json_object(tool), wanted)
        following = page.get("nextCursor")
        if not isinstance(following, str):
            break
        cursor = following
    return wanted


def _note(tool: dict[str, object], wanted: Wanted) -> None:
    name = tool.get("name")
    try:
        headers = parameter_headers(tool.get("inputSchema"))
    except MisusedHeader:  # Conforming clients drop the tool and send no headers for it.
        return
    if isinstance(name, str) and headers:
        wanted[name] = headers
