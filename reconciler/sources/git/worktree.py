"""Uncommitted files as a source, for trying things out (`--worktree`).

A revision is the digest of what was read, and the last snapshots are kept, so that `files` gives exactly what `head`
saw although the files on disk have moved on. Files that git ignores are left out, as a commit would leave them out.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio.to_thread
import pygit2

from reconciler.core.types import Revision
from reconciler.errors import SourceError, Unavailable
from reconciler.sources.folders import LARGEST_FOLDER_BYTES, LEFT_OUT, is_left_out, refuse_large_folder, source_folders
from reconciler.sources.git.local import existing_directory
from reconciler.sources.layout import (
    IGNORED_FOLDERS,
    LARGEST_FILE_BYTES,
    is_candidate,
    refuse_large,
    refuse_link,
    select,
)

BRANCH: Final = "worktree"
KEPT_SNAPSHOTS: Final = 16
MOST_FOLDERS: Final = 100_000


@dataclass(slots=True, kw_only=True)
class WorktreeSource:
    """The files of a directory as they are now, committed or not."""

    directory: Path
    _snapshots: OrderedDict[str, Mapping[str, bytes]] = field(
        default_factory=OrderedDict[str, Mapping[str, bytes]], init=False, repr=False
    )

    async def head(self) -> Revision:
        """A revision named by what the files say now.

        Raises:
            EnvironmentFault: the directory is missing.
            SourceError: a file exceeds a limit.
        """
        snapshot = await anyio.to_thread.run_sync(self._read)
        name = f"worktree:{_digest(snapshot)}"
        self._snapshots[name] = snapshot
        self._snapshots.move_to_end(name)
        while len(self._snapshots) > KEPT_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return Revision(commit=name, branch=BRANCH, source=str(self.directory), subject="uncommitted files")

    async def files(self, revision: Revision) -> Mapping[str, bytes]:
        """What was read when that revision was the head.

        Raises:
            Unavailable: that was too long ago, or in another process; nothing on disk remembers it.
        """
        if (snapshot := self._snapshots.get(revision.commit)) is None:
            raise Unavailable(
                "revision-gone", "the uncommitted files of that revision have changed since", hint="read them again"
            )
        return snapshot

    def _read(self) -> Mapping[str, bytes]:
        root = existing_directory(self.directory)
        names = select(_walk(root, "", is_candidate, IGNORED_FOLDERS))
        files = {name: _content(name, root / name) for name in names}
        for folder in source_folders(files):
            files |= _source(root, folder)
        return files


def _source(root: Path, folder: str) -> dict[str, bytes]:
    """All of a folder that a server runs from; nothing where there is no such folder."""
    names = list(_walk(root, folder, lambda name: not is_left_out(name.removeprefix(f"{folder}/")), LEFT_OUT))
    refuse_large_folder(folder, ((root / name).lstat().st_size for name in names))
    return {name: _content(name, root / name, LARGEST_FOLDER_BYTES) for name in names}


def _walk(root: Path, start: str, wanted: Callable[[str], bool], without: Collection[str]) -> Iterator[str]:
    """The wanted files below a folder of the root that git does not ignore, relative to the root."""
    ignored = _Ignored(root)
    for number, (folder, folders, files) in enumerate(os.walk(root / start, followlinks=False)):
        if number >= MOST_FOLDERS:
            raise SourceError(
                "directory-too-large",
                f"{root} holds more than {MOST_FOLDERS} folders",
                hint="follow the directory that holds the manifests",
            )
        here = Path(folder)
        folders[:] = [name for name in folders if name not in without and not ignored(here / name)]
        for name in files:
            path = (here / name).relative_to(root).as_posix()
            if wanted(path) and not ignored(here / name):
                yield path


class _Ignored:
    """Whether git ignores a path; nothing is ignored outside of a repository."""

    def __init__(self, root: Path) -> None:
        try:
            found = pygit2.discover_repository(str(root))
            self._repository = pygit2.Repository(found) if found else None
        except pygit2.GitError:
            # A repository that cannot be opened cannot say what it ignores; the files are readable all the same.
            self._repository = None
        workdir = self._repository.workdir if self._repository else None
        self._root = Path(workdir).resolve() if workdir else None

    def __call__(self, path: Path) -> bool:
        if self._repository is None or self._root is None or not path.is_relative_to(self._root):
            return False
        suffix = "/" if path.is_dir() else ""
        return self._repository.path_is_ignored(path.relative_to(self._root).as_posix() + suffix)


def _content(name: str, path: Path, most_bytes: int = LARGEST_FILE_BYTES) -> bytes:
    refuse_link(name, is_link=path.is_symlink())
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise SourceError(
            "file-unreadable", f"{name} cannot be read: {error.strerror}", hint="check its permissions"
        ) from error
    if most_bytes == LARGEST_FILE_BYTES:
        refuse_large(name, max(len(content), path.stat().st_size))
    return content


def _digest(snapshot: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(snapshot.items()):
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
