"""The loop itself: passes as they are asked for, the ticks that ask, and the poll of the source, in one task group."""

from typing import Final

import anyio
import structlog

from reconciler.core.actions import Pass
from reconciler.core.types import Trigger
from reconciler.loop.faults import crashed, stack_of
from reconciler.loop.leadership import Alone, Lead
from reconciler.loop.live import LiveState
from reconciler.loop.log_tails import LogTails
from reconciler.loop.passes import Reconciler
from reconciler.loop.poll import SourcePoll
from reconciler.loop.queue import Closed, Turn, WakeQueue
from reconciler.loop.schedule import Schedule, ScheduleSettings, Tick
from reconciler.loop.setup import Ports
from reconciler.loop.signals import Signals

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")

FIRST_BACK_OFF_S: Final = 1.0
LONGEST_BACK_OFF_S: Final = 60.0


class Worker:
    """Runs the passes of one fleet until it is stopped, while this process leads it."""

    def __init__(
        self,
        reconciler: Reconciler,
        ports: Ports,
        live: LiveState,
        settings: ScheduleSettings,
        *,
        lead: Lead | None = None,
    ) -> None:
        self.queue = WakeQueue()
        self._lead = lead or Alone()
        self._stopped = anyio.Event()
        self._reconciler = reconciler
        self._live = live
        self._pause = ports.pause
        self._poll = SourcePoll(ports.source, self.queue)
        self._poll_due = anyio.Event()
        self._tails: LogTails | None = None
        self._logs_due = anyio.Event()
        self._crashes = 0
        self._schedule = Schedule(self._ticks(settings))

    def wake(self, trigger: Trigger) -> None:
        """Asks for a pass: a webhook came, a person asked. Returns at once."""
        self.queue.wake(trigger)

    def keep_logs(self, tails: LogTails) -> None:
        """From now on each log tick keeps what unwell servers wrote."""
        self._tails = tails

    def stop(self) -> None:
        """Lets the actions that run come to their end, begins no other, and makes `run` return after the report."""
        self._stopped.set()
        self.queue.close()

    async def run(self) -> None:
        """Runs a first pass at once and then one for every wake; returns after `stop`.

        Where another process leads, passes wait until it ends, and the lead is given back in the end.
        """
        self.queue.wake(Trigger.START)
        async with self._schedule.running(), anyio.create_task_group() as group:
            group.start_soon(self._lead.run)
            group.start_soon(self._follow_source)
            group.start_soon(self._follow_logs)
            await self._run_passes()
            group.cancel_scope.cancel()

    async def _run_passes(self) -> None:
        try:
            while await self._leads():
                async with self.queue.turn() as turn:
                    await self._take_turn(turn)
        except Closed:
            return

    async def _leads(self) -> bool:
        """Waits for the lead, or for a stop. No turn is taken meanwhile: what wakes it would cut its pass short."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._cancel_when_stopped, group.cancel_scope)
            await self._lead.led()
            group.cancel_scope.cancel()
        return not self._stopped.is_set()

    async def _cancel_when_stopped(self, scope: anyio.CancelScope) -> None:
        await self._stopped.wait()
        scope.cancel()

    async def _take_turn(self, turn: Turn) -> None:
        with self._lead.turn(turn.woken.set) as leads:
            if leads:
                await self._run_pass(turn)
            else:
                self.queue.wake(turn.trigger)

    async def _run_pass(self, turn: Turn) -> None:
        signals = Signals(woken=turn.woken, pressed=turn.pressed, stopping=turn.stopping, may_act=self._lead.may_act)
        finished = await self._reconciler.run_pass(turn.trigger, signals=signals)
        self._poll.begin(finished.revision)
        self._live.next_pass_at = self._schedule.next_at("health", "resync")
        await self._back_off(finished, turn)

    async def _back_off(self, finished: Pass, turn: Turn) -> None:
        """After a crash the loop waits ever longer before it tries the same again; a new commit is tried at once."""
        if not crashed(finished.problems):
            self._crashes = 0
            return
        wait_s = min(FIRST_BACK_OFF_S * 2**self._crashes, LONGEST_BACK_OFF_S)
        self._crashes += 1
        log.warning("pass-backs-off", number=finished.number, wait_s=wait_s)
        await self._pause(turn.pressed, wait_s)
        self.queue.wake(turn.trigger)

    async def _follow_source(self) -> None:
        while True:
            await self._poll_due.wait()
            self._poll_due = anyio.Event()
            try:
                await self._poll.look()
            except Exception as error:  # noqa: BLE001  # A broken poll must not end the loop: ticks still look.
                log.error("poll-crashed", fault=type(error).__name__, stack=stack_of(error))

    async def _follow_logs(self) -> None:
        while True:
            await self._logs_due.wait()
            self._logs_due = anyio.Event()
            try:
                await self._keep_logs()
            except Exception as error:  # noqa: BLE001  # Logs that cannot be kept must not end the loop.
                log.error("logs-not-kept", fault=type(error).__name__, stack=stack_of(error))

    async def _keep_logs(self) -> None:
        """What unwell servers wrote, as the newest verdicts have it."""
        view = self._live.view()
        if self._tails is not None and view.latest is not None and view.latest.fleet and self._lead.may_act():
            await self._tails.collect(view.latest.fleet, view.statuses)

    def _ask_for_poll(self) -> None:
        self._poll_due.set()

    def _ask_for_logs(self) -> None:
        self._logs_due.set()

    def _ticks(self, settings: ScheduleSettings) -> tuple[Tick, ...]:
        return (
            Tick(
                name="poll",
                every_s=settings.poll_s,
                jitter_s=settings.poll_jitter_s,
                act=self._ask_for_poll,
            ),
            Tick(
                name="health",
                every_s=settings.health_s,
                jitter_s=settings.health_jitter_s,
                act=lambda: self.queue.wake(Trigger.HEALTH),
            ),
            Tick(
                name="logs",
                every_s=settings.logs_s,
                jitter_s=settings.logs_jitter_s,
                act=self._ask_for_logs,
            ),
            Tick(
                name="resync",
                every_s=settings.resync_s,
                jitter_s=settings.resync_jitter_s,
                act=lambda: self.queue.wake(Trigger.POLL),
            ),
        )
