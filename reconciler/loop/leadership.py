"""One process leads a fleet, the others wait: the lease, kept alive beside the passes, and given back between them.

The leader renews every second a lease of four. Whoever waits takes over when it ends: at once when it was given back or
when the kernel says that its holder is gone, else when it has run out. None of these is enough when a process sleeps
past the end of its lease and goes on, so that every write of a pass carries the token of the lease and is refused when
it is not the newest, and no action begins when the lease could not be renewed for too long. How long is told by a clock
that goes on while the machine sleeps.
"""

import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final, Protocol

import anyio
import structlog

from reconciler.core.actions import Pass
from reconciler.errors import CatwalkError
from reconciler.loop.faults import stack_of
from reconciler.loop.ports import Reporter
from reconciler.loop.process_mark import mark, surely_gone
from reconciler.loop.store.leases import Leases, LeaseState, mark_of, not_leading

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

LEASE_S: Final = 4.0
RENEW_EVERY_S: Final = 1.0
TRY_EVERY_S: Final = 0.5
"""How often a process that waits looks whether the lease was given back."""
SHORTEST_WAIT_S: Final = 0.05
SAFETY_S: Final = 1.0
"""How long before its end a lease is no longer good for beginning an action."""
WISH_S: Final = 4.0
"""How long a wish stands that is not said again: the one who asked has died."""
RELEASE_S: Final = 2.0


class Lead(Protocol):
    """The right to act, as the worker sees it."""

    def may_act(self) -> bool:
        """Whether an action may begin now. Costs nothing."""
        ...

    async def run(self) -> None:
        """Keeps the lead until it is cancelled, and then gives it back."""
        ...

    async def led(self) -> None:
        """Returns when this process may act."""
        ...

    def turn(self, on_asked: Callable[[], None]) -> AbstractContextManager[bool]:
        """One pass: tells whether this process may act, and does not step aside before the block ends.

        `on_asked` is called once when another process asks for the lead meanwhile.
        """
        ...


class Alone:
    """Leads always: no other process can know of the fleet."""

    def may_act(self) -> bool:
        return True

    async def run(self) -> None:
        return

    async def led(self) -> None:
        return

    @contextmanager
    def turn(self, on_asked: Callable[[], None]) -> Generator[bool]:  # noqa: ARG002  # Nobody asks.
        yield True


def holder_name(command: str) -> str:
    """A name for this process that people understand and no other process has."""
    return f"{command} on {socket.gethostname()[:64]}, process {os.getpid()} #{mark()}"


