"""`GET …/wait`: holds the answer until a machine reaches a state, with the limits and texts of the live API."""

from collections.abc import Iterable

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.records import SETTLED, Goal, Machine, State
from reconciler.engine.refusals import Refusal

SETTLED_WORD = "settled"
WORDS = frozenset({"started", "stopped", "suspended", "destroyed", "failed", SETTLED_WORD})
DEFAULT_S = 60
RANGE_TEXT = "invalid WaitMachineRequest.Timeout: value must be inside range [1s, 1m0s]"


class WaitRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        yield Route(method="GET", template="/v1/apps/{app}/machines/{machine}/wait", handler=self.wait)

    async def wait(self, request: ApiRequest) -> Answer:
        timeout_s = _timeout(request)
        words = _states(request)
        machine = self._desk.machine(request)
        version = request.one("version") or request.one("instance_id")
        if "stopped" in words and not version:
            raise refusals.invalid("invalid WaitMachineRequest.Version: required when waiting for state stopped")
        if version:
            _require_present_version(machine, version, words)
        return await self._hold(machine, words, timeout_s, version=version)

    async def _hold(self, asked: Machine, words: tuple[str, ...], timeout_s: int, *, version: str) -> Answer:
        present = asked

        def decided() -> bool:
            nonlocal present
            present = self._desk.inventory.machine(asked.id) or present
            replaced = bool(version) and present.instance_id != version
            return replaced or _reached(present, words) or not _reachable(present, words)

        await self._desk.inventory.until(asked.app, decided, timeout_s)
        if version:
            _require_present_version(present, version, words)
        if _reached(present, words):
            event_id = present.events[0].id if present.events else ""
            body = {"ok": True, "state": str(present.state), "event_id": event_id, "version": present.instance_id}
            return Answer(body=body)
        wanted = ",".join(words)
        if not _reachable(present, words):
            raise refusals.unreachable(wanted, present.state)
        raise refusals.deadline(wanted, present.state)


def _timeout(request: ApiRequest) -> int:
    text = request.one("timeout") or str(DEFAULT_S)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 60:
        raise refusals.invalid(RANGE_TEXT)
    return int(text)


def _states(request: ApiRequest) -> tuple[str, ...]:
    words = request.words("state") or ("started",)
    for word in words:
        if word not in WORDS:
            raise refusals.invalid(f"invalid WaitMachineRequest.State: {word}")
    return words


def _require_present_version(machine: Machine, version: str, words: tuple[str, ...]) -> None:
    """Refuses a version that the machine does not have any more: it is `replaced` for ever."""
    if version == machine.instance_id:
        return
    if all(version != item.id for item in machine.versions):
        raise Refusal(404, "machine version not found")
    raise refusals.unreachable(",".join(words), "replaced")


def _reached(machine: Machine, words: tuple[str, ...]) -> bool:
    return machine.state in words or (SETTLED_WORD in words and machine.state in SETTLED)


def _reachable(machine: Machine, words: tuple[str, ...]) -> bool:
    """Whether one of the states can still come: the end is final, and a stopped machine is not suspended by itself."""
    if machine.state is State.DESTROYED:
        return False
    if machine.goal is Goal.GONE:
        return bool({"destroyed", SETTLED_WORD}.intersection(words))
    return set(words) != {"suspended"} or machine.state is not State.STOPPED
