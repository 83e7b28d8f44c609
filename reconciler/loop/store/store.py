"""The store: the memory of a pass, and the history for people."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

import anyio.to_thread
from sqlalchemy import Connection

from reconciler.core.actions import Outcome, Pass, Plan
from reconciler.core.audit import AuditLine, AuditQuery, KeptLine
from reconciler.core.holds import GoodServer, Hold
from reconciler.core.proposals import ProposedPlan
from reconciler.core.setbacks import Setback
from reconciler.core.types import Revision, ServerStatus, Trigger
from reconciler.loop.history import PassSummary, Transition
from reconciler.loop.ports import Clock, Delivery, Proposal, StoredProposal, WaitingProposal
from reconciler.loop.store import audit, inbox, proposals, reads, safety, shelves, writes
from reconciler.loop.store.database import Database, open_database
from reconciler.loop.store.leases import Leases, require_leader
from reconciler.loop.store.records import Intent
from reconciler.loop.store.shelves import Shelf
from reconciler.loop.store.sqlite import sqlite_url

FILE_NAME: Final = "catwalk.db"
CLAIMS: Final = "claims"
"""The shelf of what all processes of a store must agree about."""

Result = TypeVar("Result")


class Fence(Protocol):
    """Keeps out a process that leads no longer."""

    @property
    def token(self) -> int:
        """Of the lease that this process believes to hold; 0 when it holds none."""
        ...


async def open_store(state_dir: Path, clock: Clock, *, url: str = "") -> "Store":
    """Opens the store, brings its schema up to date, and makes it if it is not there.

    Args:
        state_dir: where the SQLite file is, if `url` is empty.
        clock: the time of intents.
        url: a database of its own, as a SQLAlchemy URL.

    Raises:
        EnvironmentFault: the database cannot be used; says what to do and what it costs.
        Unavailable: it does not answer now.
    """
    database = await anyio.to_thread.run_sync(open_database, url or sqlite_url(state_dir / FILE_NAME))
    return Store(database, clock)


class Store:
    """Implements `reconciler.loop.ports.Memory`. Every method is one transaction; errors are those of `Database`."""

    def __init__(self, database: Database, clock: Clock, fence: Fence | None = None) -> None:
        self._database = database
        self._clock = clock
        self._fence = fence

    @property
    def leases(self) -> Leases:
        """Who leads the fleet of this store."""
        return Leases(self._database)

    def fenced(self, fence: Fence) -> "Store":
        """The same store for the passes of a process that may lose the lead.

        What a pass writes is refused with a `Conflict` of the code `not-leading`, in the transaction of the write
        itself, when the token of `fence` is not that of the newest leader. Reading, and what people ask for
        (`confirm_prune`), stays open to all.
        """
        return Store(self._database, self._clock, fence)

    async def _write(self, work: Callable[[Connection], Result]) -> Result:
        """A write of a pass."""
        fence = self._fence
        if fence is None:
            return await self._database.write(work)
        # Taken now: whoever loses the lead while the write waits for its turn must not borrow a later token.
        token = fence.token

        def fenced(connection: Connection) -> Result:
            require_leader(connection, token)
            return work(connection)

        return await self._database.write(fenced)

    async def take_in(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Keeps webhooks; for each, whether it is new. Open to a process that does not lead: anybody may be called."""
        return await self._database.write(lambda connection: inbox.take_in(connection, deliveries))

    async def taken_in(self, since: datetime) -> Sequence[tuple[str, Trigger | None]]:
        """Deliveries received since then, whichever process took them in: id, and what each asked the loop for."""
        return await self._database.read(lambda connection: inbox.read_since(connection, since))

    def shelf(self, name: str) -> "Shelf":
        """Texts of one purpose. Writing is refused to a process that leads no longer, as everything else is."""
        return Shelf(name, self._database.read, self._write)

    async def claim(self, name: str, text: str, *, replace: bool = False) -> str:
        """Puts a text under a name where there is none, or in any case where `replace`; gives what then stands there.

        Open to a process that does not lead.
        """

        def work(connection: Connection) -> str:
            return shelves.claim_text(connection, CLAIMS, name, text, replace=replace)

        return await self._database.write(work)

    async def claimed(self, name: str) -> str:
        """What stands under a name; empty where nothing does."""
        texts = await self._database.read(lambda connection: shelves.read_texts(connection, CLAIMS))
        return dict(texts).get(name, "")

    async def waiting(self) -> Sequence[WaitingProposal]:
        return await self._database.read(proposals.read_waiting)

    async def ask(self, proposal: Proposal) -> None:
        """Makes a proposal wait. Open to a process that does not lead."""
        now = self._clock.now()
        await self._database.write(lambda connection: proposals.ask(connection, [(proposal, now)]))

    async def keep_proposed(self, proposal: Proposal, planned: ProposedPlan, *, asked: int) -> None:
        await self._write(lambda connection: proposals.write_planned(connection, proposal, planned, asked=asked))

    async def stored(self, proposal: Proposal) -> StoredProposal | None:
        return await self._database.read(lambda connection: proposals.read_one(connection, proposal))

    async def known_proposals(self) -> frozenset[tuple[int, str]]:
        return await self._database.read(proposals.read_known)

    async def proposals(self, *, number: int | None = None, limit: int = 50) -> Sequence[StoredProposal]:
        """Proposed commits, newest first; those of one pull request where it is named."""
        return await self._database.read(
            lambda connection: proposals.read_stored(connection, number=number, limit=limit)
        )

    async def note(self, lines: Sequence[AuditLine]) -> None:
        """Adds to the audit. Open to a process that does not lead: anybody may be called."""
        await self._database.write(lambda connection: audit.append(connection, lines))

    async def audit(self, query: AuditQuery) -> Sequence[KeptLine]:
        """Lines of the audit, newest first."""
        return await self._database.read(lambda connection: audit.read(connection, query))

    def close(self) -> None:
        self._database.close()

    async def next_number(self) -> int:
        return await self._write(writes.next_number)

    async def record_intents(self, number: int, plan: Plan) -> None:
        now = self._clock.now()
        await self._write(lambda connection: writes.write_intents(connection, number, plan, now))

    async def record_outcome(self, number: int, outcome: Outcome) -> None:
        """What came of an action; also keeps, grows or ends the setback of its machine."""
        now = self._clock.now()
        await self._write(lambda connection: writes.write_outcome(connection, number, outcome, now))

    async def record_pass(self, finished: Pass) -> None:
        """Keeps a pass and its verdicts. Health passes that changed nothing are kept only until the next pass."""
        await self._write(lambda connection: writes.write_pass(connection, finished))

    async def keep_last_good(self, revision: Revision) -> None:
        now = self._clock.now()
        await self._write(lambda connection: writes.write_good_revision(connection, revision, now))

    async def last_good(self) -> Revision | None:
        return await self._database.read(reads.read_good_revision)

    async def owned_apps(self) -> frozenset[str]:
        return await self._database.read(reads.read_owned_apps)

    async def statuses(self) -> tuple[ServerStatus, ...]:
        """The last verdicts, by name."""
        return await self._database.read(reads.read_statuses)

    async def setbacks(self) -> tuple[Setback, ...]:
        return await self._database.read(safety.read_setbacks)

    async def good_servers(self) -> Mapping[str, GoodServer]:
        return await self._database.read(safety.read_good_servers)

    async def keep_good_servers(self, arrived: Sequence[GoodServer]) -> None:
        await self._write(lambda connection: safety.write_good_servers(connection, arrived))

    async def holds(self) -> tuple[Hold, ...]:
        return await self._database.read(safety.read_holds)

    async def hold(self, hold: Hold) -> None:
        await self._write(lambda connection: safety.write_hold(connection, hold))

    async def release_holds(self, servers: Collection[str]) -> None:
        await self._write(lambda connection: safety.delete_holds(connection, servers))

    async def confirm_prune(self, digest: str) -> None:
        now = self._clock.now()
        await self._database.write(lambda connection: safety.write_confirmation(connection, digest, now))

    async def confirmed_prunes(self) -> frozenset[str]:
        now = self._clock.now()
        return await self._database.read(lambda connection: safety.read_confirmations(connection, now))

    async def agreed_apps(self) -> frozenset[str]:
        now = self._clock.now()
        return await self._database.read(lambda connection: safety.read_agreed_apps(connection, now))

    async def keep_agreed_apps(self, apps: Collection[str]) -> None:
        now = self._clock.now()
        await self._write(lambda connection: safety.write_agreed_apps(connection, apps, now))

    async def use_prune(self, digest: str) -> None:
        await self._write(lambda connection: safety.delete_confirmation(connection, digest))

    async def latest_pass(self) -> Pass | None:
        """The newest pass; none before the first one."""
        return await self._database.read(lambda connection: reads.read_pass(connection, None))

    async def pass_by_number(self, number: int) -> Pass | None:
        """One pass; none when there is none of that number, or not any more."""
        return await self._database.read(lambda connection: reads.read_pass(connection, number))

    async def history(self, *, limit: int = 50, commit: str = "") -> tuple[PassSummary, ...]:
        """Passes, newest first; of the commit that begins with a text, if one is given."""
        return await self._database.read(lambda connection: reads.read_history(connection, limit, commit))

    async def transitions(self, server: str = "", *, limit: int = 50) -> tuple[Transition, ...]:
        """Changes of state, newest first; of one server if it is named."""
        return await self._database.read(lambda connection: reads.read_transitions(connection, server, limit))

    async def open_intents(self) -> tuple[Intent, ...]:
        """Actions that were announced and whose outcome is unknown: the process ended in the middle of them.

        The next pass that plans looks at what came of them and closes them.
        """
        return await self._database.read(reads.read_open_intents)
