"""What changed since an unwell server last worked: the first question of whoever has to mend it.

It is answered by what is remembered: when the server was last well and at which commit, and what the passes over the
commit that it runs now did to its machines. Where nothing was done, that is said too: then the cause lies outside.
"""

from collections.abc import Sequence
from typing import Final

from reconciler.core.types import ServerState, ServerStatus
from reconciler.loop.ports import Transition
from reconciler.web.documents import ActionDocument, SinceItWorkedDocument
from reconciler.web.plans import pass_document
from reconciler.web.view import FleetView

WELL: Final = frozenset({ServerState.READY, ServerState.IDLE})
UNWELL: Final = frozenset({ServerState.FAILED, ServerState.DEGRADED, ServerState.HELD})
MOST_PASSES: Final = 10
_CHANGING: Final = frozenset({"create", "update", "set-secrets"})
"""Kinds of actions that give a machine something else to run."""


async def since_it_worked(
    view: FleetView, status: ServerStatus, history: Sequence[Transition]
) -> SinceItWorkedDocument | None:
    """What changed since an unwell server was last well; none where it is not unwell or never was well.

    Args:
        view: the fleet.
        status: the verdict now.
        history: changes of the verdict on this server, newest first.

    Raises:
        Unavailable: the history cannot be read now.
    """
    place = next((place for place, change in enumerate(history) if change.state in WELL), None)
    if status.state not in UNWELL or not place:
        return None
    worked, ended = history[place], history[place - 1]
    changes = await _changes(view, status) if status.revision != worked.revision else []
    return SinceItWorkedDocument(
        worked_until=ended.at,
        worked_at=worked.revision,
        runs_now=status.revision,
        changes=changes,
        summary=_summary(status, worked, changes),
    )


async def _changes(view: FleetView, status: ServerStatus) -> list[ActionDocument]:
    """What the passes over the commit that it runs did to its machines, oldest first, each thing once."""
    passes = await view.passes(status.revision, limit=MOST_PASSES) if status.revision else ()
    found: dict[tuple[str, str], ActionDocument] = {}
    for finished in reversed(passes):
        for action in pass_document(finished, None).actions:
            if action.server == status.server and action.kind in _CHANGING:
                found.setdefault((action.kind, action.reason), action)
    return list(found.values())


def _summary(status: ServerStatus, worked: Transition, changes: Sequence[ActionDocument]) -> str:
    if status.revision == worked.revision:
        return "Nothing that Catwalk deploys has changed since: look at what the server calls, and at its credentials."
    if not changes:
        return "The commit is another one, and what was done to its machines is not remembered any more."
    return "Since then its machines were given something else to run."
