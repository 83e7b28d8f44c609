"""A failure that is provoked on purpose: what is done to the server, and so what its cause is.

The cause is written down by what is done, before anybody reads the log, and never by what the log is taken for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.core.log_causes_rules import LogCause


class Source(StrEnum):
    """Where the server comes from, as a manifest has it."""

    NPM = "npm"
    PYPI = "pypi"
    GIT = "git"
    DIRECTORY = "directory"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provoked:
    """One server that cannot run, and why.

    In arguments, variables and files stand `{ok}`, `{401}`, `{403}`, `{500}`, `{silent}`, `{tls}` for the addresses of
    services that answer so, `{closed}` and `{taken}` for a port that nobody listens on and one that is in use.
    """

    name: str
    cause: LogCause
    how: str
    """What is done to the server, in a few words."""
    source: Source
    package: str = ""
    """`NAME@VERSION` of a registry; a commit or an address of its own for git, where it is not that of `files`."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The project, for git and directories; what `arguments` run, for commands."""
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Of the adapter."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    address_space_mb: int = 0
    """A limit on memory, in MiB; 0 is none."""
