"""Who may knock: the rules about `Host` and `Origin`.

A web page can make a browser send requests to a server on the user's own machine, and with a name that changes its
address it can even read the answers (DNS rebinding). The page cannot choose what the browser writes into `Host` and
`Origin`, so both are compared with lists. MCP 2025-11-25 and 2026-07-28 (transports, security warning) demand it for
`Origin`: present and not allowed is 403. A host that is not served is 421 (RFC 9110 section 15.5.20), as in the
official SDK. Clients that are no browsers send no `Origin`, which is fine.
"""

from collections.abc import Iterable

from gateway.problems import ProblemKind, refusal
from gateway.settings import GatewaySettings

_LOOPBACK_HOSTS = ("localhost:*", "127.0.0.1:*", "[::1]:*")
_LOOPBACK_ORIGINS = tuple(f"{scheme}://{host}" for scheme in ("http", "https") for host in _LOOPBACK_HOSTS)


class Admission:
    """The lists, prepared for comparing bytes."""

    def __init__(self, settings: GatewaySettings) -> None:
        loopback = settings.is_bound_to_loopback
        self._hosts = _AllowList((*settings.allowed_hosts, *(_LOOPBACK_HOSTS if loopback else ())))
        self._origins = _AllowList((*settings.allowed_origins, *(_LOOPBACK_ORIGINS if loopback else ())))

    def check(self, *, host: bytes | None, origin: bytes | None) -> None:
        """Let a request pass.

        Raises:
            Refused: the host is missing or not served here (421), or the origin is not allowed (403).
        """
        if host is None or not self._hosts.allows(host):
            raise refusal(
                ProblemKind.HOST_NOT_ALLOWED,
                "The Host header is missing or not one of this gateway's names.",
                hint="Use the address that Catwalk printed, or add the host to the allowed hosts.",
            )
        if origin is not None and not self._origins.allows(origin):
            raise refusal(
                ProblemKind.ORIGIN_NOT_ALLOWED,
                "The Origin header is not one that may use this gateway.",
                hint="Add the origin to the allowed origins if you trust every page of it.",
            )


class _AllowList:
    """Exact values, and values with any port. Compared in lower case: hosts, schemes and origins have no case."""

    def __init__(self, patterns: Iterable[str]) -> None:
        entries = [pattern.strip().lower().encode("utf-8") for pattern in patterns]
        self._everything = b"*" in entries
        self._any_port = frozenset(entry.removesuffix(b":*") for entry in entries if entry.endswith(b":*"))
        self._exact = frozenset(entries) | self._any_port

    def allows(self, value: bytes) -> bool:
        value = value.lower()
        return self._everything or value in self._exact or _without_port(value) in self._any_port


def _without_port(value: bytes) -> bytes:
    """The value without `:digits` at its end; empty, which no list contains, when there is no port."""
    front, colon, port = value.rpartition(b":")
    return front if colon and port.isdigit() and len(port) <= 5 else b""
