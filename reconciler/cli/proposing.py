"""Builds the worker that plans proposed commits."""

from reconciler.cli.wiring import Wired
from reconciler.loop.ports import ProposalSource
from reconciler.loop.proposals import ProposalDoors, ProposalPlanner
from reconciler.loop.proposing import ProposalWorker
from reconciler.sources.sealed import sealed_secrets


def proposal_worker(connected: Wired, source: ProposalSource | None) -> ProposalWorker | None:
    """A worker, where there are proposed commits to read and somebody to tell."""
    reports, lead = connected.reporting.proposals, connected.lead
    if source is None or reports is None or lead is None:
        return None
    doors = ProposalDoors(
        source=source,
        # Not the one of the fleet: that one would take a proposed commit's servers for those that run.
        read_manifests=connected.plain_reader,
        sealed=sealed_secrets,
        catalog=connected.ports.catalog,
        clock=connected.ports.clock,
    )
    planner = ProposalPlanner(doors, connected.settings, lambda: connected.reconciler.in_force)
    return ProposalWorker(planner, connected.store.fenced(lead), reports, lead, connected.ports.clock)
