"""How much one plan may remove before it must ask. Losing a manifest must never cost a fleet."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePolicy:
    """How many servers one plan may remove without being asked: `policy.prune` of the manifest.

    A plan that would remove more than `max_count`, or more than `max_percent` of the servers that exist and more than
    one, removes none and asks. `always_confirm` asks for every removal.
    """

    max_percent: int = 50
    max_count: int = 10
    always_confirm: bool = False
