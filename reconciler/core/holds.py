"""What is remembered of a server between revisions: what worked, and what did not."""

from dataclasses import dataclass
from datetime import datetime

from reconciler.core.types import Cause, Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodServer:
    """The newest configuration of a server that was seen healthy, and the revision that it stands in."""

    server: str
    digest: str
    """Of all its desired machines; see `reconciler.core.digests.server_digest`."""
    revision: Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That one revision's configuration of a server did not become healthy, and is not tried again.

    It ends when another commit arrives, when the configuration becomes another one, or when a person asks for it.
    """

    server: str
    commit: str
    digest: str
    cause: Cause | None
    detail: str
    held_at: datetime
    fallback: str = ""
    """The commit whose configuration runs instead; empty when there was none to go back to."""
