"""The project that a machine runs where it is no package: `git:ADDRESS@COMMIT` or `archive:FILE`.

Only what is pinned is taken: a whole commit, or a file that came with the machine. Addresses become arguments of git,
so everything but https and ssh is refused, and so are credentials in them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ADDRESS = re.compile(
    r"https://[A-Za-z0-9.-]+(:\d{1,5})?/[^\s?#@]+"
    r"|ssh://([A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+(:\d{1,5})?/[^\s?#]+"
    r"|[A-Za-z0-9._]+@[A-Za-z0-9.-]+:[^\s?#:-][^\s?#]*"
    r"|http://127\.0\.0\.1(:\d{1,5})?/[^\s?#@]+"
)
"""Plain http only on this machine itself, for a server that somebody tries out."""


class BadProject(ValueError):
    """The text is no project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitProject:
    """One commit of one repository."""

    url: str
    commit: str

    def __str__(self) -> str:
        return f"git:{self.url}@{self.commit[:12]}"

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1].removesuffix(".git")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveProject:
    """A gzipped tar archive. Its path is that of the machine; in the embedded engine its folder stands for the root."""

    path: Path

    def __str__(self) -> str:
        return f"archive:{self.path}"

    @property
    def name(self) -> str:
        """A folder is named by its manifest, not by itself."""
        return ""


Project = GitProject | ArchiveProject


def is_project(text: str) -> bool:
    """Whether the text means a project and not a package."""
    return text.startswith(("git:", "archive:"))


def parse_project(text: str) -> Project:
    """Read `git:ADDRESS@COMMIT` or `archive:FILE`. Raises BadProject."""
    kind, _, rest = text.partition(":")
    if kind == "archive":
        if not rest.startswith("/"):
            raise BadProject(f"{rest!r} is no absolute path of an archive")
        return ArchiveProject(path=Path(rest))
    url, _, commit = rest.rpartition("@")
    if not _COMMIT.fullmatch(commit):
        raise BadProject(f"{commit!r} is no whole commit: 40 hexadecimal digits")
    if not _ADDRESS.fullmatch(url):
        raise BadProject(f"{url!r} is no address of a repository: https and ssh are fetched, without credentials")
    return GitProject(url=url, commit=commit)
