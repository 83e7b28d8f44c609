"""`/api/pulls` and `/api/state`: what was proposed, and what is in force to plan against."""

from typing import Final

from pydantic import Field

from reconciler.core.applied import AppliedServer
from reconciler.core.cost import PRICES_AS_OF
from reconciler.core.proposals import ProposedPlan
from reconciler.errors import Unavailable
from reconciler.loop.ports import StoredProposal
from reconciler.web.documents import Document, ProblemDocument, RevisionReference
from reconciler.web.errors import NotKnown
from reconciler.web.plans import PlanDocument, plan_document, problem_document, revision_reference
from reconciler.web.view import FleetView

MOST_COMMITS: Final = 20
"""Commits of one pull request that are told."""
SHOWN_COMMITS: Final = 3
"""Of them on the page."""


class CostDocument(Document):
    """US dollars a month with every machine awake: the most that it can be."""

    before: float
    after: float
    unpriced: list[str]
    """Servers of a size without a known price."""
    prices_as_of: str


class ProposalDocument(Document):
    """One proposed commit."""

    number: int
    """Of the pull request; 0 for a commit of a merge queue."""
    commit: str
    received_at: str
    waits: bool
    """Whether it is still to be planned, for the first time or anew."""
    acceptable: bool | None
    """Whether it could be applied as it is; null until it was planned."""
    revision: RevisionReference | None
    base: RevisionReference | None
    """The revision in force that it was compared with."""
    planned_at: str | None
    plan: PlanDocument | None
    """Null until it was planned, and where the commit is refused as a whole."""
    problems: list[ProblemDocument]
    warnings: list[ProblemDocument]
    cost: CostDocument | None


class ProposalsDocument(Document):
    """Proposed commits, newest first."""

    fleet: str
    proposals: list[ProposalDocument]


class MachineDocument(Document):
    """One machine as it is asked for."""

    name: str
    region: str
    config: str
    """The Machines API config as canonical JSON text, because its digest is over this text."""
    digest: str


class SecretDocument(Document):
    """A secret by its digests; never its value."""

    name: str
    sealed: str
    """SHA-256 of its ciphertext."""
    digest: str
    """Keyed digest of its value."""


class AppliedServerDocument(Document):
    name: str
    app: str
    suspended: bool
    machines: list[MachineDocument]
    secrets: list[SecretDocument]
    owner: str = ""
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    description: str = ""


class StateDocument(Document):
    """What is in force, for a plan that is made elsewhere."""

    fleet: str
    revision: RevisionReference
    servers: list[AppliedServerDocument]


async def pulls_document(view: FleetView, *, limit: int) -> ProposalsDocument:
    found = await view.proposals(limit=limit)
    return ProposalsDocument(fleet=view.fleet, proposals=[_proposal(one) for one in found])


async def pull_document(view: FleetView, number: int, *, most_actions: int | None = None) -> ProposalsDocument:
    """The commits of one pull request, the newest first; of older ones a page shows fewer actions.

    Raises:
        NotKnown: nothing of it was ever taken in.
    """
    found = await view.proposals(number=number, limit=MOST_COMMITS if most_actions is None else SHOWN_COMMITS)
    if not found or number < 1:
        raise NotKnown("pull request", str(number))
    older = None if most_actions is None else most_actions // 10
    shown = [_proposal(one, older if place else most_actions) for place, one in enumerate(found)]
    return ProposalsDocument(fleet=view.fleet, proposals=shown)


async def state_document(view: FleetView) -> StateDocument:
    """What is in force.

    Raises:
        Unavailable: no revision was accepted yet.
    """
    state = await view.applied()
    if state is None:
        raise Unavailable("nothing-in-force", "no revision is in force yet", hint="ask again after the first pass")
    return StateDocument(
        fleet=state.fleet,
        revision=revision_reference(state.revision),
        servers=[_server(server) for server in state.servers],
    )


def _server(server: AppliedServer) -> AppliedServerDocument:
    return AppliedServerDocument(
        name=server.name,
        app=server.app,
        suspended=server.suspended,
        machines=[
            MachineDocument(name=one.name, region=one.region, config=one.config, digest=one.digest)
            for one in server.machines
        ],
        secrets=[SecretDocument(name=one.name, sealed=one.sealed, digest=one.digest) for one in server.secrets],
        owner=server.owner,
        labels=dict(server.labels),
        description=server.description,
    )


def _proposal(stored: StoredProposal, most_actions: int | None = None) -> ProposalDocument:
    planned = stored.planned
    return ProposalDocument(
        number=stored.proposal.number,
        commit=stored.proposal.commit,
        received_at=stored.received_at.isoformat(),
        waits=stored.waits,
        acceptable=planned.acceptable if planned else None,
        revision=revision_reference(planned.revision) if planned else None,
        base=revision_reference(planned.base) if planned and planned.base else None,
        planned_at=planned.planned_at.isoformat() if planned else None,
        plan=plan_document(planned.plan, most_actions) if planned and planned.plan else None,
        problems=[problem_document(one) for one in planned.problems] if planned else [],
        warnings=[problem_document(one) for one in planned.warnings] if planned else [],
        cost=_cost(planned) if planned else None,
    )


def _cost(planned: ProposedPlan) -> CostDocument:
    return CostDocument(
        before=planned.cost_before.awake,
        after=planned.cost_after.awake,
        unpriced=list(planned.cost_after.unpriced),
        prices_as_of=PRICES_AS_OF,
    )
