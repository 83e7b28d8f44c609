"""A repository on a git host, kept as a bare mirror in the state directory.

The mirror is a cache: losing it costs one fetch. It is fetched shallowly, only when the branch has moved, and made anew
now and then because libgit2 never packs it. Only one operation touches it at a time, and one that outlives its deadline
keeps the place until its thread ends, so that a hanging host cannot pile up threads.
"""

import hashlib
import posixpath
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import pygit2

from reconciler.core.types import Revision
from reconciler.errors import EnvironmentFault, SourceError, Unavailable
from reconciler.loop.ports import Proposal, SignedCommit
from reconciler.sources.git.blobs import has_commit, read_files, revision_of
from reconciler.sources.git.faults import remote_fault
from reconciler.sources.git.signed import read_signed, read_text
from reconciler.sources.git.transport import (
    Address,
    Credentials,
    Deadline,
    GuardedCallbacks,
    TransportLimits,
    apply_process_settings,
    parse_address,
    refuse_unfit,
)

ResultT = TypeVar("ResultT")
Lender = Callable[[], Awaitable[Credentials]]
"""Raises CatwalkError when it has no credentials now."""

_GRACE_S: Final = 1.0
"""How much longer than the deadline the thread may take to notice it before it is left behind."""
_HEADS: Final = "refs/heads/"
_COMMIT: Final = re.compile(r"^[0-9a-f]{40}$")


