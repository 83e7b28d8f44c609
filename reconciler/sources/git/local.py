"""A repository on this machine, followed from its root or from one of its subdirectories.

Only commits count: what is in the work tree and not committed is not wanted yet. Nothing is written to the repository.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread
import pygit2

from reconciler.core.types import Revision
from reconciler.errors import CatwalkError, EnvironmentFault
from reconciler.loop.ports import SignedCommit
from reconciler.sources.git.blobs import first_parents, read_files, revision_of
from reconciler.sources.git.faults import local_fault
from reconciler.sources.git.signed import read_signed, read_text

ResultT = TypeVar("ResultT")

DETACHED: Final = "HEAD"
"""What stands for the branch while none is checked out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource:
    """A branch of a repository on this machine. Made by `discover`."""

    repository: Path
    """The folder that git keeps its data in."""
    directory: Path
    """The followed directory, absolute."""
    inside: str
    """The same, relative to the root of the repository; empty for the root."""
    branch: str = ""
    """The followed branch; empty follows whatever is checked out."""

    async def head(self) -> Revision:
        """The newest commit of the branch.

        Raises:
            EnvironmentFault: no commit, no such branch, or the repository cannot be read.
        """
        return await anyio.to_thread.run_sync(self.read_head)

    async def files(self, revision: Revision) -> Mapping[str, bytes]:
        """Manifests and secret files of that revision, by path relative to the followed directory.

        Raises:
            SourceError: the commit is gone, does not hold the directory, or a file exceeds a limit.
        """
        return await anyio.to_thread.run_sync(self._files, revision)

    async def before(self, revision: Revision, *, limit: int) -> tuple[Revision, ...]:
        """The first parents of a revision, newest first, at most `limit` of them. Raises as `files` does."""
        return await anyio.to_thread.run_sync(lambda: self._read(lambda found: first_parents(found, revision, limit)))

    async def signed(self, revision: Revision) -> SignedCommit:
        """The commit with its signature. Raises as `files` does."""
        return await anyio.to_thread.run_sync(lambda: self._read(lambda found: read_signed(found, revision)))

    async def text(self, revision: Revision, path: str) -> str:
        """A file of the revision by its path from the root of the repository; empty where there is none.

        Raises:
            SourceError: it is a link, too large or no text.
            CatwalkError: as `files`.
        """
        return await anyio.to_thread.run_sync(lambda: self._read(lambda found: read_text(found, revision, path)))

    def _read(self, work: Callable[[pygit2.Repository], ResultT]) -> ResultT:
        try:
            return work(open_repository(self.repository, self.directory))
        except pygit2.GitError as error:
            raise local_fault(error, str(self.directory)) from error

    def read_head(self) -> Revision:
        """The same without a thread, for a command that has not begun yet."""
        repository = open_repository(self.repository, self.directory)
        branch = self.branch or _checked_out(repository, self.directory)
        try:
            reference = repository.head if branch == DETACHED else repository.references[f"refs/heads/{branch}"]
            return revision_of(reference.peel(pygit2.Commit), branch=branch, source=str(self.directory))
        except KeyError as error:
            raise _no_branch(branch, repository, self.directory) from error
        except pygit2.GitError as error:
            raise local_fault(error, str(self.directory)) from error

    def _files(self, revision: Revision) -> Mapping[str, bytes]:
        return self._read(lambda found: read_files(found, revision, self.inside))


def discover(directory: Path, *, branch: str = "") -> LocalSource:
    """The source for a directory in a repository on this machine.

    Raises:
        EnvironmentFault: the directory is missing, in no repository, in one without commits, in one of another user, or
            the branch does not exist.
    """
    followed = existing_directory(directory)
    found = pygit2.discover_repository(str(followed))
    if found is None:
        raise EnvironmentFault(
            "no-repository",
            f"{directory} is not in a git repository",
            hint="run `git init` there and commit the manifest, or follow uncommitted files with `--worktree`",
        )
    repository = open_repository(Path(found), followed)
    source = LocalSource(
        repository=Path(found), directory=followed, inside=_inside(repository, followed), branch=branch
    )
    source.read_head()
    return source


def existing_directory(directory: Path) -> Path:
    """The directory, absolute and without links.

    Raises:
        EnvironmentFault: it is missing, or no directory.
    """
    if not directory.exists():
        raise EnvironmentFault("no-directory", f"{directory} does not exist", hint="check the path")
    if not directory.is_dir():
        raise EnvironmentFault("no-directory", f"{directory} is a file", hint="give the directory that holds it")
    return directory.resolve()


def open_repository(repository: Path, directory: Path) -> pygit2.Repository:
    """A fresh handle, for one thread.

    Raises:
        CatwalkError: it cannot be opened.
    """
    try:
        return pygit2.Repository(str(repository))
    except pygit2.GitError as error:
        raise local_fault(error, str(directory)) from error


def _inside(repository: pygit2.Repository, followed: Path) -> str:
    if repository.is_bare:
        return ""
    root = Path(repository.workdir).resolve()
    # Below `.git` itself there is no work tree; the root is what a person means there.
    inside = followed.relative_to(root).as_posix() if followed.is_relative_to(root) else "."
    return "" if inside == "." else inside


def _checked_out(repository: pygit2.Repository, directory: Path) -> str:
    if repository.head_is_unborn:
        raise EnvironmentFault(
            "no-commit",
            f"the repository at {directory} has no commit yet",
            hint="`git add` and `git commit` the manifest, or follow uncommitted files with `--worktree`",
        )
    return DETACHED if repository.head_is_detached else repository.head.shorthand


def _no_branch(branch: str, repository: pygit2.Repository, directory: Path) -> CatwalkError:
    names = ", ".join(sorted(repository.branches.local)[:10])
    return EnvironmentFault(
        "no-branch",
        f"the repository at {directory} has no branch {branch}",
        hint=f"branches there: {names}" if names else "commit something first",
    )
