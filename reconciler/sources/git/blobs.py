"""Reading manifests, secret files and source folders out of a commit, without a checkout.

Only names are looked at on the way; a blob is opened when its path belongs to the desired state and its size is within
the limit. Links and submodules are never followed.
"""

import posixpath
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import pygit2
from pygit2.enums import FileMode

from reconciler.core.types import Revision
from reconciler.errors import SourceError
from reconciler.sources.folders import is_left_out, refuse_large_folder, source_folders
from reconciler.sources.layout import IGNORED_FOLDERS, is_candidate, refuse_large, refuse_link, select

MOST_ENTRIES: Final = 500_000
"""Files and folders of one commit that are looked at by name."""
DEEPEST_FOLDER: Final = 100
LONGEST_SUBJECT: Final = 200
"""Characters."""


def revision_of(commit: pygit2.Commit, *, branch: str, source: str) -> Revision:
    """The revision that a commit is."""
    message = commit.raw_message.decode("utf-8", errors="replace")
    return Revision(
        commit=str(commit.id),
        branch=branch,
        source=source,
        subject=message.strip().partition("\n")[0][:LONGEST_SUBJECT],
        committed_at=datetime.fromtimestamp(commit.commit_time, UTC),
    )


def first_parents(repository: pygit2.Repository, revision: Revision, limit: int) -> tuple[Revision, ...]:
    """The first parents of a commit, newest first, at most `limit`; fewer where history ends, or was cut off."""
    found: list[Revision] = []
    commit = repository.get(revision.commit)
    while commit is not None and len(found) < limit:
        parents = commit.peel(pygit2.Commit).parent_ids
        commit = repository.get(parents[0]) if parents else None
        if commit is not None:
            parent = commit.peel(pygit2.Commit)
            found.append(revision_of(parent, branch=revision.branch, source=revision.source))
    return tuple(found)


def has_commit(repository: pygit2.Repository, commit: str) -> bool:
    """Whether the repository holds the commit."""
    return _commit(repository, commit) is not None


def _commit(repository: pygit2.Repository, commit: str) -> pygit2.Commit | None:
    try:
        found = repository.get(commit)
        return None if found is None else found.peel(pygit2.Commit)
    except (ValueError, pygit2.InvalidSpecError):
        return None  # No commit id, or the id of something else.


def read_files(repository: pygit2.Repository, revision: Revision, directory: str) -> dict[str, bytes]:
    """Manifests, secret files and source folders of a revision, by path relative to `directory`.

    Args:
        repository: that holds the revision.
        revision: which one.
        directory: `/`-separated; empty for the root.

    Raises:
        SourceError: the commit or the directory is not there, or a file exceeds a limit.
    """
    commit = _commit(repository, revision.commit)
    if commit is None:
        raise SourceError(
            "revision-gone",
            f"the commit {revision.short} is no longer in the repository",
            hint="the branch was rewritten: commit again, or push the commit",
        )
    root = _folder(commit, directory)
    blobs = {path: blob for path, blob in _walk(root) if is_candidate(path)}
    files = {path: _content(repository, path, blobs[path]) for path in select(blobs)}
    for folder in source_folders(files):
        files |= _source(repository, root, folder)
    return files


def _source(repository: pygit2.Repository, root: pygit2.Tree, folder: str) -> dict[str, bytes]:
    """All of a folder that a server runs from; nothing where the revision has no such folder."""
    try:
        entry = root[folder]
    except KeyError:
        return {}
    if not isinstance(entry, pygit2.Tree):
        return {}
    blobs = {posixpath.join(folder, path): blob for path, blob in _walk(entry) if not is_left_out(path)}
    for path, blob in blobs.items():
        refuse_link(path, is_link=blob.filemode == FileMode.LINK)
    refuse_large_folder(folder, (repository.odb.read_header(blob.id)[1] for blob in blobs.values()))
    return {path: repository.odb.read(blob.id)[1] for path, blob in blobs.items()}


def _folder(commit: pygit2.Commit, directory: str) -> pygit2.Tree:
    if not directory:
        return commit.tree
    try:
        entry = commit.tree[directory]
    except KeyError as error:
        raise _not_committed(directory) from error
    if not isinstance(entry, pygit2.Tree):
        raise _not_committed(directory)
    return entry


def _not_committed(directory: str) -> SourceError:
    return SourceError(
        "directory-not-committed",
        f"the directory {directory} is not part of the commit",
        hint="add and commit it, or follow uncommitted files with `--worktree`",
    )


def _walk(root: pygit2.Tree) -> Iterator[tuple[str, pygit2.Object]]:
    """All files below a tree with their paths. Iterative, because strangers choose how deep it is."""
    waiting: list[tuple[str, pygit2.Tree]] = [("", root)]
    seen = 0
    while waiting:
        folder, tree = waiting.pop()
        seen += len(tree)
        _refuse_vast(seen, folder)
        for entry in tree:
            name = entry.name or ""
            path = posixpath.join(folder, name)
            if isinstance(entry, pygit2.Tree):
                if name not in IGNORED_FOLDERS:
                    waiting.append((path, entry))
            elif entry.filemode != FileMode.COMMIT:
                yield path, entry


def _refuse_vast(seen: int, folder: str) -> None:
    if seen > MOST_ENTRIES or folder.count("/") > DEEPEST_FOLDER:
        raise SourceError(
            "repository-too-large",
            f"the followed directory holds more than {MOST_ENTRIES} entries or {DEEPEST_FOLDER} levels of folders",
            hint="follow a directory of the repository that holds only manifests",
        )


def _content(repository: pygit2.Repository, path: str, entry: pygit2.Object) -> bytes:
    refuse_link(path, is_link=entry.filemode == FileMode.LINK)
    _, size_bytes = repository.odb.read_header(entry.id)
    refuse_large(path, size_bytes)
    _, content = repository.odb.read(entry.id)
    return content
