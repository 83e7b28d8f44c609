"""What a pass needs from the outside, in the words of the pass.

Each Protocol is a door that another room builds and the wiring hands in. They are small, asynchronous where they reach
over a process border, and raise only errors of `reconciler.errors`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from reconciler.core.actions import Action, Outcome, Pass, Plan
from reconciler.core.holds import GoodServer, Hold
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.releases import Release
from reconciler.core.secret import SecretValue
from reconciler.core.setbacks import Setback
from reconciler.core.types import (
    Observation,
    PackageReference,
    ProbeResult,
    Revision,
    ServerSpec,
    ServerStatus,
)
from reconciler.loop.history import PassSummary, Transition
from reconciler.loop.webhook_ports import (
    Delivery,
    Inbox,
    Proposal,
    Proposals,
    ProposalSource,
    StoredProposal,
    WaitingProposal,
)

__all__ = [
    "Clock",
    "Delivery",
    "Fleet",
    "Gate",
    "HostVerifier",
    "Inbox",
    "LogLine",
    "Logs",
    "ManifestReader",
    "Memory",
    "PackageCatalog",
    "PassSummary",
    "Prober",
    "Proposal",
    "ProposalSource",
    "Proposals",
    "Reporter",
    "SecretReader",
    "ServerSecrets",
    "SignatureVerifier",
    "SignedCommit",
    "SignedSource",
    "Source",
    "StoredProposal",
    "TextShelf",
    "Transition",
    "WaitingProposal",
]

ServerSecrets = Mapping[str, SecretValue]


class Clock(Protocol):
    """The time, passed in so that tests own it."""

    def now(self) -> datetime:
        """Now, aware, in UTC."""
        ...


class Source(Protocol):
    """The repository that holds the desired state."""

    async def head(self) -> Revision:
        """The newest revision of the followed branch.

        Raises:
            Unavailable: the repository cannot be reached now.
            EnvironmentFault: it cannot be read with what this machine has (path, credentials, host key).
        """
        ...

    async def files(self, revision: Revision) -> Mapping[str, bytes]:
        """Manifests and secret files of that revision, by path relative to the followed directory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCommit:
    """A commit as it was signed."""

    payload: bytes
    """The commit without its signature."""
    signature: bytes
    """Armored; empty for a commit without one."""


@runtime_checkable
class SignedSource(Protocol):
    """A repository whose commits can be signed."""

    async def signed(self, revision: Revision) -> SignedCommit:
        """The commit with its signature.

        Raises:
            CatwalkError: it cannot be read, as `Source.files`.
        """
        ...

    async def text(self, revision: Revision, path: str) -> str:
        """A file of the revision by its path from the root of the repository; empty where there is none.

        Raises:
            SourceError: it is no text, a link, or too large.
            CatwalkError: it cannot be read, as `Source.files`.
        """
        ...


class SignatureVerifier(Protocol):
    """Checks signatures against keys."""

    async def verify(self, commit: SignedCommit, keys: str, *, name: str) -> str:
        """Who signed the commit; `keys` is the content of a file that errors call `name`.

        Raises:
            SourceError: none of these keys did.
            CatwalkError: it cannot be found out here, or now.
        """
        ...


class HostVerifier(Protocol):
    """Asks the git host about a signature."""

    async def verify(self, commit: str) -> None:
        """Lets a commit pass whose signature the host has verified.

        Raises:
            SourceError: it has not.
            CatwalkError: it cannot be found out now.
        """
        ...


class ManifestReader(Protocol):
    """From the files of a revision to a fleet."""

    def __call__(self, files: Mapping[str, bytes]) -> ManifestSet:
        """Reads every `catwalk.yaml`.

        Raises:
            InvalidManifests: at least one is wrong; carries every problem with its place.
        """
        ...


class SecretReader(Protocol):
    """Decrypts what a server declares."""

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> ServerSecrets:
        """The plaintext of every declared secret of one server.

        Raises:
            CatwalkError: no key, a key that does not fit, a tampered value, a missing file; the server stays as it is.
        """
        ...


class PackageCatalog(Protocol):
    """The registries that packages come from."""

    async def check(self, reference: PackageReference, *, entrypoint: str = "") -> Release | None:
        """Refuses what cannot start: a package, version or executable that does not exist.

        Returns:
            What the registry says about it; none where nothing is known.

        Raises:
            SourceError: it does not exist, or has nothing to run.
            Unavailable: the registry does not answer; which proves nothing about the package.
        """
        ...


