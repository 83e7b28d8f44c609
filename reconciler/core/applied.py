"""What was asked for last and is in force, as a value that another machine can plan against. Pure.

A secret is told by two digests: one of its ciphertext, by which anybody who has the repository sees whether it changed,
and the keyed one that is part of the machines' digests. Neither says anything about its value without the key.
"""

from dataclasses import dataclass

from reconciler.core.types import DesiredMachine, Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedSecret:
    """One secret of a server."""

    name: str
    sealed: str
    """SHA-256 of its ciphertext, in hexadecimal: of the file, or of the text in the manifest."""
    digest: str
    """The keyed digest; see `reconciler.core.digests.keyed_digest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedServer:
    """One server as it is in force."""

    name: str
    app: str
    suspended: bool
    machines: tuple[DesiredMachine, ...]
    secrets: tuple[AppliedSecret, ...] = ()
    owner: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    """By key. Pairs, because a label may have any name and a document's objects may not."""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedState:
    """The fleet as it is in force."""

    fleet: str
    revision: Revision
    servers: tuple[AppliedServer, ...]
