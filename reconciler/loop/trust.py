"""Whether the newest commit may take effect: by a signature, where anybody who may say so wants one.

Three have a say, and their wishes add up: whoever runs the control plane, the revision in force, and the new commit
itself. So a commit cannot lift the rule that it breaks. Who may sign is told by the control plane, or else by the
revision in force, never by the commit that is judged; only the commit that introduces the rule is measured by its own
list, because before it anybody who may push could have done anything.

What the revision in force says is kept in the store, so that a rewritten history cannot take it away. Everything that
cannot be found out refuses the commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from reconciler.core.signatures import SignatureWay, TrustAnchor, Ways, together
from reconciler.errors import EnvironmentFault, SourceError
from reconciler.loop.desired import Accepted
from reconciler.loop.ports import Clock, HostVerifier, SignatureVerifier, SignedSource, TextShelf
from reconciler.loop.store.documents import from_document, to_document

JUDGED_AGAIN: Final = timedelta(minutes=1)
"""A refused commit is looked at by every pass; whether GitHub has learned of a key need not be asked as often."""
SHELF: Final = "trust"
_KEY: Final = "anchor"
ALLOWED_SIGNERS: Final = ".catwalk/allowed_signers"
ALLOWED_KEYS: Final = ".catwalk/allowed_keys.asc"
_FILES: Final = {SignatureWay.SSH: ALLOWED_SIGNERS, SignatureWay.GPG: ALLOWED_KEYS}


class Trust(Protocol):
    """Judges commits."""

    async def check(self, accepted: Accepted) -> None:
        """Lets a commit take effect.

        Raises:
            SourceError: it may not, and why.
            CatwalkError: it cannot be found out now.
        """
        ...

    async def keep(self, accepted: Accepted) -> None:
        """Takes note that a commit is in force now."""
        ...


class TrustsAll:
    """For uncommitted files and a person's own machine."""

    async def check(self, accepted: Accepted) -> None:
        """Nothing is asked for."""

    async def keep(self, accepted: Accepted) -> None:
        """Nothing is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """What whoever runs the control plane says."""

    ways: Ways = ()
    allowed_signers: str = ""
    """Content of their own list; empty takes the one of the revision in force."""
    allowed_keys: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifiers:
    """Who can check what."""

    keys: Mapping[SignatureWay, SignatureVerifier] = field(default_factory=dict[SignatureWay, SignatureVerifier])
    host: HostVerifier | None = None


class CommitTrust:
    """Judges commits by their signatures."""

    def __init__(
        self, source: SignedSource, shelf: TextShelf, verifiers: Verifiers, clock: Clock, settings: TrustSettings
    ) -> None:
        self._source, self._shelf, self._verifiers, self._clock = source, shelf, verifiers, clock
        self._settings = settings
        self._trusted = ""
        """The commit that was judged last and found good."""
        self._refusal: tuple[str, datetime, SourceError] | None = None
        """The commit that was judged last and refused, until when that holds, and why."""

    async def check(self, accepted: Accepted) -> None:
        """As `Trust.check`."""
        commit = accepted.revision.commit
        if commit == self._trusted:
            return
        if self._refusal is not None and self._refusal[0] == commit and self._clock.now() < self._refusal[1]:
            raise self._refusal[2]
        try:
            await self._judge(accepted)
        except SourceError as refusal:
            self._refusal = (commit, self._clock.now() + JUDGED_AGAIN, refusal)
            raise
        self._trusted = commit

    async def keep(self, accepted: Accepted) -> None:
        """As `Trust.keep`.

        Raises:
            CatwalkError: the store cannot be written, or the commit not be read.
        """
        ways = together(accepted.manifests.signed_commits)
        anchor = await self._anchor()
        if (anchor.commit if anchor else "") == accepted.revision.commit or (not ways and anchor is None):
            return
        if not ways:
            await self._shelf.forget([_KEY])
            return
        kept = TrustAnchor(
            commit=accepted.revision.commit,
            ways=ways,
            allowed_signers=await self._source.text(accepted.revision, ALLOWED_SIGNERS),
            allowed_keys=await self._source.text(accepted.revision, ALLOWED_KEYS),
        )
        await self._shelf.save({_KEY: to_document(kept)})

    async def _judge(self, accepted: Accepted) -> None:
        anchor = await self._anchor()
        for way in self._wanted(accepted, anchor):
            if not accepted.revision.committed:
                raise _unsigned("uncommitted files carry no signature")
            await self._check(way, accepted, anchor)

    def _wanted(self, accepted: Accepted, anchor: TrustAnchor | None) -> Ways:
        before = anchor.ways if anchor is not None else ()
        return together((*self._settings.ways, *before, *accepted.manifests.signed_commits))

    async def _check(self, way: SignatureWay, accepted: Accepted, anchor: TrustAnchor | None) -> None:
        if way is SignatureWay.GITHUB:
            await self._check_host(accepted)
            return
        verifier = self._verifiers.keys.get(way)
        if verifier is None:
            raise EnvironmentFault("signatures-unchecked", f"signatures of the kind {way} cannot be checked here")
        signed = await self._source.signed(accepted.revision)
        if not signed.signature:
            raise _unsigned(f"the commit {accepted.revision.short} is not signed")
        keys, name = await self._keys(way, accepted, anchor)
        await verifier.verify(signed, keys, name=name)

    async def _check_host(self, accepted: Accepted) -> None:
        if self._verifiers.host is None:
            raise EnvironmentFault(
                "signatures-unchecked",
                "the policy asks GitHub about signatures, and there are no credentials for it",
                hint="set GITHUB_TOKEN or a GitHub App, or sign with `ssh` or `gpg`",
            )
        await self._verifiers.host.verify(accepted.revision.commit)

    async def _keys(self, way: SignatureWay, accepted: Accepted, anchor: TrustAnchor | None) -> tuple[str, str]:
        """The keys that count, and what they are called.

        Raises:
            SourceError: nobody says whose count.
        """
        settings, path = self._settings, _FILES[way]
        own = settings.allowed_signers if way is SignatureWay.SSH else settings.allowed_keys
        if own:
            return own, "the list of the control plane"
        if anchor is not None:
            kept = anchor.allowed_signers if way is SignatureWay.SSH else anchor.allowed_keys
            name = f"{path} of {anchor.commit[:7]}"
        else:
            kept, name = await self._source.text(accepted.revision, path), path
        if not kept.strip():
            raise SourceError(
                "signers-unknown",
                f"commits are to be signed, and {name} names nobody who may",
                hint=f"add {path} at the root of the repository, or set CATWALK_ALLOWED_SIGNERS or CATWALK_GPG_KEYS",
            )
        return kept, name

    async def _anchor(self) -> TrustAnchor | None:
        texts = dict(await self._shelf.load())
        return from_document(TrustAnchor, texts[_KEY]) if _KEY in texts else None


def _unsigned(message: str) -> SourceError:
    hint = "the policy `signed_commits` wants a signature: commit again with `git commit -S`"
    return SourceError("commit-unsigned", message, hint=hint)
