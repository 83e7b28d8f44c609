"""What an action came to, before it is told as an outcome."""

from dataclasses import dataclass

from reconciler.core.types import OutcomeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """An action that did not fail; one that failed is an exception."""

    kind: OutcomeKind = OutcomeKind.APPLIED
    machine_id: str = ""
    detail: str = ""
