"""What a proposed commit would do to the fleet, compared with what was applied last. Pure.

The comparison is between two desired states, not with the machines: a machine that crashes while somebody writes a pull
request is no part of what the pull request proposes, and a fork must not learn how the machines are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from reconciler.core.actions import Plan
from reconciler.core.cost import MonthlyCost
from reconciler.core.problems import Problem
from reconciler.core.types import (
    Check,
    CheckState,
    DesiredMachine,
    DesiredServer,
    MachineState,
    Observation,
    ObservedApp,
    ObservedMachine,
    Revision,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedPlan:
    """A commit of a pull request or of a merge queue, planned or refused."""

    number: int
    """Of the pull request; 0 for a commit of a merge queue."""
    revision: Revision
    base: Revision | None
    """The revision in force that it was compared with; none where nothing was applied yet."""
    plan: Plan | None
    """None where the commit is refused as a whole; `problems` say why."""
    problems: tuple[Problem, ...]
    """What is wrong with the commit, whole or server by server."""
    warnings: tuple[Problem, ...]
    """What could not be found out now, and what the manifest reader remarks."""
    cost_before: MonthlyCost
    cost_after: MonthlyCost
    planned_at: datetime

    @property
    def acceptable(self) -> bool:
        """Whether the commit could be applied as it is."""
        return self.plan is not None and not self.problems

    def says_as(self, other: "ProposedPlan") -> bool:
        """Whether it comes to the same as another plan of the same commit, whatever each was compared with."""
        return self.digest == other.digest and self.problems == other.problems

    @property
    def digest(self) -> str | None:
        """Of the plan; none where there is none."""
        return self.plan.digest if self.plan is not None else None


def as_applied(fleet: str, servers: Iterable[DesiredServer], revision: Revision) -> Observation:
    """The machines as they would be seen if a desired state were applied whole and everything were well.

    Suspended servers are left out: what they leave behind is known to the machines alone.
    """
    running = [server for server in servers if not server.spec.suspended]
    return observed_as_applied(
        fleet,
        [(server.spec.app, server.network) for server in running],
        [machine for server in running for machine in server.machines],
        revision.commit,
    )


def observed_as_applied(
    fleet: str, apps: Iterable[tuple[str, str]], machines: Iterable[DesiredMachine], commit: str
) -> Observation:
    """Apps, each with its network, and machines as they would be seen if they were as asked for."""
    return Observation(
        apps=tuple(ObservedApp(name=name, network=network) for name, network in apps),
        machines=tuple(
            ObservedMachine(
                app=machine.app,
                id=machine.name,
                name=machine.name,
                state=MachineState.STARTED,
                region=machine.region,
                instance_id=machine.digest,
                fleet=fleet,
                server=machine.server,
                digest=machine.digest,
                revision=commit,
                config=machine.config,
                checks=(Check(name="servicecheck-00-http-8080", state=CheckState.PASSING),),
            )
            for machine in machines
        ),
    )
