"""All manifests of one revision together: the fleet as asked for."""

from dataclasses import dataclass, field

from reconciler.core.gateway_rules import GatewayRules
from reconciler.core.problems import Problem
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.signatures import Ways
from reconciler.core.types import ServerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSet:
    """The fleet that the `catwalk.yaml` files of one revision declare. Only a set without errors is ever made."""

    fleet: str
    organization: str
    specs: tuple[ServerSpec, ...]
    """Sorted by name; every name once."""
    warnings: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()
    """The manifests, relative to the root of the source."""
    prune: PrunePolicy = field(default_factory=PrunePolicy)
    """The strictest of what the manifests state."""
    signed_commits: Ways = ()
    """How commits are to be signed, by all manifests together."""
    gateway: GatewayRules = field(default_factory=GatewayRules)
    """Of all manifests together."""
