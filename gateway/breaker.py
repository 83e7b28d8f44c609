"""Servers that do not run: how that is recognised, what callers are told, and when they are told without asking.

The proxy in front of the machines holds a call while a sleeping machine starts, and starts it once for any number of
callers. If it fails, each of them gets the proxy's own plain 502 or 503, with its reason; here that becomes an error
that an MCP client shows, with the control plane's knowledge of the cause added.

After several failures in a row a server rests: for a moment every call is answered at once with the last cause, so that
callers are not held for nothing and a failing machine is not started again by each of them. Then one call tries.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.headers import MACHINE_HEADER
from gateway.problems import Problem, ProblemKind
from gateway.relay import RelayFault, ResponseHead, UpstreamTimeout, UpstreamUnreachable

PROXY_MARK = b"fly-request-id"
MAX_REASON_BYTES = 4096
_STATUSES = frozenset({502, 503})
_SHOWN_CHARACTERS = 300
_FAILURES = 5
_REST_S = 2.0
_TRIAL_S = 60.0


class ServerDown(RelayFault):
    """No machine of the server took the call."""


def is_down(head: ResponseHead) -> bool:
    """Whether the proxy in front of the machines answered in their place."""
    if head.status not in _STATUSES or head.value(PROXY_MARK) is None or head.value(MACHINE_HEADER) is not None:
        return False
    return (head.value(b"content-type") or b"text/plain").startswith(b"text/plain")


def down(reason: bytes) -> ServerDown:
    """The fault with the proxy's reason, cut to a length that fits an error message."""
    text = " ".join(reason.decode("utf-8", "replace").split())[:_SHOWN_CHARACTERS]
    return ServerDown(f"no machine took the call: {text}" if text else "no machine took the call")


def down_problem(server: str, cause: str, note: str) -> Problem:
    """What a caller is told; `note` is what the control plane knows about the server, or empty."""
    detail = f"{server}: {cause}"
    return Problem(
        kind=ProblemKind.SERVER_DOWN,
        detail=f"{detail} ({note})" if note else detail,
        hint="The server's page on the dashboard and `catwalk logs` say why it does not start.",
        headers=((b"retry-after", b"%d" % int(_REST_S)),),
    )


@dataclass(slots=True, kw_only=True)
class _State:
    failures: int = 0
    cause: str = ""
    opens_again_s: float = 0.0


class Breakers:
    """One breaker for each server that has failed lately. `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: dict[str, _State] = {}

    def is_clear(self, server: str) -> bool:
        """Whether nothing bad is known of the server."""
        return server not in self._states

    def check(self, server: str) -> None:
        """Let a call try, or raise ServerDown while the server rests. After that the first one tries alone."""
        state = self._states.get(server)
        if state is None or state.failures < _FAILURES:
            return
        now_s = self._clock()
        if now_s < state.opens_again_s:
            raise ServerDown(state.cause)
        state.opens_again_s = now_s + _TRIAL_S

    def note(self, server: str, fault: RelayFault) -> None:
        """A call failed; only some failures say that the server does not run."""
        if not isinstance(fault, ServerDown | UpstreamUnreachable | UpstreamTimeout):
            return
        state = self._states.setdefault(server, _State())
        state.failures += 1
        state.cause = fault.cause
        state.opens_again_s = self._clock() + _REST_S

    def answered(self, server: str) -> None:
        """A machine of the server answered."""
        self._states.pop(server, None)

    def resting(self) -> int:
        """How many servers rest or are on trial."""
        return sum(state.failures >= _FAILURES for state in self._states.values())
