"""Sends what should stand on commits until it stands there. Level-triggered, durable, and slow on purpose.

Whoever has something to say puts the wish into the store and goes on; this is the only writer, and it works one call at
a time. Before the first post on a commit, and after every post whose answer was lost, GitHub's own list decides what
stands. A limit stops everything until it is over, an outage backs off, a refusal is kept and not repeated.

Of the processes that share a store the one that leads sends. Whoever takes the lead trusts nothing that it remembers:
it reads the store again, and GitHub's list of every commit before it posts there.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

import anyio
import structlog

from reconciler.errors import CatwalkError, Conflict, RateLimited, Unavailable
from reconciler.loop.ports import Clock
from reconciler.report.answers import ToldAlready
from reconciler.report.letters import Letter, LetterKey, asked_again, corrected, delivered, key_of, to_post, wanting
from reconciler.report.pace import SPACING_S
from reconciler.report.sending import UNTIL_OUR_TURN_S, Always, Bell, Turn, send_forever
from reconciler.report.statuses import SERVER_PREFIX, CommitStatus, is_deployment, is_superseded
from reconciler.report.stores import OutboxStore

FIRST_BACKOFF_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 300.0
MOST_FAILURES: Final = 60
"""Outages in a row before a letter rests until it is wanted anew: with the longest backoff, almost five hours."""
MOST_COMMITS: Final = 50
"""Commits whose letters are remembered."""

_log = structlog.get_logger(__name__)


class StatusService(Protocol):
    """The statuses of one repository, at GitHub."""

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        """All statuses of a commit, newest first.

        Raises:
            CatwalkError: `RateLimited`, `Unavailable`, or a refusal.
        """
        ...

    async def post(self, status: CommitStatus) -> None:
        """Adds one.

        Raises:
            CatwalkError: `RateLimited` and refusals did nothing; after `Unavailable` it may or may not stand.
        """
        ...


class Outbox:
    """The letters of one repository and their only sender."""

    def __init__(
        self,
        service: StatusService,
        store: OutboxStore,
        clock: Clock,
        *,
        turn: Turn | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._service, self._store, self._clock, self._sleep = service, store, clock, sleep
        self._turn = turn or Always()
        self._letters: dict[LetterKey, Letter] | None = None
        self._loaded_for = 0
        self._verified: set[str] = set()
        self._failures: dict[LetterKey, int] = {}
        self._paused_at: datetime | None = None
        self._pause_s = 0.0
        self._bell = Bell()
        self._loading, self._changing = anyio.Lock(), anyio.Lock()

    async def letters(self) -> Sequence[Letter]:
        """Every letter that is remembered.

        Raises:
            CatwalkError: the store cannot be read.
        """
        return tuple((await self._loaded()).values())

    async def want(self, statuses: Sequence[CommitStatus], *, again: bool = False) -> None:
        """Makes what should stand durable and wakes the sender. Wanting the same again changes nothing.

        `again` says it once more all the same, because a person asked.

        Raises:
            CatwalkError: the store cannot be written, or this process leads no longer.
        """
        change = asked_again if again else wanting
        fresh = await self._change(lambda letters: [change(letters.get(key_of(status)), status) for status in statuses])
        if not fresh:
            return
        for letter in fresh:
            self._failures.pop(letter.key, None)
        await self._forget_old()
        self._bell.ring()

    async def step(self) -> float:
        """Does the next thing that is due, if one is; gives the seconds until the next may be (infinite: none is)."""
        if not self._turn.may_act():
            return UNTIL_OUR_TURN_S
        waiting = self._waiting_s()
        letter = await self._next_due()
        if letter is None:
            return math.inf
        if waiting > 0:
            return waiting
        try:
            await self._advance(letter)
        except RateLimited as limit:
            self._limited(limit)
        except Unavailable as outage:
            self._back_off(letter, outage)
        except Conflict:
            # The lead was lost on the way: the next leader finds at GitHub what came of it.
            self._letters = None
            return UNTIL_OUR_TURN_S
        except CatwalkError as refusal:
            await self._refused(letter, refusal)
        return self._waiting_s()

    async def run(self) -> None:
        """Sends forever. For the process's task group: a fault of its own is logged and never ends the process."""
        await send_forever(self.step, self._bell)

    async def drain(self, *, timeout_s: float) -> bool:
        """Sends until nothing is due or time is up, for commands that end; gives whether everything was said."""
        with anyio.move_on_after(timeout_s):
            while (delay_s := await self.step()) < math.inf:
                if not self._turn.may_act():
                    return False
                await self._sleep(delay_s)
            return True
        return False

    async def waits(self) -> bool:
        """Whether anything is still to be sent.

        Raises:
            CatwalkError: the store cannot be read.
        """
        return await self._next_due() is not None

    async def _advance(self, letter: Letter) -> None:
        """One call: the list of the commit if it is not trusted, else the post."""
        sha = letter.wanted.sha
        if sha not in self._verified:
            await self._verify(sha)
            return
        status = to_post(letter)
        if status is None:
            return
        self._verified.discard(sha)
        await self._service.post(status)
        self._verified.add(sha)
        self._pause(SPACING_S)
        self._failures.pop(letter.key, None)
        await self._change(lambda letters: [delivered(letters[letter.key], status)])
        _log.info("status_posted", commit=sha, context=status.context, state=status.state)

    async def _verify(self, sha: str) -> None:
        listed = await self._service.statuses(sha)
        await self._change(lambda letters: [*_corrected(sha, listed, letters), *_forgotten(listed, letters)])
        self._verified.add(sha)

    async def _next_due(self) -> Letter | None:
        """The oldest of those that failed least, so that one that always fails holds nobody up.

        Among these the end of a deployment comes last: the one that takes its place is told of before.
        """
        letters = await self._loaded()
        due = (letter for letter in letters.values() if self._is_due(letter))
        return min(due, key=self._rank, default=None)

    def _rank(self, letter: Letter) -> tuple[int, bool]:
        is_end = is_deployment(letter.wanted) and is_superseded(letter.wanted)
        return self._failures.get(letter.key, 0), is_end

    def _is_due(self, letter: Letter) -> bool:
        return to_post(letter) is not None and self._failures.get(letter.key, 0) < MOST_FAILURES

    def _limited(self, limit: RateLimited) -> None:
        self._pause(limit.retry_after_s)
        _log.warning("github_limit", retry_after_s=limit.retry_after_s)

    def _back_off(self, letter: Letter, outage: Unavailable) -> None:
        failures = self._failures[letter.key] = self._failures.get(letter.key, 0) + 1
        self._pause(min(FIRST_BACKOFF_S * 2 ** (failures - 1), LONGEST_BACKOFF_S))
        _log.warning("github_unavailable", problem=str(outage), failures=failures)

    async def _refused(self, letter: Letter, refusal: CatwalkError) -> None:
        """The same text is not sent again; the commit is trusted, because a refusal changed nothing there."""
        self._verified.add(letter.wanted.sha)
        self._pause(SPACING_S)
        await self._change(
            lambda letters: [
                replace(current, refusal=str(refusal))
                for current in (letters[letter.key],)
                if current.wanted == letter.wanted
            ]
        )
        tell = _log.info if isinstance(refusal, ToldAlready) else _log.error
        tell("status_refused", commit=letter.wanted.sha, context=letter.wanted.context, problem=str(refusal))

    def _pause(self, seconds: float) -> None:
        self._paused_at, self._pause_s = self._clock.now(), seconds

    def _waiting_s(self) -> float:
        """What is left of the pause. It begins anew where the clock was set back, and never lasts longer for that."""
        if self._paused_at is None:
            return 0.0
        passed_s = (self._clock.now() - self._paused_at).total_seconds()
        if passed_s < 0:
            self._paused_at, passed_s = self._clock.now(), 0.0
        return max(0.0, self._pause_s - passed_s)

    async def _loaded(self) -> dict[LetterKey, Letter]:
        """A new process may have a new token, so refusals of the last one are tried once more."""
        async with self._loading:
            if self._letters is None or self._loaded_for != self._turn.token:
                self._loaded_for = self._turn.token
                stored = await self._store.load()
                self._letters = {letter.key: replace(letter, refusal="") for letter in stored}
                self._verified.clear()
        return self._letters

    async def _change(self, changes: Callable[[Mapping[LetterKey, Letter]], Sequence[Letter]]) -> Sequence[Letter]:
        """Reads, changes and keeps letters in one go, and gives those that are different now.

        The reporter and the sender change letters at the same time; neither may undo what the other did.
        """
        async with self._changing:
            letters = await self._loaded()
            different = [letter for letter in changes(letters) if letters.get(letter.key) != letter]
            if different:
                await self._store.save(different)
                letters.update((letter.key, letter) for letter in different)
        return different

    async def _forget_old(self) -> None:
        async with self._changing:
            await self._forget_beyond(await self._loaded())

    async def _forget_beyond(self, letters: dict[LetterKey, Letter]) -> None:
        commits = list(dict.fromkeys(letter.wanted.sha for letter in letters.values()))
        old = frozenset(commits[:-MOST_COMMITS])
        gone = [key for key in letters if key[0] in old]
        if gone:
            await self._store.forget(gone)
            self._verified -= old
            for key in gone:
                del letters[key]


def _corrected(sha: str, listed: Sequence[CommitStatus], letters: Mapping[LetterKey, Letter]) -> list[Letter]:
    return [corrected(letter, listed) for letter in letters.values() if letter.wanted.sha == sha]


def _forgotten(listed: Sequence[CommitStatus], letters: Mapping[LetterKey, Letter]) -> list[Letter]:
    """Servers' contexts at GitHub that no letter knows, as after a lost store: failures must be resolved one day."""
    found: dict[LetterKey, Letter] = {}
    for status in listed:
        key = key_of(status)
        if key[1].startswith(SERVER_PREFIX) and key not in letters and key not in found:
            found[key] = corrected(Letter(wanted=status), listed)
    return list(found.values())
