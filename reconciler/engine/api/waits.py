"""`GET …/wait`: holds the answer until a machine reaches a state, with the limits and texts of the live API.

A caller that names a version waits for that version alone. One that names an event waits for what comes after it: the
state that the machine was in at that event does not count, so that a restart is not mistaken for the run before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.records import SETTLED, Goal, Machine, State
from reconciler.engine.refusals import Refusal

SETTLED_WORD = "settled"
WORDS = frozenset({"started", "stopped", "suspended", "destroyed", "failed", SETTLED_WORD})
DEFAULT_S = 60
RANGE_TEXT = "invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"
ULID_CHARACTERS = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a caller waits for."""

    words: tuple[str, ...]
    version: str = ""
    """The only version that counts; empty is any."""
    after: str = ""
    """The event that has to be followed by something; empty is none."""

    @property
    def text(self) -> str:
        return ",".join(self.words)


class WaitRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template="/v1/apps/{app}/machines/{machine}/wait", handler=self.wait)

    async def wait(self, request: ApiRequest) -> Answer:
        timeout_s = _timeout(request)
        wish = _wish(request)
        machine = self._desk.machine(request)
        if "stopped" in wish.words and not wish.version:
            raise refusals.invalid("invalid WaitMachineRequest.Version: required when waiting for state stopped")
        _require_present_version(machine, wish)
        return await self._hold(machine, wish, timeout_s)

    async def _hold(self, asked: Machine, wish: _Wish, timeout_s: int) -> Answer:
        present = asked
        began_after = _is_later(asked, wish)

        def counts() -> bool:
            return began_after or present.state is not asked.state or _is_later(present, wish)

        def decided() -> bool:
            nonlocal present
            present = self._desk.inventory.machine(asked.id) or present
            replaced = bool(wish.version) and present.instance_id != wish.version
            return replaced or (_reached(present, wish) and counts()) or not _reachable(present, wish)

        await self._desk.inventory.until(asked.app, decided, timeout_s)
        _require_present_version(present, wish)
        if _reached(present, wish) and counts():
            event_id = present.events[0].id if present.events else ""
            body = {"ok": True, "state": str(present.state), "event_id": event_id, "version": present.instance_id}
            return Answer(body=body)
        raise _failure(present, wish)


def _timeout(request: ApiRequest) -> int:
    text = request.one("timeout") or str(DEFAULT_S)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 60:
        raise refusals.invalid(RANGE_TEXT)
    return int(text)


def _wish(request: ApiRequest) -> _Wish:
    words = request.words("state") or ("started",)
    for word in words:
        if word not in WORDS:
            raise refusals.invalid(f"invalid WaitMachineRequest.State: {word}")
    after = request.one("from_event_id")
    if after and (len(after) != ULID_CHARACTERS or not after.isalnum()):
        raise refusals.invalid(f"invalid WaitMachineRequest.FromEventId: must be {ULID_CHARACTERS} characters")
    return _Wish(words=words, version=request.one("version") or request.one("instance_id"), after=after.upper())


def _require_present_version(machine: Machine, wish: _Wish) -> None:
    """Refuses a version that the machine does not have any more: it is `replaced` for ever."""
    if wish.version in {"", machine.instance_id}:
        return
    if all(wish.version != item.id for item in machine.versions):
        raise Refusal(404, "machine version not found")
    raise refusals.unreachable(wish.text, "replaced")


def _is_later(machine: Machine, wish: _Wish) -> bool:
    """Whether something has happened to the machine since the event. Events that are not kept any more are older."""
    ids = [event.id for event in machine.events]
    if wish.after in ids:
        return ids[0] != wish.after
    return not wish.after or (bool(ids) and ids[0] > wish.after)


def _reached(machine: Machine, wish: _Wish) -> bool:
    return machine.state in wish.words or (SETTLED_WORD in wish.words and machine.state in SETTLED)


def _reachable(machine: Machine, wish: _Wish) -> bool:
    """Whether one of the states can still come: the end is final, and a stopped machine is not suspended by itself."""
    if machine.state is State.DESTROYED:
        return False
    if machine.goal is Goal.GONE:
        return bool({"destroyed", SETTLED_WORD}.intersection(wish.words))
    return set(wish.words) != {"suspended"} or machine.state is not State.STOPPED


def _failure(machine: Machine, wish: _Wish) -> Refusal:
    """Why the wait is over without its state."""
    if _reachable(machine, wish):
        return refusals.deadline(wish.text, machine.state)
    if machine.config.auto_destroy and "stopped" in wish.words:
        # It does not rest where it stops: who waits for that finds nothing (Fly docs, "Wait for a Machine").
        return refusals.machine_not_found()
    return refusals.unreachable(wish.text, machine.state)
