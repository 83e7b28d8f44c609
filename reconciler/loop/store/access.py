"""What a transaction is for. Both kinds of database read it from the connection when the transaction begins."""

from enum import Enum, auto
from typing import Final

ACCESS: Final = "catwalk_access"
"""The execution option of a connection that carries it."""


class Access(Enum):
    READ = auto()
    """Sees one state of the database, and never waits for a writer."""
    WRITE = auto()
    """One at a time in all processes, so that it may read, decide and write."""
    LEASE = auto()
    """Who leads: a short write that waits for no pass and gives up early."""
