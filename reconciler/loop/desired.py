"""The desired state as a value: what the fleet is brought to, and everything that stands against it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.holds import Hold
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Problem, Remedy
from reconciler.core.secret import SecretValue
from reconciler.core.types import DesiredServer, Revision, ServerSpec
from reconciler.loop.ports import ServerSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A revision whose manifests could be read."""

    revision: Revision
    manifests: ManifestSet
    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why the newest revision is not the one in force."""

    revision: Revision | None
    """None when the source did not even tell its newest revision."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedServer:
    """One server of the manifest: resolved, or blocked by a problem, and in any case known by its spec."""

    spec: ServerSpec
    desired: DesiredServer | None = None
    secrets: ServerSecrets = field(default_factory=dict[str, SecretValue], repr=False)
    problem: Problem | None = None
    warning: Problem | None = None
    hold: Hold | None = None
    """That the revision's own configuration did not become healthy. `desired` is then the one that it went back to,
    or the revision's own where there was none."""


def held_problem(spec: ServerSpec, hold: Hold) -> Problem:
    """A hold in the words of a problem: what failed, what runs instead, what ends it."""
    runs = f"it went back to {hold.fallback[:7]}" if hold.fallback else "there was nothing to go back to"
    return Problem(
        code="held",
        message=f"{hold.cause or 'it'} at {hold.commit[:7]}: {hold.detail or 'it did not become healthy'}; {runs}",
        hint="the next commit is tried again; so is this one when you run catwalk apply",
        server=spec.name,
        location=spec.location,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the fleet is brought to, and everything that stands against it."""

    accepted: Accepted | None
    """The revision in force; none when no revision could ever be used."""
    refusal: Refusal | None = None
    servers: tuple[ResolvedServer, ...] = ()

    @property
    def specs(self) -> tuple[ServerSpec, ...]:
        return self.accepted.manifests.specs if self.accepted else ()

    @property
    def looked_at(self) -> Revision | None:
        if self.refusal is not None:
            return self.refusal.revision
        return self.accepted.revision if self.accepted else None

    @property
    def resolved(self) -> tuple[DesiredServer, ...]:
        return tuple(server.desired for server in self.servers if server.desired is not None)

    @property
    def blocked(self) -> tuple[Problem, ...]:
        return tuple(server.problem for server in self.servers if server.problem is not None)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(server.warning for server in self.servers if server.warning is not None)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that a reader must know, the whole fleet first."""
        return (*(self.refusal.problems if self.refusal else ()), *self.blocked, *self.held)

    @property
    def held(self) -> tuple[Problem, ...]:
        """One problem for each server whose configuration of this revision was given up."""
        return tuple(held_problem(server.spec, server.hold) for server in self.servers if server.hold is not None)

    @property
    def gone_back(self) -> frozenset[str]:
        """Servers that are held at an earlier configuration."""
        held = ((server.spec.name, server.hold) for server in self.servers)
        return frozenset(name for name, hold in held if hold is not None and hold.fallback)

    @property
    def trials(self) -> Mapping[str, ResolvedServer]:
        """The servers that are to get what the revision asks for, by name: neither blocked nor held."""
        return {
            server.spec.name: server
            for server in self.servers
            if server.desired is not None and server.problem is None and server.hold is None
        }

    @property
    def secrets(self) -> Mapping[str, ServerSecrets]:
        """The plaintext, by server."""
        return {server.spec.name: server.secrets for server in self.servers}

    @property
    def final(self) -> bool:
        """Whether only a new commit can change it, so that a health pass may use it again without reading anything."""
        found = (*self.problems, *self.warnings)
        return self.accepted is not None and all(problem.remedy is Remedy.FIX_SOURCE for problem in found)
