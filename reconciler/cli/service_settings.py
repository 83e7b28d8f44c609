"""What `catwalk serve` cannot do without, told all at once: a service that fails once for each setting costs a day."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.settings import GatewaySettings
from reconciler.errors import EnvironmentFault
from reconciler.settings import Settings

LOOPBACK_HOSTS = ("localhost:*", "127.0.0.1:*", "[::1]:*")
"""Always served: commands and health checks on the same machine use them, and no other machine can."""


def require_service(settings: Settings, *, host: str) -> None:
    """Refuses to begin while something is missing.

    Raises:
        ExceptionGroup: of `EnvironmentFault`, one for each thing that is missing or wrong.
    """
    faults = list(_missing(settings, host))
    if faults:
        raise ExceptionGroup("catwalk serve cannot start", faults)


def _missing(settings: Settings, host: str) -> Iterator[EnvironmentFault]:
    if not settings.repo_url:
        hint = "for example https://github.com/OWNER/NAME; GITHUB_TOKEN opens a private one"
        yield _fault("CATWALK_REPO_URL", "the repository to follow", hint)
    if settings.fly_api_token is None:
        hint = "make one with `fly tokens create org`"
        yield _fault("FLY_API_TOKEN", "the token for the organization that the machines run in", hint)
    if not settings.public_url and not is_loopback(host):
        hint = "for example https://mcp.example.com; requests for any other host are refused"
        yield _fault("CATWALK_PUBLIC_URL", "the address at which clients and people reach this gateway", hint)
    elif settings.public_url and not _is_address(settings.public_url):
        message = "CATWALK_PUBLIC_URL is no address of the form https://HOST"
        yield EnvironmentFault("bad-setting", message, hint="give scheme and host, with a port if it is not the usual")


def _fault(name: str, purpose: str, hint: str) -> EnvironmentFault:
    return EnvironmentFault("setting-missing", f"{name} is not set: {purpose}", hint=hint)


def service_gateway(settings: Settings, *, host: str, session_key: bytes) -> GatewaySettings:
    """Whom the gateway answers: its public name and, for this machine itself, the loopback names."""
    loopback = is_loopback(host)
    parts = urlsplit(settings.public_url)
    names = (parts.netloc, *(() if loopback else LOOPBACK_HOSTS)) if settings.public_url else ()
    origins = (f"{parts.scheme}://{parts.netloc}",) if settings.public_url else ()
    return GatewaySettings(
        session_key=session_key, is_bound_to_loopback=loopback, allowed_hosts=names, allowed_origins=origins
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on that host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    bare = not parts.username and not parts.path.strip("/") and not parts.query and not parts.fragment
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and bare
