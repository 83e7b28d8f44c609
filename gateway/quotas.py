"""How much each caller may ask for: a rate with bursts, calls at a time, and calls a day.

Counted for each principal over all servers, in the memory of this process: with several replicas each counts what it
carries, and a restart begins anew. What is over a limit is refused with 429 and the seconds after which it is worth
trying again (`Retry-After`, RFC 9110 section 10.2.3); nothing waits in a queue. Memory is bounded: of more principals
than that, those are forgotten first that have been quiet the longest.
"""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gateway.access import Grant, Limits
from gateway.problems import Answer, Problem, ProblemKind, Refused

MAX_PRINCIPALS: Final = 10_000
_DAY_S = 24 * 3600
_MINUTE_S = 60.0


@dataclass(slots=True)
class _Usage:
    """What one principal has used."""

    tokens: float
    """Requests that may come now."""
    counted_at_s: float
    under_way: int = 0
    day: int = 0
    calls_today: int = 0


class Quotas:
    """Counts for one gateway. `clock` counts seconds and never goes back; `now` is Unix time, which has midnights."""

    def __init__(self, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._clock = clock
        self._now = now
        self._usages: dict[str, _Usage] = {}

    def __len__(self) -> int:
        return len(self._usages)

    @contextmanager
    def held(self, grant: Grant, *, is_call: bool) -> Generator[None]:
        """Count a request for as long as it is under way.

        Raises:
            Refused: it is over a limit (429).
        """
        refused = self.enter(grant, is_call=is_call)
        if refused is not None:
            raise refused
        try:
            yield
        finally:
            self.leave(grant, is_call=is_call)

    def enter(self, grant: Grant, *, is_call: bool) -> Refused | None:
        """Count a request that begins, or tell why it may not. `is_call` is a POST, as against a stream."""
        limits = grant.limits
        if limits is None:
            return None
        usage = self._usage(grant.principal, limits)
        refused = self._refusal(usage, limits, is_call=is_call)
        if refused is None:
            usage.tokens -= 1
            usage.under_way += is_call
            usage.calls_today += is_call
        return refused

    def leave(self, grant: Grant, *, is_call: bool) -> None:
        """A request that entered is over."""
        usage = self._usages.get(grant.principal) if grant.limits is not None and is_call else None
        if usage is not None:
            usage.under_way = max(0, usage.under_way - 1)

    def give_back(self, grant: Grant, *, is_call: bool) -> None:
        """A request that entered is not made after all, or will enter again."""
        self.leave(grant, is_call=is_call)
        usage = self._usages.get(grant.principal) if grant.limits is not None else None
        if usage is not None:
            usage.tokens += 1
            usage.calls_today = max(0, usage.calls_today - is_call)

    def _usage(self, principal: str, limits: Limits) -> _Usage:
        """With what has come to be allowed since the last time."""
        clock_s, today = self._clock(), int(self._now() // _DAY_S)
        usage = self._usages.pop(principal, None)
        if usage is None:
            usage = _Usage(tokens=float(_capacity(limits)), counted_at_s=clock_s, day=today)
            self._make_room()
        self._usages[principal] = usage
        gained = (clock_s - usage.counted_at_s) * (limits.requests_per_minute or 0) / _MINUTE_S
        usage.tokens = min(usage.tokens + gained, float(_capacity(limits)))
        usage.counted_at_s = clock_s
        if usage.day != today:
            usage.day, usage.calls_today = today, 0
        return usage

    def _make_room(self) -> None:
        if len(self._usages) < MAX_PRINCIPALS:
            return
        quiet = next((name for name, usage in self._usages.items() if not usage.under_way), None)
        del self._usages[quiet if quiet is not None else next(iter(self._usages))]

    def _refusal(self, usage: _Usage, limits: Limits, *, is_call: bool) -> Refused | None:
        if is_call and limits.concurrent is not None and usage.under_way >= limits.concurrent:
            return _refused(f"{limits.concurrent} calls at a time are allowed.", 1)
        if is_call and limits.calls_per_day is not None and usage.calls_today >= limits.calls_per_day:
            return _refused(f"{limits.calls_per_day} calls a day are allowed (UTC).", _DAY_S - self._now() % _DAY_S)
        if limits.requests_per_minute is not None and usage.tokens < 1:
            wait_s = (1 - usage.tokens) * _MINUTE_S / limits.requests_per_minute
            return _refused(f"{limits.requests_per_minute} requests a minute are allowed.", wait_s)
        return None


def told(problem: Problem, http_method: str) -> Answer:
    """A refusal as its client's user sees it: of those to POST, being over a limit is an MCP error that is shown."""
    is_shown = problem.kind is ProblemKind.RATE_LIMITED and http_method == "POST"
    return problem.rpc_answer() if is_shown else problem.answer()


def _capacity(limits: Limits) -> int:
    return limits.burst or limits.requests_per_minute or 1


def _refused(detail: str, retry_s: float) -> Refused:
    header = (b"retry-after", b"%d" % max(1, math.ceil(retry_s)))
    hint = "Wait as long as Retry-After says; the limits stand in the gateway's manifest."
    return Refused(Problem(kind=ProblemKind.RATE_LIMITED, detail=detail, hint=hint, headers=(header,)))
