"""An access token for a remote server by the client credentials grant (RFC 6749 section 4.4), kept fresh.

One token serves all calls. It is fetched again before it ends, once for any number of calls that wait; while the old
one is still good, a token endpoint that fails holds nobody up. A token that the server refuses before its time is
replaced once. Between two questions to the endpoint there is a pause, so that a wrong secret is not tried for every
call.
"""

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, urlencode

import structlog

from gateway.oauth.fetching import Fetcher, FetchFault
from gateway.relay.wire import Headers
from gateway.remote import CredentialsRefused, Secret, StaticCredentials

ASSUMED_LIFETIME_S: Final = 300.0
"""Of a token whose endpoint does not say (`expires_in` is only recommended)."""
AHEAD_S: Final = 60.0
"""How long before its end a token is replaced; at most half of its life."""
PAUSE_S: Final = 5.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")

_log: structlog.stdlib.BoundLogger = structlog.get_logger("gateway.oauth")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """As what client the gateway asks for tokens."""

    server: str
    """For the log."""
    token_url: str
    client_id: Secret
    client_secret: Secret
    scope: str = ""
    resource: str = ""
    """The remote server's address, which the token is to be made out to (RFC 8707)."""
    method: Literal["basic", "post"] = "basic"
    """How the client proves who it is: `client_secret_basic`, or `client_secret_post`."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    ends_at_s: float
    replaced_from_s: float

    def __repr__(self) -> str:
        return "_Token(********)"


class ClientCredentials:
    """Implements `Credentials`. `clock` counts seconds and never goes back."""

    def __init__(
        self,
        settings: ClientSettings,
        fetcher: Fetcher,
        clock: Callable[[], float],
        *,
        others: StaticCredentials | None = None,
    ) -> None:
        """`others` are sent beside the token."""
        self._settings = settings
        self._fetcher = fetcher
        self._clock = clock
        self._others = others or StaticCredentials()
        self._token: _Token | None = None
        self._lock = asyncio.Lock()
        self._asks_again_s = clock()
        self._cause = ""

    async def headers(self) -> Headers:
        """As `Credentials.headers`."""
        token = self._token
        if token is None or self._clock() >= token.replaced_from_s:
            token = await self._fresh(token)
        return [*await self._others.headers(), (b"authorization", b"Bearer " + token.text.encode("ascii"))]

    async def renew(self, refused: Headers) -> bool:
        """As `Credentials.renew`. A token that is not the one of now has been replaced already."""
        sent = dict(refused).get(b"authorization", b"")
        token = self._token
        if token is not None and sent != b"Bearer " + token.text.encode("ascii"):
            return True
        if self._clock() < self._asks_again_s:
            return False
        self._token = None
        await self._fresh(None)
        return True

    async def _fresh(self, old: _Token | None) -> _Token:
        """A token in place of the old one, or the old one while it is good and no other can be had."""
        async with self._lock:
            if self._token is not None and self._token is not old:
                return self._token
            if self._clock() >= self._asks_again_s:
                await self._ask()
            token = self._token
        if token is None or self._clock() >= token.ends_at_s:
            raise CredentialsRefused(self._cause or "no token could be had for it")
        return token

    async def _ask(self) -> None:
        try:
            answer = await self._fetcher.post_form(self._settings.token_url, self._form(), self._proof())
            self._token = _read(answer, self._clock())
            self._cause = ""
        except FetchFault as fault:
            self._cause = f"no token could be had for it: {fault.cause}"
            _log.warning("remote_token_unavailable", server=self._settings.server, cause=fault.cause)
        self._asks_again_s = self._clock() + PAUSE_S

    def _form(self) -> bytes:
        asked = self._settings
        fields = {"grant_type": "client_credentials", "scope": asked.scope, "resource": asked.resource}
        if asked.method == "post":
            fields |= {"client_id": asked.client_id(), "client_secret": asked.client_secret()}
        return urlencode({name: value for name, value in fields.items() if value}).encode("ascii")

    def _proof(self) -> Headers:
        """RFC 6749 section 2.3.1: both are encoded as in a form before they are joined."""
        asked = self._settings
        if asked.method == "post":
            return ()
        pair = f"{quote(asked.client_id(), safe='')}:{quote(asked.client_secret(), safe='')}"
        return ((b"authorization", b"Basic " + base64.b64encode(pair.encode("ascii"))),)


def _read(answer: dict[str, object], now_s: float) -> _Token:
    text, kind, lifetime_s = answer.get("access_token"), answer.get("token_type"), answer.get("expires_in")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise FetchFault("its answer holds no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise FetchFault("its token is no bearer token")
    is_number = isinstance(lifetime_s, int | float) and not isinstance(lifetime_s, bool) and lifetime_s > 0
    life_s = float(lifetime_s) if is_number and isinstance(lifetime_s, int | float) else ASSUMED_LIFETIME_S
    return _Token(text, now_s + life_s, now_s + life_s - min(AHEAD_S, life_s / 2))
