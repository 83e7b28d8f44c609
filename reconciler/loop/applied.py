"""Keeps what is in force in the store: every process can tell it, and machines elsewhere can plan against it."""

from collections.abc import Callable, Iterator
from typing import Final

from reconciler.core.actions import Pass
from reconciler.core.applied import AppliedSecret, AppliedServer, AppliedState
from reconciler.core.digests import keyed_digest
from reconciler.errors import SourceError
from reconciler.loop.desired import Accepted, Desired, ResolvedServer
from reconciler.loop.ports import Reporter
from reconciler.loop.proposals import SealedSecrets
from reconciler.loop.store.documents import from_document, to_document
from reconciler.loop.store.shelves import Shelf

SHELF: Final = "applied"
_KEY: Final = "state"


class KeptState:
    """The state on its shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._kept: AppliedState | None = None

    async def read(self) -> AppliedState | None:
        """The state; none before the first pass that accepted a revision.

        Raises:
            Unavailable: the store does not answer.
        """
        texts = dict(await self._shelf.load())
        return from_document(AppliedState, texts[_KEY]) if _KEY in texts else None

    async def keep(self, state: AppliedState) -> None:
        """Puts it in the place of the last one. Keeping the same again costs nothing."""
        if state != self._kept:
            await self._shelf.save({_KEY: to_document(state)})
            self._kept = state


class StateReporter:
    """A reporter that keeps the state before another one tells of the pass."""

    def __init__(self, reporter: Reporter, kept: KeptState, state: Callable[[], AppliedState | None]) -> None:
        self._reporter, self._kept, self._state = reporter, kept, state

    async def begin(self, begun: Pass) -> None:
        await self._reporter.begin(begun)

    async def report(self, finished: Pass) -> None:
        if (state := self._state()) is not None:
            await self._kept.keep(state)
        await self._reporter.report(finished)


def applied_state(desired: Desired | None, sealed: SealedSecrets, digest_key: bytes) -> AppliedState | None:
    """What is in force; none while no revision is."""
    if desired is None or desired.accepted is None:
        return None
    accepted = desired.accepted
    return AppliedState(
        fleet=accepted.manifests.fleet,
        revision=accepted.revision,
        servers=tuple(_server(server, accepted, sealed, digest_key) for server in desired.servers if server.desired),
    )


def _server(server: ResolvedServer, accepted: Accepted, sealed: SealedSecrets, digest_key: bytes) -> AppliedServer:
    assert server.desired is not None
    return AppliedServer(
        name=server.spec.name,
        app=server.spec.app,
        suspended=server.spec.suspended,
        machines=server.desired.machines,
        secrets=tuple(_secrets(server, accepted, sealed, digest_key)),
        owner=server.spec.owner,
        labels=tuple(sorted(server.spec.labels.items())),
        description=server.spec.description,
    )


def _secrets(
    server: ResolvedServer, accepted: Accepted, sealed: SealedSecrets, digest_key: bytes
) -> Iterator[AppliedSecret]:
    try:
        ciphertexts = sealed(server.spec, accepted.files)
    except SourceError:
        return
    for name in sorted(server.secrets.keys() & ciphertexts.keys()):
        digest = keyed_digest(digest_key, server.secrets[name])
        yield AppliedSecret(name=name, sealed=ciphertexts[name], digest=digest)
