"""A commit as it was signed, and single files of it by their path from the root of the repository."""

import pygit2
from pygit2.enums import FileMode

from reconciler.core.types import Revision
from reconciler.errors import SourceError
from reconciler.loop.ports import SignedCommit
from reconciler.sources.layout import LARGEST_FILE_BYTES, refuse_large, refuse_link


def read_signed(repository: pygit2.Repository, revision: Revision) -> SignedCommit:
    """The commit and its signature.

    Raises:
        SourceError: the commit is not there.
    """
    signature, payload = commit_of(repository, revision).gpg_signature
    return SignedCommit(payload=payload or b"", signature=signature or b"")


def read_text(repository: pygit2.Repository, revision: Revision, path: str) -> str:
    """A file of the commit; empty where there is none.

    Raises:
        SourceError: the commit is not there, or the file is a link, too large or no text.
    """
    try:
        entry = commit_of(repository, revision).tree[path]
    except KeyError:
        return ""
    refuse_link(path, is_link=entry.filemode == FileMode.LINK)
    if not isinstance(entry, pygit2.Blob):
        return ""
    _, size_bytes = repository.odb.read_header(entry.id)
    refuse_large(path, size_bytes)
    try:
        return entry.data[:LARGEST_FILE_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError("no-text", f"{path} is no text in UTF-8") from error


def commit_of(repository: pygit2.Repository, revision: Revision) -> pygit2.Commit:
    """Raises: SourceError: the commit is not there."""
    try:
        found = repository.get(revision.commit)
    except ValueError:
        found = None
    if found is None:
        raise SourceError(
            "revision-gone",
            f"the commit {revision.short} is no longer in the repository",
            hint="the branch was rewritten: commit again, or push the commit",
        )
    return found.peel(pygit2.Commit)
