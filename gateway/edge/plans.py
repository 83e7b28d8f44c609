"""What was decided about a request head, remembered for as long as it holds.

Clients send the same head with call after call; only the length of the body changes. So the decision and the head that
goes upstream are looked up by the bytes that came in. A plan is void as soon as the routes have moved on. Nothing that
depends on a body is in it, and only heads that were accepted have one: a refusal is decided and told by ASGI.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

from gateway.access import Limits, Undecided
from gateway.decision import ClientHead, Forward
from gateway.edge.heads import read_plain_head
from gateway.problems import Refused, SessionNotFound
from gateway.reads import READS
from gateway.relay import MalformedHead
from gateway.relay.pool import Address
from gateway.tracing import trace_of

_MAX_PLANS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with every request that begins with the same bytes."""

    forward: Forward
    address: Address
    opening: bytes
    """The head that goes upstream."""
    body_size: int
    read_method: str
    """The method of a read that may be answered from memory; empty for everything else."""
    generation: tuple[int, int, int]
    expires_at_s: float | None
    """When the caller's credential or session runs out (Unix seconds)."""


class PlanMemory:
    """The plans of one gateway. `decide` is asked about heads that are not known."""

    __slots__ = ("_by_key", "_decide", "_generation")

    def __init__(self, decide: Callable[[ClientHead], Forward], generation: Callable[[], tuple[int, int, int]]) -> None:
        self._decide = decide
        self._generation = generation
        self._by_key: dict[Hashable, Plan] = {}

    def find(self, block: bytes) -> Plan | None:
        """The plan for a head, or None where the edge has nothing to do with it."""
        plan = self._known(block)
        if plan is not None:
            return plan
        head = read_plain_head(block)
        return self._make(block, head, None) if head is not None else None

    def find_part(self, key: Hashable, part: Callable[[], ClientHead], limits: Limits | None) -> Plan | None:
        """The plan for a part of a request to the common address, which `key` tells apart from all others. It counts
        as one request of a caller with these limits.
        """
        plan = self._known(key)
        return plan if plan is not None else self._make(key, part(), limits)

    def _known(self, key: Hashable) -> Plan | None:
        plan = self._by_key.get(key)
        is_good = plan is not None and plan.generation == self._generation() and not _has_expired(plan)
        return plan if is_good else None

    def _make(self, key: Hashable, head: ClientHead, limits: Limits | None) -> Plan | None:
        try:
            plan = self._plan(head, limits)
        except (Refused, SessionNotFound, MalformedHead, Undecided):
            return None
        if not _is_plain(plan.forward):
            return None
        if len(self._by_key) >= _MAX_PLANS:
            del self._by_key[next(iter(self._by_key))]
        self._by_key[key] = plan
        return plan

    def _plan(self, head: ClientHead, limits: Limits | None) -> Plan:
        generation = self._generation()
        forward = self._decide(head)
        if limits is not None:
            forward = replace(forward, grant=replace(forward.grant, limits=limits))
        return Plan(
            forward=forward,
            address=forward.address,
            opening=forward.request_head(forward.content_length).encode(),
            body_size=forward.content_length or 0,
            read_method=_read_method(forward),
            generation=generation,
            expires_at_s=_end_of(forward),
        )


def _is_plain(forward: Forward) -> bool:
    """Whether the message goes out as it is, with what is known from its head. A message of a trace has to be changed,
    and its head will never come again; a page needs more headers; a remote server needs credentials of the moment.
    """
    return not trace_of(forward.headers) and forward.origin is None and forward.upstream.remote is None


def _read_method(forward: Forward) -> str:
    found = next((value.decode("latin-1") for name, value in forward.headers if name == b"mcp-method"), "")
    return found if not forward.has_sessions and found in READS else ""


def _end_of(forward: Forward) -> float | None:
    session_end = forward.session.expires_at_s if forward.session is not None else None
    ends = [each for each in (forward.grant.expires_at_s, session_end) if each is not None]
    return min(ends, default=None)


def _has_expired(plan: Plan) -> bool:
    return plan.expires_at_s is not None and plan.expires_at_s <= time.time()
