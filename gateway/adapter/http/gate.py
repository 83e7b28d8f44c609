"""How many requests may be carried out at once, in the machine and for one known principal."""

from collections import Counter


class TooManyCalls(Exception):
    """The limit is reached; a later attempt may succeed."""


class CallGate:
    """Counts running requests."""

    def __init__(self, *, total: int, per_principal: int) -> None:
        self._total = total
        self._per_principal = per_principal
        self._running: Counter[str] = Counter()
        self._all = 0

    def enter(self, principal: str) -> None:
        """One more request; `leave` must follow. Raises TooManyCalls."""
        if self._all >= self._total or (principal and self._running[principal] >= self._per_principal):
            raise TooManyCalls
        self._all += 1
        self._running[principal] += 1

    def leave(self, principal: str) -> None:
        """That request is over."""
        self._all -= 1
        self._running[principal] -= 1
        if not self._running[principal]:
            del self._running[principal]
