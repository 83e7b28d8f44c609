"""The only door to GitHub's REST API.

It sends the token to the configured host alone, over TLS unless that host is this machine, and never lets it into an
error. Every call has a time limit, every answer a size limit. What comes out is a value or one of `reconciler.errors`,
nothing of HTTP. It does not retry: the outbox knows what is worth a second try.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic import AliasPath, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reconciler.core.redact import Redactor
from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.ports import Clock
from reconciler.report.answers import judge, no_answer, unreadable
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState

API_VERSION: Final = "2022-11-28"
"""`X-GitHub-Api-Version` (GitHub docs, "API Versions")."""
CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
CALL_TIMEOUT_S: Final = 30.0
"""For a whole call, so that a server that sends a byte at a time does not hold the outbox."""
LARGEST_ANSWER: Final = 4 * 2**20
"""Bytes. A page of 100 statuses takes about 200 kilobytes."""
PAGE_SIZE: Final = 100
MOST_PAGES: Final = 10
"""Statuses of one commit that are read: 1000, more than any commit of ours can hold of one context."""
MOST_REDIRECTS: Final = 3


class Credential(Protocol):
    """A token for each call. App installations will give fresh ones; a personal token is always the same."""

    async def token(self) -> SecretValue: ...


class PersonalToken:
    """A token that a person made, or that GitHub Actions gave."""

    __slots__ = ("_value",)

    def __init__(self, value: SecretValue) -> None:
        self._value = value

    async def token(self) -> SecretValue:
        return self._value


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
    """GitHub's REST API for one token. An asynchronous context manager."""

    def __init__(
        self,
        base_url: str,
        credential: Credential,
        clock: Clock,
        *,
        user_agent: str = "catwalk",
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        """`base_url` is `https://api.github.com` or, for Enterprise Server, `https://HOST/api/v3`.

        Raises:
            EnvironmentFault: the address is not https, and not this machine.
        """
        _refuse_plain_http(base_url)
        self._credential, self._clock = credential, clock
        self._client = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S),
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            headers={
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": API_VERSION,
                "User-Agent": user_agent,
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def access(self, repository: Repository) -> RepositoryAccess:
        """Whether the token sees a repository, and may push to it.

        Raises:
            CatwalkError: see `create_status`; GitHub hides what a token may not see as 404.
        """
        return _read(RepositoryAccess, await self._call("GET", f"/repos/{repository.full_name}"))

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
        await self._call("POST", f"/repos/{repository.full_name}/statuses/{status.sha}", body=body)

    async def statuses(self, repository: Repository, sha: str) -> Sequence[CommitStatus]:
        """All statuses of a commit, newest first (REST docs, "List commit statuses for a reference").

        Raises:
            CatwalkError: see `create_status`.
        """
        found: list[CommitStatus] = []
        for page in range(1, MOST_PAGES + 1):
            query = f"per_page={PAGE_SIZE}&page={page}"
            content = await self._call("GET", f"/repos/{repository.full_name}/commits/{sha}/statuses?{query}")
            listed = _read_page(content)
            found += [_commit_status(sha, one) for one in listed]
            if len(listed) < PAGE_SIZE:
                break
        return found

    async def _call(self, method: str, path: str, *, body: dict[str, str] | None = None) -> bytes:
        """The body of a successful answer."""
        token = await self._credential.token()
        try:
            with anyio.fail_after(CALL_TIMEOUT_S):
                response, content = await self._exchange(method, path, body, token)
        except (httpx.HTTPError, TimeoutError) as fault:
            raise no_answer(fault) from fault
        if response.is_success:
            return content
        raise judge(response, content, Redactor([token]), now=self._clock.now())

    async def _exchange(
        self, method: str, path: str, body: dict[str, str] | None, token: SecretValue
    ) -> tuple[httpx.Response, bytes]:
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        async with self._client.stream(method, path, json=body, headers=headers) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise Unavailable("github-answer-too-large", f"GitHub's answer to {method} is larger than expected")
        return response, bytes(content)


class RepositoryStatuses:
    """The statuses of one repository: what the outbox writes to."""

    __slots__ = ("_github", "_repository")

    def __init__(self, github: GitHub, repository: Repository) -> None:
        self._github, self._repository = github, repository

    async def statuses(self, sha: str) -> Sequence[CommitStatus]:
        return await self._github.statuses(self._repository, sha)

    async def post(self, status: CommitStatus) -> None:
        await self._github.create_status(self._repository, status)


def _refuse_plain_http(base_url: str) -> None:
    if _is_safe(base_url):
        return
    raise EnvironmentFault(
        "github-url-not-https",
        "the address of GitHub's API is no https URL, and a token must not travel in the clear",
        hint="set GITHUB_API_URL to https://api.github.com or https://HOST/api/v3",
    )


def _is_safe(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
    except ValueError:
        return False
    host = parts.hostname or ""
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host)))


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _commit_status(sha: str, listed: _ListedStatus) -> CommitStatus:
    return CommitStatus(
        sha=sha,
        context=listed.context,
        state=listed.state,
        description=listed.description or "",
        target_url=listed.target_url or "",
    )


def _read(model: type[RepositoryAccess], content: bytes) -> RepositoryAccess:
    try:
        return model.model_validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault


def _read_page(content: bytes) -> list[_ListedStatus]:
    try:
        return _PAGE.validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault
