"""Builds the worker that plans proposed commits, and the one that finds those that no webhook told of."""

from reconciler.cli.catching_up import CatchUp, Doors, Followed
from reconciler.cli.wiring import Wired
from reconciler.loop.ports import ProposalSource
from reconciler.loop.proposals import ProposalDoors, ProposalPlanner
from reconciler.loop.proposing import ProposalWorker
from reconciler.report.missed import FailedDeliveries, OpenPulls
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


def catching_up(connected: Wired, proposing: ProposalWorker) -> CatchUp | None:
    """A look for what was missed, where GitHub can be asked."""
    access, lead = connected.reporting.access, connected.lead
    if access is None or lead is None:
        return None
    clock = connected.ports.clock
    failed = FailedDeliveries(access.installation, access.pace, clock) if access.installation is not None else None

    def branch() -> str:
        desired = connected.reconciler.in_force
        revision = desired.looked_at if desired is not None else None
        return revision.branch if revision is not None else ""

    followed = Followed(branch=branch, base=lambda: proposing.base_commit)
    doors = Doors(pulls=OpenPulls(access.door, access.repository), failed=failed)
    return CatchUp(connected.store, lead, followed, doors, proposing.reconsider)
