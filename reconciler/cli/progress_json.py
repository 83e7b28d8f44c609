"""The events of a run as JSON, one object a line, for programs that start Catwalk.

Every line has `event`: `revision`, `plan`, `action`, `server`, `server-removed`, `warning`, `pass`, `ready`, `stopped`.
Fields may be added, never renamed. Secrets cannot appear: events are made of core values.
"""

import json
from collections.abc import Callable
from typing import assert_never

from reconciler.core.action_words import KINDS
from reconciler.core.actions import Pass, Plan, PruneRequest
from reconciler.core.problems import Problem
from reconciler.core.types import Revision, ServerStatus
from reconciler.loop.progress import (
    ActionFinished,
    ActionStarted,
    PassFinished,
    PassStarted,
    PlanMade,
    ProgressEvent,
    RevisionAccepted,
    RevisionRefused,
    ServerChanged,
    ServerRemoved,
    WarningsChanged,
)
from reconciler.web.plans import problem_document, revision_reference

Record = dict[str, object]
Print = Callable[[str], None]


class JSONProgress:
    """Prints every event as one line of JSON."""

    def __init__(self, write: Print) -> None:
        self._write = write

    def on_event(self, event: ProgressEvent) -> None:
        for record in event_records(event):
            self.emit(record)

    def emit(self, record: Record) -> None:
        """One line, flushed by the writer."""
        self._write(json.dumps(record, ensure_ascii=False))


def event_records(event: ProgressEvent) -> list[Record]:  # noqa: PLR0911 - One case for each kind of event.
    """The lines that one event makes; none for what only people follow."""
    match event:
        case PassStarted() | ActionStarted():
            return []
        case RevisionAccepted():
            return [{"event": "revision", "accepted": True, **_revision(event.revision)}]
        case RevisionRefused():
            return [_refused(event)]
        case WarningsChanged():
            return [{"event": "warning", **_problem(problem)} for problem in event.added]
        case PlanMade():
            return [_plan(event.plan)]
        case ActionFinished():
            return [_action(event)]
        case ServerChanged():
            return [{"event": "server", **status_record(event.status)}]
        case ServerRemoved():
            return [{"event": "server-removed", "server": event.server}]
        case PassFinished():
            return [_finished(event.finished)]
        case _:
            assert_never(event)


def status_record(status: ServerStatus) -> Record:
    """One server, as every JSON output of the command line has it."""
    return {
        "server": status.server,
        "state": status.state,
        "cause": status.cause,
        "detail": status.detail,
        "package": status.package,
        "revision": status.revision,
        "machine_id": status.machine_id,
        "tools": list(status.tools),
        "since": status.since.isoformat() if status.since else None,
        "problem": _problem(status.problem) if status.problem else None,
    }


def _problem(problem: Problem) -> Record:
    return problem_document(problem).model_dump(mode="json")


def _revision(revision: Revision | None) -> Record:
    return revision_reference(revision).model_dump(mode="json") if revision else {"commit": None}


def _refused(event: RevisionRefused) -> Record:
    return {
        "event": "revision",
        "accepted": False,
        **_revision(event.revision),
        "problems": [_problem(problem) for problem in event.problems],
        "in_force": event.in_force.commit if event.in_force else None,
    }


def _plan(plan: Plan) -> Record:
    actions = [
        {"kind": KINDS[type(action)], "server": action.server, "reason": action.reason} for action in plan.actions
    ]
    deferred = [
        {"kind": KINDS[type(waiting.action)], "server": waiting.action.server, "until": waiting.until}
        for waiting in plan.deferred
    ]
    return {
        "event": "plan",
        "digest": plan.digest,
        "actions": actions,
        "deferred": deferred,
        "prune": _prune(plan.prune) if plan.prune else None,
    }


def _prune(request: PruneRequest) -> Record:
    return {
        "digest": request.digest,
        "apps": list(request.apps),
        "reason": request.reason,
        "command": request.command,
    }


def _finished(finished: Pass) -> Record:
    return {"event": "pass", "number": finished.number, "trigger": finished.trigger, "settled": finished.settled}


def _action(event: ActionFinished) -> Record:
    outcome = event.outcome
    return {
        "event": "action",
        "server": outcome.action.server,
        "kind": KINDS[type(outcome.action)],
        "outcome": outcome.kind,
        "machine_id": outcome.machine_id,
        "detail": outcome.detail,
        "problem": _problem(outcome.problem) if outcome.problem else None,
    }
