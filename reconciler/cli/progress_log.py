"""The events of passes as log lines, each bound to the pass, revision and server that it belongs to.

Binding goes through context variables, so that whatever logs inside a pass, however deep, carries the same keys. It
works because listeners are called inside the pass: in its own task, and for an action in the task of that action.
"""

from collections.abc import Mapping
from typing import Final

import structlog
from structlog.contextvars import bind_contextvars, unbind_contextvars

from reconciler.cli.progress_json import Record, event_records
from reconciler.cli.ready import Announce, Ready
from reconciler.core.types import OutcomeKind, ServerState
from reconciler.loop.progress import (
    ActionFinished,
    ActionStarted,
    PassFinished,
    PassStarted,
    ProgressEvent,
    RevisionAccepted,
)

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.fleet")

_WORRYING: Final[Mapping[tuple[str, object], str]] = {
    ("action", OutcomeKind.FAILED): "outcome",
    ("server", ServerState.FAILED): "state",
    ("server", ServerState.DEGRADED): "state",
}


class LogContext:
    """Binds log lines to what they are about. Stands before every listener that logs."""

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case PassStarted():
                bind_contextvars(pass_number=event.number, trigger=event.trigger.value)
            case RevisionAccepted():
                bind_contextvars(revision=event.revision.commit)
            case ActionStarted():
                bind_contextvars(server=event.action.server)
            case _:
                return


class EndOfLogContext:
    """Unbinds what `LogContext` bound. Stands behind every listener that logs."""

    def on_event(self, event: ProgressEvent) -> None:
        match event:
            case ActionFinished():
                unbind_contextvars("server")
            case PassFinished():
                unbind_contextvars("pass_number", "trigger", "revision", "server")
            case _:
                return


class LogProgress:
    """Logs every event, as `--json` of other commands prints it; what needs a person is a warning."""

    def on_event(self, event: ProgressEvent) -> None:
        for record in event_records(event):
            _say(record)


def _say(record: Record) -> None:
    told = {key: value for key, value in record.items() if key != "event"}
    name = str(record["event"])
    if _is_worrying(name, record):
        log.warning(name, **told)
    else:
        log.info(name, **told)


def _is_worrying(name: str, record: Record) -> bool:
    refused = name == "revision" and not record["accepted"]
    unwell = any(name == event and record.get(key) == value for (event, value), key in _WORRYING.items())
    return refused or unwell or name == "warning"


def announce_log() -> Announce:
    """One line when the fleet is ready for the first time."""

    def announce(ready: Ready) -> None:
        states = {status.server: status.state.value for status in ready.statuses}
        log.info("ready", gateway=ready.gateway_url, seconds=round(ready.seconds, 1), servers=states)

    return announce
