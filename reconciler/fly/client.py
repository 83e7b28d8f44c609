"""The one door to the Machines API: sends a described call and gives back its answer or an error of ours.

It is the same for Fly and for the embedded engine; the base address is the only switch. It keeps the promises that
every caller relies on: calls stay under the rate limits, every call ends in time, no answer is read without bound,
nothing is repeated that could happen twice, and the token goes nowhere but into the header.

One instance has one set of cookies, whatever the number of its pools: the `fly_flaps_affinity` cookie brings later
calls for an app to the node that saw its creation, which is the only way to read one's own writes.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from random import SystemRandom
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from time import monotonic
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
import httpx
from pydantic import BaseModel, ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError, RateLimited
from reconciler.fly import errors
from reconciler.fly.authorization import authorization
from reconciler.fly.calls import MEBIBYTE, Call, Effect
from reconciler.fly.lanes import Lanes
from reconciler.fly.platform_clock import PlatformClock
from reconciler.fly.pools import Pools
from reconciler.fly.rates import Schedule
from reconciler.fly.translation import identify, read_answer, request_id, translate

Answered = TypeVar("Answered", bound=BaseModel)
OnCall = Callable[[str, int, float], None]
"""Told after each request: the action in Fly's words, the HTTP status or 0 where no answer came, and its seconds."""

USER_AGENT: Final = "catwalk/0.1 (+https://catwalk.dev)"
ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
RETRY_CAPACITY: Final = 50.0
RETRY_REFUND: Final = 0.1
"""Each success pays a tenth of a retry back: when the API is down for everybody, retries end instead of multiplying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where a client takes time and chance from; tests bring their own."""

    monotonic: Callable[[], float] = monotonic
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    fraction: Callable[[], float] = SystemRandom().random
    """A number from 0 to 1 by which pauses are shortened, so that many clients do not return at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """A successful answer before it is understood."""

    body: bytes
    status: int
    request_id: str


class MachinesAPI:
    """A connection to one Machines API (or to the log service, which speaks the same dialect)."""

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretValue | None,
        timing: Timing = Timing(),  # A frozen value of functions: sharing it shares nothing.
        on_call: OnCall | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        """Opens no connection yet.

        Args:
            base_url: scheme and host, without `/v1`.
            token: as the person stored it, with or without its scheme; none for an engine that asks for none.
            timing: clock, sleep and jitter.
            on_call: counts requests; returns at once.
            lanes: how many calls may be under way at once.

        Raises:
            EnvironmentFault: the token cannot be sent in a header.
        """
        self.timing = timing
        self._on_call = on_call
        self._lanes = lanes or Lanes()
        self._schedule = Schedule(timing.monotonic, timing.sleep)
        self._retries = RETRY_CAPACITY
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = authorization(token)
        self._http = Pools(base_url=base_url, headers=headers, verify=tls_for(base_url))
        self._platform = PlatformClock(timing.monotonic)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    def platform_now(self) -> datetime | None:
        """The time at the platform, to compare the times of its machines with; none while no answer has told it."""
        return self._platform.now()

    @property
    def waits_queue(self) -> bool:
        """Whether a further wait would have to wait for its turn."""
        return self._lanes.waits_are_full

    async def ask(self, call: Call, answer: type[Answered]) -> Answered:
        """Sends `call` and reads its answer as `answer`; repeats it where that is safe.

        Raises:
            CatwalkError: one of `reconciler.fly.errors`. For a write, `AnswerLost` means that it may have happened.
        """
        return await self._repeating(call)(self._ask_once, call, answer)

    async def tell(self, call: Call) -> None:
        """Sends `call` where only success matters; the content of the answer is dropped.

        Raises:
            CatwalkError: as `ask`.
        """
        await self._repeating(call)(self._deliver, call)

    def _repeating(self, call: Call) -> AsyncRetrying:
        return AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            retry=retry_if_exception(lambda error: self._may_repeat(call, error)),
            wait=self._pause_s,
            sleep=self.timing.sleep,
            reraise=True,
        )

    async def _ask_once(self, call: Call, answer: type[Answered]) -> Answered:
        raw = await self._deliver(call)
        try:
            return answer.model_validate_json(raw.body or b"{}")
        except ValidationError as error:
            raise _lost(call, "the answer is not the JSON that it should be", raw.status, raw.request_id) from error

    async def _deliver(self, call: Call) -> _Raw:
        await self._schedule.admit((call.action, call.subject), call.rate)
        async with self._lanes.of(call):
            raw = await self._exchange(call)
        self._retries = min(RETRY_CAPACITY, self._retries + RETRY_REFUND)
        return raw

    async def _exchange(self, call: Call) -> _Raw:
        """One request and its whole answer, with httpx's errors in our words."""
        try:
            with anyio.fail_after(call.timeout_s):
                async with self._open(call) as response:
                    return await _read(call, response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            message = f"could not {call.purpose}: no connection to {self._http.host}"
            raise errors.NotSent(
                "fly-unreachable", message, hint="check the network and CATWALK_FLY_API_URL"
            ) from error
        except TimeoutError as error:
            raise _lost(call, f"no whole answer within {call.timeout_s:.0f} s", 0, "") from error
        except httpx.HTTPError as error:
            raise _lost(call, f"the connection broke ({type(error).__name__})", 0, "") from error

    @asynccontextmanager
    async def _open(self, call: Call) -> AsyncGenerator[httpx.Response]:
        headers = {"fly-machine-lease-nonce": call.nonce} if call.nonce else {}
        content: bytes | None = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.body, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        began, status = self.timing.monotonic(), 0
        try:
            async with self._http.stream(
                call.method, call.path, params=dict(call.query) or None, headers=headers, content=content
            ) as response:
                status = response.status_code
                self._platform.learn(response.headers.get("date", ""))
                yield response
        finally:
            if self._on_call is not None:
                self._on_call(call.action, status, self.timing.monotonic() - began)

    def _may_repeat(self, call: Call, error: BaseException) -> bool:
        """Only what certainly did not happen, or may happen twice; and only while the budget lasts."""
        if not _is_safe_to_repeat(call, error) or self._retries < 1:
            return False
        self._retries -= 1
        return True

    def _pause_s(self, state: RetryCallState) -> float:
        """Exponential with full jitter, but never below what the API asked for."""
        error = state.outcome.exception() if state.outcome else None
        ceiling_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1))
        floor_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
        pause_s: float = floor_s + ceiling_s * self.timing.fraction()
        return pause_s