@dataclass(slots=True, kw_only=True)
class RemoteSource:
    """A branch of a repository at `url` (https, ssh, file).

    Raises:
        EnvironmentFault: the address or the credentials cannot work.
    """

    url: str
    state_dir: Path
    branch: str = ""
    """The followed branch; empty follows the one that the host calls its default."""
    directory: str = ""
    """The followed directory of the repository, `/`-separated; empty for the root."""
    credentials: Credentials | None = field(default=None, repr=False)
    lender: Lender | None = field(default=None, repr=False)
    """Gives credentials for each operation, where they change by themselves; in the place of `credentials`."""
    known_hosts: Path = field(default_factory=lambda: Path.home() / ".ssh" / "known_hosts")
    """Host keys to trust for ssh, besides GitHub's own."""
    proxy: str = ""
    """An https proxy; libgit2 does not look for one in the environment."""
    limits: TransportLimits = field(default_factory=TransportLimits)
    _address: Address = field(init=False, repr=False)
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._address = parse_address(self.url)
        refuse_unfit(self._address, self.credentials)
        inside = posixpath.normpath(self.directory.strip("/") or ".")
        self.directory = "" if inside == "." else inside
        apply_process_settings(self.limits, self.state_dir / "git-home", self.known_hosts)

    async def head(self) -> Revision:
        """The newest commit of the branch, fetched if it is new.

        Raises:
            Unavailable: the host does not answer now.
            EnvironmentFault: it refuses the credentials, cannot be trusted, or has no such repository or branch.
        """
        return await self._run(self._head)

    async def files(self, revision: Revision) -> Mapping[str, bytes]:
        """Manifests and secret files of that revision; fetched again if the mirror no longer holds it.

        Raises:
            Unavailable: the commit is not in the mirror and the host does not give it out now.
            SourceError: it does not hold the followed directory, or a file exceeds a limit.
        """
        return await self._run(partial(self._files, revision))

    async def signed(self, revision: Revision) -> SignedCommit:
        """The commit with its signature. Raises as `files` does."""
        return await self._run(lambda deadline: read_signed(self._holding(revision, deadline), revision))

    async def text(self, revision: Revision, path: str) -> str:
        """A file of the revision by its path from the root of the repository; empty where there is none.

        Raises:
            SourceError: it is a link, too large or no text.
            CatwalkError: as `files`.
        """
        return await self._run(lambda deadline: read_text(self._holding(revision, deadline), revision, path))

    async def proposed(self, proposal: Proposal) -> tuple[Revision, Mapping[str, bytes]]:
        """A proposed commit, fetched by the name that the host keeps it under, with its files.

        Raises:
            Unavailable: the host does not answer now.
            SourceError: the commit was pushed over, does not hold the followed directory, or a file exceeds a limit.
            EnvironmentFault: the host refuses the credentials, cannot be trusted, or has no such name.
        """
        return await self._run(partial(self._proposed, proposal))

    @property
    def mirror(self) -> Path:
        """The bare repository in the state directory."""
        return self.state_dir / "mirrors" / f"{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.git"

    async def _run(self, work: Callable[[Deadline], ResultT]) -> ResultT:
        deadline = Deadline(self.limits.total_s)
        if self.lender is not None:
            self.credentials = await self.lender()
            refuse_unfit(self._address, self.credentials)
        try:
            with anyio.fail_after(self.limits.total_s + _GRACE_S):
                return await anyio.to_thread.run_sync(
                    partial(self._exclusively, work, deadline), abandon_on_cancel=True
                )
        except TimeoutError as error:
            raise self._timeout() from error

    def _exclusively(self, work: Callable[[Deadline], ResultT], deadline: Deadline) -> ResultT:
        if not self._busy.acquire(timeout=self.limits.total_s):
            raise self._timeout()
        try:
            return work(deadline)
        except (pygit2.GitError, OSError) as error:
            raise remote_fault(error, self.url) from error
        finally:
            self._busy.release()

    def _timeout(self) -> Unavailable:
        return Unavailable("git-timeout", f"{self.url} did not answer in time", hint="the next pass tries again")

    def _head(self, deadline: Deadline) -> Revision:
        branch, commit = self._advertised(deadline)
        repository = self._open()
        if not has_commit(repository, commit):
            repository = self._fetch(f"+{_HEADS}{branch}:{_HEADS}{branch}", deadline)
            # The branch may have moved between the two connections; the fetched commit is the newer one.
            commit = str(repository.references[_HEADS + branch].target)
        return revision_of(repository[commit].peel(pygit2.Commit), branch=branch, source=self.url)

    def _files(self, revision: Revision, deadline: Deadline) -> Mapping[str, bytes]:
        return read_files(self._holding(revision, deadline), revision, self.directory)

    def _holding(self, revision: Revision, deadline: Deadline) -> pygit2.Repository:
        """The mirror with that revision in it, if the host still gives it out."""
        repository = self._open()
        if _COMMIT.match(revision.commit) and not has_commit(repository, revision.commit):
            repository = self._fetch(f"+{revision.commit}:refs/catwalk/{revision.commit}", deadline)
        return repository

    def _proposed(self, proposal: Proposal, deadline: Deadline) -> tuple[Revision, Mapping[str, bytes]]:
        repository = self._open()
        if not has_commit(repository, proposal.commit):
            repository = self._fetch(f"+{proposal.ref}:refs/catwalk/proposed", deadline)
        if not has_commit(repository, proposal.commit):
            raise SourceError(
                "revision-gone", f"the commit {proposal.commit[:7]} was pushed over", hint="the newer one is planned"
            )
        commit = repository[proposal.commit].peel(pygit2.Commit)
        revision = revision_of(commit, branch=proposal.ref, source=self.url)
        return revision, read_files(repository, revision, self.directory)

    def _advertised(self, deadline: Deadline) -> tuple[str, str]:
        """The followed branch and its commit, as the host says now."""
        remote = self._open().remotes.create_anonymous(self.url)
        heads = remote.list_heads(callbacks=self._callbacks(deadline), proxy=self.proxy or None)
        commits = {head.name: str(head.oid) for head in heads}
        default = next((head.symref_target for head in heads if head.name == "HEAD"), None) or ""
        branch = self.branch or default.removeprefix(_HEADS)
        if (commit := commits.get(_HEADS + branch)) is None:
            raise self._no_branch(branch)
        return branch, commit

    def _no_branch(self, branch: str) -> EnvironmentFault:
        if not branch:
            return EnvironmentFault("no-commit", f"{self.url} has no commit yet", hint="push the manifest")
        return EnvironmentFault(
            "no-branch", f"{self.url} has no branch {branch}", hint="push it, or follow another one"
        )

    def _fetch(self, refspec: str, deadline: Deadline) -> pygit2.Repository:
        repository = self._recycled()
        remote = repository.remotes.create_anonymous(self.url)
        # libgit2's transport for repositories on this machine knows no shallow fetch.
        depth = 0 if self._address.scheme == "file" else 1
        remote.fetch([refspec], callbacks=self._callbacks(deadline), depth=depth, proxy=self.proxy or None)
        return repository

    def _callbacks(self, deadline: Deadline) -> GuardedCallbacks:
        return GuardedCallbacks(self._address, self.credentials, deadline)

    def _open(self) -> pygit2.Repository:
        try:
            return pygit2.Repository(str(self.mirror))
        except pygit2.GitError:
            return self._created()

    def _recycled(self) -> pygit2.Repository:
        packs = sum(1 for _ in (self.mirror / "objects" / "pack").glob("*.pack"))
        return self._created() if packs >= self.limits.fetches_per_mirror else self._open()

    def _created(self) -> pygit2.Repository:
        shutil.rmtree(self.mirror, ignore_errors=True)
        self.mirror.parent.mkdir(parents=True, exist_ok=True)
        return pygit2.init_repository(str(self.mirror), bare=True)
