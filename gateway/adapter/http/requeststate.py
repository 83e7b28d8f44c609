"""The `requestState` of a parked call: what a client must bring back to go on with it, and what makes it worthless
else.

Source: "Multi round-trip requests" of revision 2026-07-28: the state is attacker's input, so it is authenticated,
expires, and holds for one principal and one request. It names the machine in the clear, so that a gateway can route
the retry; nothing else can be learnt from it. The key is the process's own, because the parked call is, too.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.protocol.affinity import STATE_PREFIX

_STATE = re.compile(
    rf"({STATE_PREFIX}\.[A-Za-z0-9_-]{{1,64}}\.([A-Za-z0-9_-]{{22}})\.([0-9]{{1,12}}))\.([A-Za-z0-9_-]{{43}})"
)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_NOT_SALIENT = frozenset({"_meta", "inputResponses", "requestState"})


class InvalidState(ValueError):
    """The state is not ours, was changed, has expired, or belongs to another principal or request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a state holds for: who asked, and what."""

    principal: str
    digest: bytes


def binding_of(principal: str, method: str, params: Mapping[str, object]) -> Binding:
    """The binding of a request; what differs between a call and its retry does not count."""
    salient = {key: value for key, value in params.items() if key not in _NOT_SALIENT}
    text = json.dumps([method, salient], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return Binding(principal=principal, digest=hashlib.sha256(text.encode()).digest())


class StateSeal:
    """Writes and reads states. `now_s` gives seconds since the epoch."""

    def __init__(self, machine: str, key: bytes | None = None, now_s: Callable[[], float] = time.time) -> None:
        self._machine = _UNSAFE.sub("-", machine)[:64] or "-"
        self._key = key or secrets.token_bytes(32)
        self._now_s = now_s

    def write(self, continuation: str, binding: Binding, lifetime_s: float) -> str:
        """A state for a continuation, which is 22 characters of `secrets.token_urlsafe(16)`."""
        body = f"{STATE_PREFIX}.{self._machine}.{continuation}.{int(self._now_s() + lifetime_s)}"
        return f"{body}.{self._mac(body, binding)}"

    def read(self, state: object, binding: Binding) -> str:
        """The continuation. Raises InvalidState, with the same text for every reason."""
        match = _STATE.fullmatch(state) if isinstance(state, str) else None
        if match is None or not hmac.compare_digest(match[4], self._mac(match[1], binding)):
            raise InvalidState("Invalid or expired requestState")
        if int(match[3]) < self._now_s():
            raise InvalidState("Invalid or expired requestState")
        return match[2]

    def _mac(self, body: str, binding: Binding) -> str:
        principal = binding.principal.encode()
        text = b"\0".join([body.encode(), str(len(principal)).encode(), principal, binding.digest])
        return base64.urlsafe_b64encode(hmac.digest(self._key, text, "sha256")).rstrip(b"=").decode("ascii")
