"""Plans proposed commits: reads them as data, and compares what they ask for with what is in force.

Nothing of a proposed commit is run and nothing in it is decrypted: whoever may open a pull request, from a fork too,
must learn nothing by it. Whether a secret changes is told by its ciphertext. The value that is in force stands in for
one whose ciphertext is the same, so that only what changes shows up in the plan.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import anyio.to_thread

from reconciler.core.cost import planned_cost, running_cost
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.plan import plan
from reconciler.core.problems import Location, Problem
from reconciler.core.proposals import ProposedPlan, as_applied
from reconciler.core.secret import SecretValue
from reconciler.core.types import Observation, Revision, ServerSpec, Snapshot
from reconciler.errors import SourceError
from reconciler.loop.desired import Accepted, Desired, ResolvedServer
from reconciler.loop.faults import problems_of
from reconciler.loop.packages import PackageChecks
from reconciler.loop.ports import Clock, ManifestReader, PackageCatalog, Proposal, ProposalSource, ServerSecrets
from reconciler.loop.servers import Resolver
from reconciler.loop.setup import PassSettings

SealedSecrets = Callable[[ServerSpec, Mapping[str, bytes]], Mapping[str, str]]
"""A digest of the ciphertext of each secret of a server, by name; raises SourceError for one that is missing."""
NOTHING: Final = Observation()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalDoors:
    """What proposed commits are read through."""

    source: ProposalSource
    read_manifests: ManifestReader
    """One that learns nothing from what it reads."""
    sealed: SealedSecrets
    catalog: PackageCatalog
    clock: Clock


class ProposalPlanner:
    """Plans one proposed commit at a time."""

    def __init__(self, doors: ProposalDoors, settings: PassSettings, in_force: Callable[[], Desired | None]) -> None:
        """`in_force` gives the desired state that the last pass read; none before the first pass."""
        self._doors, self._settings, self._in_force = doors, settings, in_force
        self._packages = PackageChecks(doors.catalog, doors.clock)

    @property
    def ready(self) -> bool:
        """Whether it is known what is in force."""
        return self._in_force() is not None

    @property
    def base_commit(self) -> str:
        """The commit in force, which every plan is compared with; empty where there is none."""
        base = self._in_force()
        return base.accepted.revision.commit if base is not None and base.accepted is not None else ""

    async def plan(self, proposal: Proposal) -> ProposedPlan:
        """What the commit would do, or why it would be refused.

        Raises:
            Unavailable: the repository does not answer now.
            EnvironmentFault: it cannot be read with what this machine has.
        """
        revision = Revision(commit=proposal.commit, branch=proposal.ref, source="")
        base = self._in_force()
        try:
            revision, files = await self._doors.source.proposed(proposal)
            manifests = self._doors.read_manifests(files)
            _refuse_other_fleet(manifests, base)
        except SourceError as error:
            return self._outcome(proposal, revision, base, problems=problems_of(error))
        accepted = Accepted(revision=revision, manifests=manifests, files=files)
        secrets = UnopenedSecrets(self._doors.sealed, base)
        resolved = await Resolver(secrets, self._packages, self._settings).resolve_all(accepted)
        return await self._compared(proposal, accepted, resolved, base)

    async def _compared(
        self, proposal: Proposal, accepted: Accepted, resolved: tuple[ResolvedServer, ...], base: Desired | None
    ) -> ProposedPlan:
        desired = Desired(accepted=accepted, servers=resolved)
        observation = _observation(base)
        snapshot = Snapshot(
            fleet=accepted.manifests.fleet,
            revision=accepted.revision,
            desired=desired.resolved,
            observation=observation,
            blocked=desired.blocked,
            owned_apps=frozenset(app.name for app in observation.apps),
            prune=accepted.manifests.prune,
            former_dependencies={spec.name: spec.depends_on for spec in base.specs} if base else {},
        )
        made = await anyio.to_thread.run_sync(plan, snapshot)
        outcome = self._outcome(proposal, accepted.revision, base, problems=desired.blocked)
        return replace(
            outcome,
            plan=made,
            warnings=(*accepted.manifests.warnings, *desired.warnings),
            cost_after=planned_cost(observation.machines, made),
        )

    def _outcome(
        self, proposal: Proposal, revision: Revision, base: Desired | None, *, problems: tuple[Problem, ...]
    ) -> ProposedPlan:
        cost = running_cost(_observation(base).machines)
        return ProposedPlan(
            number=proposal.number,
            revision=revision,
            base=base.accepted.revision if base and base.accepted else None,
            plan=None,
            problems=problems,
            warnings=(),
            cost_before=cost,
            cost_after=cost,
            planned_at=self._doors.clock.now(),
        )


class UnopenedSecrets:
    """Implements `SecretReader` without opening anything."""

    def __init__(self, sealed: SealedSecrets, base: Desired | None) -> None:
        self._sealed, self._base = sealed, base

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> ServerSecrets:
        """For each secret the value in force where the ciphertext is the same, else one that no secret has.

        Raises:
            SourceError: a declared secret is missing.
        """
        known, values = self._known(spec), self._values(spec)
        return {
            name: values[name] if known.get(name) == digest and name in values else SecretValue(f"sealed:{digest}")
            for name, digest in self._sealed(spec, files).items()
        }

    def _known(self, spec: ServerSpec) -> Mapping[str, str]:
        """Ciphertexts in force, of the server of the same name and of the same fleet."""
        accepted = self._base.accepted if self._base else None
        if accepted is None:
            return {}
        old = next((found for found in accepted.manifests.specs if found.name == spec.name), None)
        try:
            return {} if old is None else self._sealed(old, accepted.files)
        except SourceError:
            return {}

    def _values(self, spec: ServerSpec) -> ServerSecrets:
        return self._base.secrets.get(spec.name, {}) if self._base else {}


def _observation(base: Desired | None) -> Observation:
    if base is None or base.accepted is None:
        return NOTHING
    return as_applied(base.accepted.manifests.fleet, base.resolved, base.accepted.revision)


def _refuse_other_fleet(manifests: ManifestSet, base: Desired | None) -> None:
    """Raises: SourceError: the fleet has another name than the one that runs."""
    known = base.accepted.manifests.fleet if base and base.accepted else manifests.fleet
    if known != manifests.fleet:
        raise SourceError(
            "fleet-renamed",
            f"the fleet is called {known} and would be called {manifests.fleet}",
            hint="its machines carry the old name: keep it, or remove all servers under it before renaming",
            location=Location(file=manifests.files[0]) if manifests.files else None,
        )
