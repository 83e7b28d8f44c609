"""Ports for what webhooks ask for: looks, and plans of proposed commits. `reconciler.loop.ports` names them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import Revision, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A commit that somebody wants to see merged: the head of a pull request, or one of a merge queue."""

    number: int
    """Of the pull request; 0 for a commit of a merge queue."""
    commit: str
    """40 hexadecimal digits."""
    ref: str
    """Where the repository keeps it: `refs/pull/12/head`, also for a fork, or `refs/heads/gh-readonly-queue/…`."""


class ProposalSource(Protocol):
    """Reads proposed commits: as data, and none of it is ever run."""

    async def proposed(self, proposal: Proposal) -> tuple[Revision, Mapping[str, bytes]]:
        """The commit, and its manifests and secret files as `Source.files` gives them.

        Raises:
            SourceError: it is gone, does not hold the followed directory, or exceeds a limit.
            Unavailable: the repository does not answer now.
            EnvironmentFault: it cannot be read with what this machine has.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingProposal:
    """A proposal that waits to be planned."""

    proposal: Proposal
    asked: int
    """How often a plan of it was asked for; another number after planning means that it was asked for anew."""
    told: bool
    """Whether it was planned before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProposal:
    """A proposal as pages see it."""

    proposal: Proposal
    received_at: datetime
    waits: bool
    planned: ProposedPlan | None
    """None until it was planned for the first time."""


class Proposals(Protocol):
    """The memory of proposed commits. The newest commit of a pull request is the only one that waits."""

    async def waiting(self) -> Sequence[WaitingProposal]:
        """Those that wait, oldest first."""
        ...

    async def ask(self, proposal: Proposal) -> None:
        """Makes one wait, again if it was planned before; an older commit of the same pull request waits no more."""
        ...

    async def keep_proposed(self, proposal: Proposal, planned: ProposedPlan, *, asked: int) -> None:
        """Keeps what a plan came to; it waits no more, unless it was asked for again meanwhile."""
        ...

    async def stored(self, proposal: Proposal) -> StoredProposal | None:
        """What is known of one; none where it never came, or is forgotten."""
        ...

    async def known_proposals(self) -> frozenset[tuple[int, str]]:
        """Number and commit of every proposal that waits or was planned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook that asks for a look, at the fleet or at a proposed commit."""

    id: str
    """GitHub's `X-GitHub-Delivery`: a redelivery has the id of the first."""
    trigger: Trigger | None
    """Why the loop is to look; none where only a proposal is to be planned."""
    received_at: datetime
    proposal: Proposal | None = None
    replanned: str = ""
    """A commit whose plan somebody asked for again; empty for none."""


class Inbox(Protocol):
    """Keeps the webhooks that were taken in, so that each wakes the loop once."""

    async def take_in(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Makes deliveries durable, with the proposals that they tell of; for each, whether it is new.

        Raises:
            Unavailable: none could be kept; whoever sent them is to send them again.
        """
        ...
