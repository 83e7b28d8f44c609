"""What is written down about the program of one server in `catwalk.lock`, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler.core.problems import Location


class LockDuty(StrEnum):
    """Whether a server must stand in a lock."""

    NONE = "none"
    """There is no lock, and the policy asks for none."""
    EXPECTED = "expected"
    """Its neighbours stand in one."""
    REQUIRED = "required"
    """The policy wants everything pinned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedProgram:
    """The program of one server."""

    program: str
    """Without its version: `npm:NAME`, `pypi:NAME`, `git:URL`, `image:NAME`."""
    version: str
    """An exact version, a commit, or the digest of an image."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of a package: the names of its files and their digests, in the words of its registry."""
    executable: str = ""
    published_at: datetime | None = None
    resolved_at: datetime | None = None
    """When the version was written down."""
    location: Location | None = field(default=None, compare=False)

    @property
    def digests(self) -> tuple[str, ...]:
        """What one of the files must have, sorted."""
        return tuple(sorted(set(self.files.values())))
