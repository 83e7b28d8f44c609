"""How a server itself speaks MCP, and whether its clients share one process of it: what the adapter is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT_PATH: Final = "/mcp"


class TransportType(StrEnum):
    """The transport of a server inside its machine, in the official registry's words."""

    STDIO = "stdio"
    STREAMABLE_HTTP = "streamable-http"


class SessionMode(StrEnum):
    """Whether sessions share a process of the server. `auto` gives one of its own to who can be asked something."""

    AUTO = "auto"
    SHARED = "shared"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a server is spoken to. `port` 0 has the adapter choose one; `port` and `path` count only for HTTP."""

    transport: TransportType = TransportType.STDIO
    port: int = 0
    path: str = DEFAULT_PATH
    sessions: SessionMode = SessionMode.AUTO

    def arguments(self) -> Iterator[str]:
        """The options of the adapter that differ from its own defaults."""
        if self.transport is not TransportType.STDIO:
            yield from ("--transport", self.transport.value)
            yield from ("--server-port", str(self.port)) if self.port else ()
            yield from ("--server-path", self.path) if self.path != DEFAULT_PATH else ()
        if self.sessions is not SessionMode.AUTO:
            yield from ("--sessions", self.sessions.value)
