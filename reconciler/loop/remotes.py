"""The remote servers of the revision in force, told to whoever relays to them, with the secrets that open them.

They have no machines, so that nothing is applied: who relays takes them over as they are read. Secrets travel by this
one way, in their own type, and are never part of an event, a plan or the store; a process that stands by reads them
itself (`reconciler.loop.standing_by`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.core.remotes import RemoteProgram
from reconciler.core.secret import SecretValue
from reconciler.core.types import ServerSpec
from reconciler.loop.desired import ResolvedServer
from reconciler.loop.ports import ServerSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteServer:
    """One server that somebody else runs."""

    spec: ServerSpec
    secrets: ServerSecrets = field(default_factory=dict[str, SecretValue], repr=False)
    is_known: bool = True
    """Whether its secrets were read. Where not, because they cannot be or it is suspended, it stays as it was."""


class Remotes(Protocol):
    """Relays to remote servers."""

    def follow(self, servers: Sequence[RemoteServer]) -> None:
        """These are all there are from now on."""
        ...


class NoRemotes:
    """Relays to nobody: for commands that only look."""

    def follow(self, servers: Sequence[RemoteServer]) -> None:
        """As `Remotes.follow`."""


def remote_servers(servers: Iterable[ResolvedServer]) -> tuple[RemoteServer, ...]:
    """The remote ones among the servers of a revision."""
    return tuple(
        RemoteServer(
            spec=server.spec,
            secrets=server.secrets,
            is_known=server.problem is None and not server.spec.suspended,
        )
        for server in servers
        if isinstance(server.spec.package, RemoteProgram)
    )
