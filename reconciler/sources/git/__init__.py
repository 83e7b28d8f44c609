"""The door to git: the only place that speaks pygit2.

Two sources stand behind one shape. `LocalSource` reads a repository on this machine, also from a subdirectory of it.
`RemoteSource` keeps a bare mirror of one elsewhere. Both read blobs at a commit without a checkout, so that nothing of
a repository is ever written where a program could run it. `WorktreeSource` follows uncommitted files instead.
"""

from reconciler.sources.git.local import LocalSource, discover
from reconciler.sources.git.remote import Lender, RemoteSource
from reconciler.sources.git.transport import HttpsToken, SshKey, TransportLimits
from reconciler.sources.git.worktree import WorktreeSource

__all__ = [
    "HttpsToken",
    "Lender",
    "LocalSource",
    "RemoteSource",
    "SshKey",
    "TransportLimits",
    "WorktreeSource",
    "discover",
]