def _is_safe_to_repeat(call: Call, error: BaseException) -> bool:
    if isinstance(error, errors.NotSent | RateLimited):
        return True
    if isinstance(error, errors.MachinesUnavailable):
        return call.effect is not Effect.WAIT
    return isinstance(error, errors.AnswerLost) and call.effect is Effect.REPEATABLE


async def _read(call: Call, response: httpx.Response) -> _Raw:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > call.limit_bytes:
            reason = f"the answer is larger than {call.limit_bytes / MEBIBYTE:g} MiB"
            raise _lost(call, reason, response.status_code, request_id(response.headers))
    if not response.is_success:
        raise translate(call, read_answer(response.status_code, response.headers, bytes(body)))
    return _Raw(body=bytes(body), status=response.status_code, request_id=request_id(response.headers))


def _lost(call: Call, reason: str, status: int, request_id: str) -> CatwalkError:
    """No usable answer: harmless for a read, an unknown outcome for a write."""
    place = f" [{identify(status, request_id)}]" if status else ""
    message = f"could not {call.purpose}: {reason}{place}"
    if call.effect in {Effect.READ, Effect.WAIT}:
        return errors.MachinesUnavailable("fly-unavailable", message, hint="Catwalk tries again")
    return errors.AnswerLost("fly-outcome-unknown", message, hint="the next pass looks whether it happened")


def tls_for(url: str) -> SSLContext | bool:
    """The certificate store, or one that trusts nobody for a plain address, because loading the real one is slow."""
    return SSLContext(PROTOCOL_TLS_CLIENT) if url.startswith("http:") else True
