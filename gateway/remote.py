"""Servers that somebody else runs: where they are, and how the gateway proves to them who it is.

Such a server has no machine and no adapter. Its requests go out as they came in, with the gateway's own credentials in
place of the caller's, who is not named to it either. Credentials are asked for at the last moment and are no part of a
route or a decision, so that none of these can show them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.problems import UPSTREAM_FAULT_CODE, Answer
from gateway.protocol.affinity import NAME_HEADER, PRINCIPAL_HEADER
from gateway.relay import RelayFault, ResponseHead
from gateway.relay.outside import Outside
from gateway.relay.wire import Headers

Secret = Callable[[], str]
"""Gives a secret to whoever is about to send it. Shown, it shows none."""

_OWN = frozenset(
    {
        PRINCIPAL_HEADER.encode("ascii"),
        NAME_HEADER.encode("ascii"),
        b"fly-force-instance-id",
        b"fly-prefer-instance-id",
    }
)
"""Headers that are between the gateway and its own machines."""

_PERHAPS_ANOTHER_REVISION = frozenset({400, 405, 406, 415, 426})


class CredentialsRefused(RelayFault):
    """The remote server does not accept the gateway's credentials, or none could be had for it."""


class Credentials(Protocol):
    """What the gateway shows to one remote server."""

    async def headers(self) -> Headers:
        """The headers to send now.

        Raises:
            CredentialsRefused: they cannot be had.
        """
        ...

    async def renew(self, refused: Headers) -> bool:
        """Those headers were refused: whether there may be better ones now.

        Raises:
            CredentialsRefused: others cannot be had.
        """
        ...


class StaticCredentials:
    """The same headers always."""

    def __init__(self, headers: Sequence[tuple[str, Secret]] = ()) -> None:
        self._headers = tuple(headers)

    async def headers(self) -> Headers:
        """As `Credentials.headers`."""
        return [(name.lower().encode("ascii"), reveal().encode("latin-1")) for name, reveal in self._headers]

    async def renew(self, refused: Headers) -> bool:  # noqa: ARG002 - the protocol's name
        """There are no better ones."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSide:
    """What is different about a server that somebody else runs."""

    outside: Outside
    """Which addresses its name may lead to."""
    credentials: Credentials


def remote_headers(headers: Headers, credentials: Headers) -> list[tuple[bytes, bytes]]:
    """What a remote server gets: the client's MCP headers, and the gateway's credentials over everything."""
    replaced = {name for name, _ in credentials} | _OWN
    kept = [header for header in headers if header[0] not in replaced]
    return [*kept, (b"user-agent", b"catwalk"), *credentials]


def unclear_answer(head: ResponseHead, version: str) -> Answer | None:
    """What to say in place of a refusal that is no MCP message; None where the server's own words will do.

    A server that does not speak the client's revision should say so in an MCP error (2026-07-28, "Versioning"); older
    ones answer with a page or nothing. The status stays, because clients that speak both go by it.
    """
    is_json = (head.value(b"content-type") or b"").lower().startswith(b"application/json")
    if head.status not in _PERHAPS_ANOTHER_REVISION or is_json:
        return None
    spoken = f"revision {version}" if version else "a revision before 2025-06-18"
    text = f"The remote server answered with status {head.status} and no MCP message; the client spoke {spoken}"
    error = {"code": UPSTREAM_FAULT_CODE, "message": f"{text}, which the server may not know."}
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
    return Answer(status=head.status, headers=headers, body=body)
