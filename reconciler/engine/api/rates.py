"""Rate limits: one token bucket for each action and each machine or app that it is done to.

Fly allows one call per second with a burst of three, and five with a burst of ten for reading one machine ("Working
with the Machines API", Rate limits); deletions of apps are counted together. Calls that name neither a machine nor an
app are not limited, nor are logs, which another service serves. The answer is a 429 without `Retry-After`, as it is
there.
"""

from dataclasses import dataclass

from reconciler.engine.api.exchange import ApiRequest, Route
from reconciler.engine.clock import NANOSECONDS, Clock
from reconciler.engine.refusals import Refusal
from reconciler.engine.settings import Rate, RateLimits

READ_MACHINE = ("GET", "/v1/apps/{app}/machines/{machine}")
DELETE_APP = ("DELETE", "/v1/apps/{app}")
LIMITED = "/v1/apps/{app}"
"""What every limited route begins with."""
BUCKETS_BEFORE_CLEANING = 10_000

Key = tuple[str, str, str]
"""Method, template, and the machine or app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    tokens: float
    at_ns: int


def drawn(bucket: Bucket | None, rate: Rate, now_ns: int) -> tuple[bool, Bucket]:
    """Whether one more call is allowed, and the bucket after it. No bucket is a full one."""
    tokens = float(rate.burst)
    if bucket is not None:
        refilled = max(now_ns - bucket.at_ns, 0) / NANOSECONDS * rate.per_second
        tokens = min(tokens, bucket.tokens + refilled)
    allowed = tokens >= 1
    return allowed, Bucket(tokens=tokens - 1 if allowed else tokens, at_ns=now_ns)


class RateGate:
    """Counts calls; None for the limits lets all pass."""

    def __init__(self, limits: RateLimits | None, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[Key, Bucket] = {}

    def admit(self, route: Route, request: ApiRequest) -> None:
        """Raises: Refusal: 429, the bucket of this action and identifier is empty."""
        if self._limits is None or not route.template.startswith(LIMITED):
            return
        rate, key = _rate(self._limits, route), _key(route, request)
        now_ns = self._clock.now_ns()
        allowed, self._buckets[key] = drawn(self._buckets.get(key), rate, now_ns)
        self._clean(now_ns)
        if not allowed:
            raise Refusal(429, "rate limit exceeded")

    def _clean(self, now_ns: int) -> None:
        """Forgets buckets that have filled up since: a fleet that lives for months must not grow the table for ever."""
        if self._limits is None or len(self._buckets) <= BUCKETS_BEFORE_CLEANING:
            return
        oldest_ns = now_ns - int(self._limits.longest_fill_s * NANOSECONDS)
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.at_ns > oldest_ns}


def _rate(limits: RateLimits, route: Route) -> Rate:
    match route.method, route.template:
        case action if action == READ_MACHINE:
            return limits.machine_reads
        case action if action == DELETE_APP:
            return limits.app_deletions
        case _:
            return limits.ordinary


def _key(route: Route, request: ApiRequest) -> Key:
    if (route.method, route.template) == DELETE_APP:
        return route.method, route.template, ""
    return route.method, route.template, request.path.get("machine") or request.path["app"]
