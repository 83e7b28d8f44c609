"""As whom Catwalk writes to GitHub: with a token that a person made, or as the installation of a GitHub App.

An installation's token lives for an hour (GitHub docs, "Generating an installation access token for a GitHub App") and
is renewed before that, and whenever GitHub refuses it. Tokens are opaque: nothing is read out of them. Neither a token
nor the App's key ever gets into a log or an error.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import anyio
import structlog
from pydantic import AwareDatetime, BaseModel

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.loop.ports import Clock
from reconciler.report.answers import NotFound
from reconciler.report.app_key import AppKey
from reconciler.report.connection import Connection, read
from reconciler.report.repository import Repository

RENEWED_AFTER: Final = timedelta(minutes=50)
"""Ten minutes before GitHub ends a token, so that a long pass never meets one that has just died."""

_log = structlog.get_logger(__name__)


class Credential(Protocol):
    """A token for each call."""

    async def token(self) -> SecretValue:
        """The token to use now.

        Raises:
            CatwalkError: none can be had now, or ever.
        """
        ...

    async def renewed(self, refused: SecretValue) -> SecretValue | None:
        """Another token after GitHub refused this one; none where there can be no other.

        Raises:
            CatwalkError: none can be had now, or ever.
        """
        ...


class PersonalToken:
    """A token that a person made, or that GitHub Actions gave."""

    __slots__ = ("_value",)

    def __init__(self, value: SecretValue) -> None:
        self._value = value

    async def token(self) -> SecretValue:
        return self._value

    async def renewed(self, refused: SecretValue) -> None:
        """A person must make another one."""


class _Installation(BaseModel):
    """REST docs, "Get a repository installation for the authenticated app"."""

    id: int


class _Grant(BaseModel):
    """REST docs, "Create an installation access token for an app"."""

    token: str
    expires_at: AwareDatetime
    permissions: dict[str, str] = {}


class _App(BaseModel):
    """REST docs, "Get the authenticated app"."""

    slug: str


class AppInstallation:
    """A GitHub App where it is installed on one repository.

    However many calls ask at once, one request is made for all of them.
    """

    def __init__(self, key: AppKey, repository: Repository, connection: Connection, clock: Clock) -> None:
        self._key, self._repository, self._connection, self._clock = key, repository, connection, clock
        self._lock = anyio.Lock()
        self._installation_id: int | None = None
        self._grant: _Grant | None = None
        self._renew_at: datetime | None = None
        self._login = ""

    @property
    def app_id(self) -> str:
        return self._key.app_id

    async def token(self) -> SecretValue:
        return SecretValue((await self._granted(None)).token)

    async def renewed(self, refused: SecretValue) -> SecretValue:
        return SecretValue((await self._granted(refused)).token)

    async def permissions(self) -> Mapping[str, str]:
        """What the installation may do: `{"checks": "write", …}` (REST docs, as for the token).

        Raises:
            CatwalkError: as for `token`.
        """
        return (await self._granted(None)).permissions

    async def login(self) -> str:
        """The name under which the App writes comments.

        Raises:
            CatwalkError: as for `token`.
        """
        if not self._login:
            app = read(_App, await self._connection.call("GET", "/app", self._jwt()))
            self._login = f"{app.slug}[bot]"
        return self._login

    async def as_app(self, method: str, path: str) -> bytes:
        """A call that belongs to the App itself, not to where it is installed.

        Raises:
            CatwalkError: see `Connection.call`.
        """
        return await self._connection.call(method, path, self._jwt())

    def forget(self) -> None:
        """Makes the next call ask for a token anew, because what the App may do has changed."""
        self._grant = None
        self._installation_id = None

    async def _granted(self, refused: SecretValue | None) -> _Grant:
        """The token in force; a new one where it is old, or is the refused one. Whoever waits gets the same."""
        async with self._lock:
            grant = self._grant
            if grant is None or self._is_old() or (refused is not None and grant.token == refused.reveal()):
                grant = await self._request()
                self._grant = grant
                self._renew_at = min(self._clock.now() + RENEWED_AFTER, grant.expires_at)
                _log.info("installation_token_renewed", repository=str(self._repository))
            return grant

    def _is_old(self) -> bool:
        return self._renew_at is None or self._clock.now() >= self._renew_at

    async def _request(self) -> _Grant:
        """A token for this repository alone. An App that was installed anew has another id, which is found once."""
        known = self._installation_id
        try:
            return await self._grant_of(known if known is not None else await self._find())
        except NotFound:
            if known is None:
                raise
        return await self._grant_of(await self._find())

    async def _grant_of(self, installation_id: int) -> _Grant:
        path = f"/app/installations/{installation_id}/access_tokens"
        body = {"repositories": [self._repository.name]}
        return read(_Grant, await self._connection.call("POST", path, self._jwt(), body=body))

    async def _find(self) -> int:
        self._installation_id = None
        path = f"/repos/{self._repository.full_name}/installation"
        try:
            found = read(_Installation, await self._connection.call("GET", path, self._jwt()))
        except NotFound as error:
            raise EnvironmentFault(
                "github-app-not-installed",
                f"the GitHub App {self._key.app_id} is not installed on {self._repository}",
                hint="install it on the repository, with `Checks: write` and `Commit statuses: write`",
            ) from error
        self._installation_id = found.id
        return found.id

    def _jwt(self) -> SecretValue:
        return self._key.jwt(self._clock.now())
