"""Places outside the fleet: which addresses may be called there, so that no configured URL reaches what is inside.

The URLs of identity providers and remote servers come from manifests and from documents that providers publish. Whoever
can write one of them could make the gateway ask a neighbour of it, or the metadata service of its host (server-side
request forgery; MCP security best practices, "SSRF"). So every such URL is https, the addresses behind its name are
public ones, and the connection is made to an address that was looked at, not to the name a second time: a name that
changes its address in between (DNS rebinding) gains nothing. Redirects are not followed by anybody in the gateway.

`OutsideRules.networks` names what may be reached although it is not public: a provider inside a company's network, or
loopback on a developer's machine. Plain http is for loopback alone, and only where loopback is named.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import httpx

from gateway.relay.faults import UpstreamForbidden, UpstreamUnreachable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_URL_CHARACTERS: Final = 2048
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""The last four bytes are an IPv4 address that a translator reaches (RFC 6052)."""


class BadURL(ValueError):
    """A URL that the gateway does not call, and why."""


class Outside(NamedTuple):
    """What makes an address one outside the fleet. A tuple, because it is part of the key of a pool of connections."""

    is_encrypted: bool
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideRules:
    """What may be called outside the fleet."""

    networks: tuple[str, ...] = ()
    """Networks in CIDR form that may be reached although they are not public: `10.20.0.0/16`, `127.0.0.0/8`."""

    def __post_init__(self) -> None:
        _parsed(self.networks)

    @property
    def allows_loopback(self) -> bool:
        """Whether loopback is named, and with it plain http."""
        return any(network.is_loopback for network in _parsed(self.networks))


class OutsideURL(NamedTuple):
    """A URL in the parts that a request needs."""

    host: str
    port: int
    authority: str
    """For the `Host` header."""
    target: str
    """Path and query."""
    outside: Outside


def read_url(text: str, rules: OutsideRules) -> OutsideURL:
    """Takes a URL apart that the gateway is to call.

    Raises:
        BadURL: it is no absolute https URL without credentials and fragment, or its literal address is not allowed.
    """
    parts = _split(text)
    host, is_encrypted = parts.hostname or "", parts.scheme == "https"
    if not is_encrypted and not (parts.scheme == "http" and rules.allows_loopback and _is_loopback_name(host)):
        raise BadURL("it does not begin with https://")
    if not _HOST.fullmatch(host) or parts.username is not None or parts.fragment or "\\" in text:
        raise BadURL("it is not of the form https://HOST/PATH")
    if (literal := _literal(host)) is not None and not is_allowed(literal, rules.networks):
        raise BadURL("its address is not a public one")
    name = f"[{host}]" if ":" in host else host
    default = 443 if is_encrypted else 80
    return OutsideURL(
        host=host,
        port=parts.port or default,
        authority=name if parts.port in {None, default} else f"{name}:{parts.port}",
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        outside=Outside(is_encrypted=is_encrypted, networks=rules.networks),
    )


def _split(text: str) -> SplitResult:
    if len(text) > MAX_URL_CHARACTERS or not _VISIBLE.fullmatch(text):
        raise BadURL("it is too long, or holds characters that belong in no URL")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise BadURL("it is no URL") from error
    return parts


def is_allowed(address: IPAddress, networks: tuple[str, ...]) -> bool:
    """Whether an address is public, or in one of the networks that may be reached all the same.

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, translated) is judged too: a host may route to it.
    """
    return all(_is_plainly_allowed(each, networks) for each in (address, *_embedded(address)))


def _is_plainly_allowed(address: IPAddress, networks: tuple[str, ...]) -> bool:
    if any(address in network for network in _parsed(networks)):
        return True
    is_mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    return is_mapped or (address.is_global and not address.is_multicast)


def _embedded(address: IPAddress) -> list[IPAddress]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[IPAddress | None] = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    if address in _TRANSLATED:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses behind a name, as the system knows them.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def allowed_addresses(host: str, port: int, outside: Outside, look_up: Resolve = resolve) -> Sequence[str]:
    """The addresses to connect to, in the order of preference.

    Raises:
        UpstreamUnreachable: the name has no address.
        UpstreamForbidden: one of them may not be reached; then none is, because a name with both kinds is an attack.
    """
    try:
        found = list(dict.fromkeys(await look_up(host, port)))
    except OSError as error:
        raise UpstreamUnreachable("its name has no address") from error
    if not found:
        raise UpstreamUnreachable("its name has no address")
    if not all(_is_allowed_text(address, outside.networks) for address in found):
        raise UpstreamForbidden("its name leads to an address that is not public")
    return found


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Certificates checked against the usual authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` add others."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_allowed_text(address: str, networks: tuple[str, ...]) -> bool:
    literal = _literal(address.partition("%")[0])
    return literal is not None and is_allowed(literal, networks)


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback_name(host: str) -> bool:
    literal = _literal(host)
    return host.lower() == "localhost" or (literal is not None and literal.is_loopback)


@lru_cache(maxsize=64)
def _parsed(networks: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)
