"""How commits are to be signed, as policy states it. Pure.

Ways add up: a commit that must satisfy two policies must satisfy both, because whoever may edit one manifest must not
be able to loosen what holds for all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class SignatureWay(StrEnum):
    """Who says that a signature is good."""

    SSH = "ssh"
    """A list of SSH keys, as `ssh-keygen` has it."""
    GPG = "gpg"
    """A ring of OpenPGP keys."""
    GITHUB = "github"
    """GitHub, which also signs what it merges itself."""


Ways = tuple[SignatureWay, ...]


def together(stated: Iterable[SignatureWay]) -> Ways:
    """All that are stated, each once, in a fixed order."""
    found = set(stated)
    return tuple(way for way in SignatureWay if way in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchor:
    """What the revision in force says about the commit that may follow it."""

    commit: str
    ways: Ways
    allowed_signers: str = ""
    """The content of its `.catwalk/allowed_signers`; empty where it has none."""
    allowed_keys: str = ""
    """The content of its `.catwalk/allowed_keys.asc`."""
