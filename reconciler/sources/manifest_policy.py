"""The policy of a fleet out of those of its manifests.

A manifest can only ever tighten what another one states: whoever may edit one directory of a repository must not be
able to loosen what holds for all of it.
"""

from collections.abc import Sequence

from reconciler.core.prune_policy import PrunePolicy
from schemas.v1.manifest import Manifest


def strictest_prune(manifests: Sequence[Manifest]) -> PrunePolicy:
    """The least that any manifest states, field by field; the built-in value where none states one."""
    stated, default = [manifest.policy.prune for manifest in manifests], PrunePolicy()
    percents = [prune.max_percent for prune in stated if "max_percent" in prune.model_fields_set]
    counts = [prune.max_count for prune in stated if "max_count" in prune.model_fields_set]
    return PrunePolicy(
        max_percent=min(percents, default=default.max_percent),
        max_count=min(counts, default=default.max_count),
        always_confirm=any(prune.confirm for prune in stated),
    )