def elapsed_s() -> float:
    """Seconds on a clock that never jumps and counts the time that the machine sleeps, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leadership:
    """The lead of this process, or its place in the line. Implements `Gate`, and `Fence` of the store."""

    def __init__(
        self, leases: Leases, *, holder: str, asks: bool = False, elapsed: Callable[[], float] = elapsed_s
    ) -> None:
        """
        Args:
            leases: of the store that the passes write to.
            holder: a name from `holder_name`.
            asks: whether the leader is asked to step aside, as a command does that a person waits for.
            elapsed: seconds on a clock that never jumps.
        """
        self.holder = holder
        self._leases = leases
        self._asks = asks
        self._elapsed = elapsed
        self._token = 0
        self._good_until = 0.0
        self._seen = LeaseState()
        self._stepped = anyio.Event()
        self._hurry = anyio.Event()
        self._busy = False
        self._stepping_aside = False
        self._on_asked: Callable[[], None] = _ignore
        self._silent = False

    @property
    def token(self) -> int:
        """Of the lease that this process holds, as far as it knows; 0 when it holds none."""
        return self._token

    def may_act(self) -> bool:
        fresh = self._elapsed() < self._good_until - SAFETY_S
        return bool(self._token) and fresh and not self._stepping_aside

    async def check(self) -> None:
        """Lets a pass of the leader go on.

        Raises:
            Conflict: another process leads, and since when.
        """
        if not self.may_act():
            raise not_leading(self._others())

    def _others(self) -> LeaseState:
        """What was last seen, without ourselves: a lease of ours that could not be renewed leads nothing."""
        return replace(self._seen, holder="") if self._seen.holder == self.holder else self._seen

    async def led(self) -> None:
        while not self.may_act():
            await self._stepped.wait()

    @contextmanager
    def turn(self, on_asked: Callable[[], None]) -> Generator[bool]:
        self._busy, self._on_asked = True, on_asked
        try:
            yield self.may_act()
        finally:
            self._busy, self._on_asked = False, _ignore
            # No other pass may slip in before the lead is given back: who asked would wait for that one too.
            self._stepping_aside = bool(self._seen.wanted_by)
            if self._stepping_aside or not self._token:
                self._hurry.set()

    async def run(self) -> None:
        try:
            while True:
                await self._step()
                self._stepped.set()
                self._stepped = anyio.Event()
                with anyio.move_on_after(self._wait_s()):
                    await self._hurry.wait()
                self._hurry = anyio.Event()
        finally:
            with anyio.move_on_after(RELEASE_S, shield=True):
                await self._give_back()

    @asynccontextmanager
    async def held(self, *, patience_s: float) -> AsyncGenerator[None]:
        """For a command: waits for the lead, has it while the block runs, and gives it back.

        Raises:
            Conflict: another process leads still after `patience_s`.
        """
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self.run)
            try:
                with anyio.move_on_after(patience_s):
                    await self.led()
                await self.check()
                with self.turn(_ignore):
                    yield
            except Exception as error:  # noqa: BLE001  # Raised below: the task group would wrap it.
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _wait_s(self) -> float:
        if self._token:
            return RENEW_EVERY_S
        remaining_s = self._seen.remaining_s or TRY_EVERY_S
        return max(SHORTEST_WAIT_S, min(remaining_s, TRY_EVERY_S))

    async def _step(self) -> None:
        """Renews, steps aside, or tries to take over. A database that does not answer leaves the lease to run out."""
        began = self._elapsed()
        try:
            self._take_in(await self._negotiate(), began)
        except CatwalkError as error:
            if not self._silent:
                log.warning("lease-unknown", code=error.problem.code, message=error.problem.message)
            self._silent = True
        except Exception as error:  # noqa: BLE001  # The edge of the task: the lease runs out, the process stays.
            log.error("lease-crashed", fault=type(error).__name__, stack=stack_of(error))
        else:
            self._silent = False
        self._stepping_aside = False

    async def _negotiate(self) -> LeaseState:
        if not self._token and self._busy:
            # A pass that lost the lead must not go on with a new one: another leader may have acted since it looked.
            return await self._leases.state()
        if not self._token:
            return await self._apply_for()
        state = await self._leases.renew(self.holder, self._token, lease_s=LEASE_S)
        if state.wanted_by and state.token == self._token:
            self._on_asked()
            self._on_asked = _ignore
            if not self._busy:
                await self._give_back()
                log.info("lead-given-to", holder=state.wanted_by)
                return await self._leases.state()
        return state

    async def _apply_for(self) -> LeaseState:
        state = await self._leases.acquire(self.holder, lease_s=LEASE_S)
        if state.holder not in {"", self.holder} and surely_gone(mark_of(state.holder)):
            await self._leases.release(state.holder, state.token)
            state = await self._leases.acquire(self.holder, lease_s=LEASE_S)
        if self._asks and state.holder != self.holder:
            state = await self._leases.ask(self.holder, wish_s=WISH_S)
        return state

    def _take_in(self, state: LeaseState, began: float) -> None:
        self._seen = state
        leads = state.holder == self.holder
        if leads:
            self._good_until = began + LEASE_S
        if leads != bool(self._token):
            log.info("lead-taken" if leads else "lead-lost", token=state.token, holder=state.holder)
        self._token = state.token if leads else 0

    async def _give_back(self) -> None:
        token, self._token = self._token, 0
        if not token:
            return
        try:
            await self._leases.release(self.holder, token)
        except CatwalkError as error:
            log.warning("lease-not-released", code=error.problem.code)


class LedReporter:
    """Reports the passes of the leader alone: what a former leader has to say is no news about the fleet."""

    def __init__(self, reporter: Reporter, lead: Lead) -> None:
        self._reporter = reporter
        self._lead = lead

    async def begin(self, begun: Pass) -> None:
        if self._lead.may_act():
            await self._reporter.begin(begun)

    async def report(self, finished: Pass) -> None:
        if self._lead.may_act():
            await self._reporter.report(finished)


def _ignore() -> None:
    """Nobody listens."""