class Fleet(Protocol):
    """The machines of this fleet, behind the Machines API."""

    async def observe(self, *, glance: bool = False) -> Observation:
        """Everything that exists. An answer that may be partial says so in `complete`.

        Args:
            glance: takes a machine that was well a few seconds ago for well. Whatever changes about a machine is seen
                all the same; how it does is not. For looks that soon follow a full one.

        Raises:
            Unavailable: nothing could be read.
        """
        ...

    async def apply(self, action: Action, *, secrets: ServerSecrets, revision: Revision) -> Outcome:
        """Does one thing, once, and tells what came of it; a failure is an outcome, not an exception."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a machine's log, redacted."""

    at: datetime
    machine_id: str
    level: str
    message: str


class Logs(Protocol):
    """What the machines wrote."""

    async def recent(self, app: str, *, limit: int) -> Sequence[LogLine]:
        """The newest lines of an app, oldest first.

        Raises:
            Unavailable: the log service does not answer.
        """
        ...


class Prober(Protocol):
    """Proves over MCP that a server answers, by the path that its callers use."""

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        """One `initialize` (or `server/discover`) and one `tools/list`; never raises for a server that is unwell.

        `machine_id` names the machine that must answer; empty leaves the choice to the proxy.
        """
        ...


class Gate(Protocol):
    """Decides whether a pass may run at all: the fleet is suspended, or another process leads it."""

    async def check(self) -> None:
        """Returns when the pass may go on.

        Raises:
            CatwalkError: it may not, and why.
        """
        ...


class Reporter(Protocol):
    """Tells readers outside what a pass found. Level-triggered: saying the same thing again changes nothing."""

    async def begin(self, begun: Pass) -> None:
        """Told of a pass that has something to do, before it does it."""
        ...

    async def report(self, finished: Pass) -> None: ...


class Memory(Protocol):
    """What outlives a pass. A cache with a memory: losing it costs history, never correctness."""

    async def next_number(self) -> int: ...

    async def record_intents(self, number: int, plan: Plan) -> None:
        """Makes what is about to happen durable before it happens."""
        ...

    async def record_outcome(self, number: int, outcome: Outcome) -> None: ...

    async def record_pass(self, finished: Pass) -> None: ...

    async def last_good(self) -> Revision | None:
        """The newest revision whose manifests were accepted and applied."""
        ...

    async def keep_last_good(self, revision: Revision) -> None: ...

    async def owned_apps(self) -> frozenset[str]:
        """Apps that this fleet created or meant to create, and has not destroyed."""
        ...

    async def statuses(self) -> tuple[ServerStatus, ...]:
        """The last recorded verdict on every server, so that `since` survives a restart."""
        ...

    async def setbacks(self) -> tuple[Setback, ...]:
        """What failed and waits for its time, by server and machine.

        `record_outcome` keeps them. A machine action that failed is one more attempt at its digest, to be tried again
        after 5, 10, 20 … 600 seconds; another digest or another kind of action begins anew. One that was applied or
        adopted ends it. Failures of the app as a whole have an empty machine name. What was not tried again for a day
        is forgotten, and so is all that concerns a server once its app is destroyed.
        """
        ...

    async def good_servers(self) -> Mapping[str, GoodServer]:
        """The newest configuration of each server that was seen healthy, by the server's name."""
        ...

    async def keep_good_servers(self, arrived: Sequence[GoodServer]) -> None:
        """Puts these in the place of what was known of the same servers."""
        ...

    async def holds(self) -> tuple[Hold, ...]:
        """What stands held, by server; one for each at most."""
        ...

    async def hold(self, hold: Hold) -> None:
        """Holds a server; in the place of an earlier hold of it, if there is one."""
        ...

    async def release_holds(self, servers: Collection[str]) -> None:
        """Ends the holds of these servers; one that is not held is no fault."""
        ...

    async def confirm_prune(self, digest: str) -> None:
        """A person agrees to a removal by the digest of `PruneRequest`."""
        ...

    async def confirmed_prunes(self) -> frozenset[str]:
        """The removals that were agreed to within the last 24 hours and not used."""
        ...

    async def agreed_apps(self) -> frozenset[str]:
        """Apps whose removal was begun with somebody's agreement, or within the budget, in the last day."""
        ...

    async def keep_agreed_apps(self, apps: Collection[str]) -> None:
        """Puts these apps in the place of those that were kept before. What was kept keeps its time."""
        ...

    async def use_prune(self, digest: str) -> None:
        """The removal was carried out: the agreement is spent."""
        ...


class TextShelf(Protocol):
    """Texts by key, for what other rooms must remember. Every call is durable when it returns."""

    async def load(self) -> Sequence[tuple[str, str]]:
        """Key and text of each, in the order in which the keys first came.

        Raises:
            Unavailable: the store does not answer.
        """
        ...

    async def save(self, texts: Mapping[str, str]) -> None:
        """Adds or replaces these, all or none.

        Raises:
            Conflict: this process leads no longer.
            Unavailable: the store does not answer.
        """
        ...

    async def forget(self, keys: Collection[str]) -> None:
        """Removes these; unknown keys are no fault. Raises as `save` does."""
        ...
