"""Says once that a fleet is ready: where everything is, and what to paste into an MCP client."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from reconciler.cli.progress_json import JSONProgress
from reconciler.cli.progress_text import STATE_STYLES, status_detail
from reconciler.core.types import ServerStatus
from reconciler.core.verdict import settling
from reconciler.loop.progress import PassFinished, ProgressEvent
from reconciler.web.clients import mcp_servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What is told."""

    gateway_url: str
    seconds: float
    statuses: Sequence[ServerStatus]

    def url(self, server: str) -> str:
        return f"{self.gateway_url}/servers/{server}/mcp"

    @property
    def common_url(self) -> str:
        """Where all servers are one."""
        return f"{self.gateway_url}/mcp"


WHAT_NOW = "\nChange catwalk.yaml and commit: the fleet follows. Ctrl-C stops everything."
Announce = Callable[[Ready], None]


@dataclass(slots=True, kw_only=True)
class ReadyWatch:
    """Listens to passes, and announces the first one after which no server is on its way any more."""

    gateway_url: str
    elapsed_s: Callable[[], float]
    announce: Announce
    _done: bool = field(default=False, init=False)

    def on_event(self, event: ProgressEvent) -> None:
        if self._done or not isinstance(event, PassFinished):
            return
        statuses = event.finished.statuses
        if event.finished.applied_revision is None or any(settling(status) for status in statuses):
            return
        self._done = True
        self.announce(Ready(gateway_url=self.gateway_url, seconds=self.elapsed_s(), statuses=statuses))


def announce_json(progress: JSONProgress) -> Announce:
    """One line: `{"event":"ready","gateway":…,"mcp":…,"servers":{"time":{"url":…,"state":"ready"}}}`."""

    def announce(ready: Ready) -> None:
        servers = {
            status.server: {
                "url": ready.url(status.server),
                "state": status.state,
                "cause": status.cause,
                "detail": status_detail(status),
            }
            for status in ready.statuses
        }
        progress.emit(
            {
                "event": "ready",
                "gateway": ready.gateway_url,
                "mcp": ready.common_url,
                "seconds": round(ready.seconds, 1),
                "servers": servers,
            }
        )

    return announce


def announce_text(console: Console) -> Announce:
    """A block for a person."""

    def announce(ready: Ready) -> None:
        console.print()
        console.print(Text(f"Up after {ready.seconds:.1f} s", style="bold green"))
        for status in ready.statuses:
            console.print(_server_line(status, ready), soft_wrap=True)
        console.print(Text.assemble(("  all of them     ", "bold"), ready.common_url), soft_wrap=True)
        console.print(Text.assemble(("  dashboard       ", "bold"), f"{ready.gateway_url}/"), soft_wrap=True)
        console.print(Text("\nFor your MCP client:", style="bold"))
        urls = {status.server: ready.url(status.server) for status in ready.statuses}
        console.print(Text(json.dumps(mcp_servers(urls), indent=2)), soft_wrap=True)
        console.print(Text(WHAT_NOW, style="dim"))

    return announce


def _server_line(status: ServerStatus, ready: Ready) -> Text:
    return Text.assemble(
        (f"  {status.server:<15} ", "bold"),
        (f"{status.state:<10} ", STATE_STYLES[status.state]),
        f"{ready.url(status.server)}  ",
        (status_detail(status), "dim"),
    )
