"""The memory of the loop in a database: intents, outcomes, passes, health, the last good revision.

It is a cache with a memory. Losing it costs history and the times since when things are as they are; git and the
Machines API say the rest. No secret can get in: nothing that is stored has a place for one.
"""

from reconciler.loop.history import PassSummary, Transition
from reconciler.loop.store.digest_key import digest_key
from reconciler.loop.store.leases import NOT_LEADING, Leases, LeaseState
from reconciler.loop.store.records import Intent
from reconciler.loop.store.store import Fence, Store, open_store

__all__ = [
    "NOT_LEADING",
    "Fence",
    "Intent",
    "LeaseState",
    "Leases",
    "PassSummary",
    "Store",
    "Transition",
    "digest_key",
    "open_store",
]
