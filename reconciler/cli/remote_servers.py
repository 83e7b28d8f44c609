"""The remote servers of the fleet: from what the manifest says and its secrets to routes, credentials and probes.

A route keeps its credentials for as long as neither the manifest's words nor the secrets change, and with them the
token that it has been given. What the rules about addresses do not allow gets no route, and its probe says why.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio

from gateway.oauth.client_credentials import ClientCredentials, ClientSettings
from gateway.oauth.fetching import Fetcher
from gateway.relay import BadURL, OutsideRules, OutsideURL, Relay, RelayLimits, read_url
from gateway.remote import Credentials, RemoteSide, StaticCredentials
from gateway.routing import Upstream
from reconciler.cli.relay_transport import RelayTransport
from reconciler.cli.remote_probe import TIMEOUT_S, probe_remote
from reconciler.core.remotes import RemoteProgram, filled
from reconciler.core.types import ProbeResult
from reconciler.loop.ports import Prober
from reconciler.loop.remotes import RemoteServer

_LIMITS: Final = RelayLimits(head_timeout_s=TIMEOUT_S, send_timeout_s=TIMEOUT_S)
_ALLOW: Final = "CATWALK_OUTBOUND_NETWORKS names networks that may be reached although they are not public"


@dataclass(frozen=True, slots=True)
class _Known:
    """One remote server, as it was told and as it is reached."""

    server: RemoteServer
    upstream: Upstream | None
    fault: str = ""
    """Why it is not reached."""


class RemoteServers:
    """Implements `Remotes`. Whoever keeps routes asks it for those of remote servers."""

    def __init__(self, outside: OutsideRules, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`outside` says where they may be; `clock` counts seconds and never goes back."""
        self._outside = outside
        self._clock = clock
        self._fetcher = Fetcher(outside)
        self._names: frozenset[str] = frozenset()
        self._known: dict[str, _Known] = {}
        self._relay: Relay | None = None
        self.on_change: Callable[[], None] = _nothing
        """Called when routes have changed."""

    def follow(self, servers: Sequence[RemoteServer]) -> None:
        """As `Remotes.follow`."""
        before = self._names, self._known
        self._names = frozenset(server.spec.name for server in servers)
        self._known = {server.spec.name: self._taken(server) for server in servers if self._is_taken(server)}
        if (self._names, self._known) != before:
            self.on_change()

    def is_remote(self, server: str) -> bool:
        """Whether a server is one of them."""
        return server in self._names

    def upstream(self, server: str) -> Upstream | None:
        """How a remote server is reached; None where it may not be, or nothing is known of it yet."""
        known = self._known.get(server)
        return known.upstream if known is not None else None

    async def probe(self, app: str) -> ProbeResult | None:
        """What a remote server answers; None where no remote server has that app name.

        It never raises for a server that is unwell.
        """
        known = next((each for each in self._known.values() if each.server.spec.app == app), None)
        if known is None:
            return None
        if known.upstream is None:
            return ProbeResult(answered=False, problem=f"its address is not called: {known.fault} ({_ALLOW})")
        if self._relay is None:
            self._relay = Relay(_LIMITS)
        return await probe_remote(RelayTransport(self._relay, known.upstream))

    async def aclose(self) -> None:
        """Close the connections of probes."""
        if self._relay is not None:
            await self._relay.aclose()

    def _is_taken(self, server: RemoteServer) -> bool:
        return server.is_known or server.spec.name in self._known

    def _taken(self, server: RemoteServer) -> _Known:
        known = self._known.get(server.spec.name)
        if known is not None and (not server.is_known or _is_same(known.server, server)):
            return known
        program = server.spec.package
        assert isinstance(program, RemoteProgram)
        try:
            url = read_url(program.url, self._outside)
        except BadURL as error:
            return _Known(server, None, str(error))
        return _Known(server, _upstream(server, url, self._credentials(server, program)))

    def _credentials(self, server: RemoteServer, program: RemoteProgram) -> Credentials:
        fixed = StaticCredentials([(name, filled(value, server.secrets).reveal) for name, value in program.headers])
        if program.grant is None:
            return fixed
        settings = ClientSettings(
            server=server.spec.name,
            token_url=program.grant.token_url,
            client_id=filled(program.grant.client_id, server.secrets).reveal,
            client_secret=filled(program.grant.client_secret, server.secrets).reveal,
            scope=" ".join(program.grant.scopes),
            resource=program.url.partition("?")[0],
            method="post" if program.grant.method == "post" else "basic",
        )
        return ClientCredentials(settings, self._fetcher, self._clock, others=fixed)


class WholeFleetProber:
    """Implements `Prober` for servers with machines and for those without."""

    def __init__(self, machines: Prober, remotes: RemoteServers, redact: Callable[[str], str]) -> None:
        self._machines = machines
        self._remotes = remotes
        self._redact = redact

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        """As `Prober.probe`."""
        began_s = anyio.current_time()
        result = await self._remotes.probe(app) if not machine_id else None
        if result is None:
            return await self._machines.probe(app, machine_id=machine_id)
        duration_ms = (anyio.current_time() - began_s) * 1000
        return replace(result, duration_ms=duration_ms, problem=self._redact(result.problem))


def _is_same(known: RemoteServer, server: RemoteServer) -> bool:
    """Whether nothing has changed that decides how it is reached. Secrets are compared and never hashed."""
    return known.spec.package == server.spec.package and known.secrets == server.secrets


def _upstream(server: RemoteServer, url: OutsideURL, credentials: Credentials) -> Upstream:
    return Upstream(
        server=server.spec.name,
        app=server.spec.app,
        host=url.host,
        port=url.port,
        authority=url.authority,
        path=url.target,
        remote=RemoteSide(outside=url.outside, credentials=credentials),
    )


def _nothing() -> None:
    """Nobody keeps routes."""
