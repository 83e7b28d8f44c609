"""GitHub's REST API as far as Catwalk needs it: values in, values out, with a credential for every call.

A token that GitHub does not accept any more is renewed once, where the credential can. Otherwise nothing is repeated:
the outbox knows what is worth a second try.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from pydantic import AliasPath, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reconciler.loop.ports import Clock
from reconciler.report.answers import TokenRefused, unreadable
from reconciler.report.connection import LARGEST_ANSWER, READ_TIMEOUT_S, Body, Connection, read
from reconciler.report.credentials import Credential, PersonalToken
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState

PAGE_SIZE: Final = 100
MOST_PAGES: Final = 10
"""Statuses of one commit that are read: 1000, more than any commit of ours can hold of one context."""

__all__ = ["LARGEST_ANSWER", "Credential", "GitHub", "PersonalToken", "RepositoryAccess", "RepositoryStatuses"]


class RepositoryAccess(BaseModel):
    """What the token may do with a repository (REST docs, "Get a repository")."""

    model_config = ConfigDict(frozen=True)

    full_name: str
    private: bool
    can_push: bool = Field(default=False, validation_alias=AliasPath("permissions", "push"))


class _ListedStatus(BaseModel):
    """The members of a status that are read (REST docs, "List commit statuses for a reference"); others may come."""

    state: StatusState
    context: str
    description: str | None = None
    target_url: str | None = None


_PAGE: Final = TypeAdapter(list[_ListedStatus])


class GitHub:
    """GitHub's REST API with one credential. An asynchronous context manager."""

    def __init__(
        self, base_url: str, credential: Credential, clock: Clock, *, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        """`base_url` is `https://api.github.com` or, for Enterprise Server, `https://HOST/api/v3`.

        Raises:
            EnvironmentFault: the address is not https, and not this machine.
        """
        self._credential = credential
        self._connection = Connection(base_url, clock, read_timeout_s=read_timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.__aexit__(kind, error, trace)

    async def access(self, repository: Repository) -> RepositoryAccess:
        """Whether the token sees a repository, and may push to it.

        Raises:
            CatwalkError: see `create_status`; GitHub hides what a token may not see as 404.
        """
        return read(RepositoryAccess, await self.call("GET", f"/repos/{repository.full_name}"))

    async def create_status(self, repository: Repository, status: CommitStatus) -> None:
        """Adds a status (REST docs, "Create a commit status"). Not idempotent: GitHub keeps every one.

        Raises:
            RateLimited: nothing was done; `retry_after_s` tells for how long to wait.
            Unavailable: no answer, or one of 5xx. The status may stand.
            EnvironmentFault: the token is not valid, or lacks a permission.
            Refused: GitHub will never take this status.
        """
        body = {"state": status.state.value, "context": status.context, "description": status.description}
        if status.target_url:
            body["target_url"] = status.target_url
        await self.call("POST", f"/repos/{repository.full_name}/statuses/{status.sha}", body=body)

    async def statuses(self, repository: Repository, sha: str) -> Sequence[CommitStatus]:
        """All statuses of a commit, newest first (REST docs, "List commit statuses for a reference").

        Raises:
            CatwalkError: see `create_status`.
        """
        found: list[CommitStatus] = []
        for page in range(1, MOST_PAGES + 1):
            query = f"per_page={PAGE_SIZE}&page={page}"
            content = await self.call("GET", f"/repos/{repository.full_name}/commits/{sha}/statuses?{query}")
            listed = _read_page(content)
            found += [_commit_status(sha, one) for one in listed]
            if len(listed) < PAGE_SIZE:
                break
        return found

    async def call(self, method: str, path: str, *, body: Body | None = None) -> bytes:
        """The body of a successful answer, for the other doors of this room.

        Raises:
            CatwalkError: see `create_status`.
        """
        token = await self._credential.token()
        try:
            return await self._connection.call(method, path, token, body=body)
        except TokenRefused:
            renewed = await self._credential.renewed(token)
            if renewed is None:
                raise
        return await self._connection.call(method, path, renewed, body=body)


class RepositoryStatuses:
    """The statuses of one repository: what the outbox writes to."""

    __slots__ = ("_github", "_repository")

    def __init__(self, github: GitHub, repository: Repository) -> None:
        self._github, self._repository = github, repository

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        return await self._github.statuses(self._repository, sha)

    async def post(self, status: CommitStatus) -> None:
        await self._github.create_status(self._repository, status)


def _commit_status(sha: str, listed: _ListedStatus) -> CommitStatus:
    return CommitStatus(
        sha=sha,
        context=listed.context,
        state=listed.state,
        description=listed.description or "",
        target_url=listed.target_url or "",
    )


def _read_page(content: bytes) -> list[_ListedStatus]:
    try:
        return _PAGE.validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault
