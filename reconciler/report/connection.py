"""The only HTTP client that speaks to GitHub.

It sends a token to the configured host alone, over TLS unless that host is this machine, and never lets it into an
error. Every call has a time limit, every answer a size limit. What comes out is a body or one of `reconciler.errors`,
nothing of HTTP. It does not retry: whoever calls knows what is worth a second try.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic import BaseModel, ValidationError

from reconciler.core.redact import Redactor
from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.ports import Clock
from reconciler.report.answers import judge, no_answer, unreadable

API_VERSION: Final = "2022-11-28"
"""`X-GitHub-Api-Version` (GitHub docs, "API Versions")."""
CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
CALL_TIMEOUT_S: Final = 30.0
"""For a whole call, so that a server that sends a byte at a time does not hold the outbox."""
LARGEST_ANSWER: Final = 16 * 2**20
"""Bytes. A page of 100 statuses takes about 200 kilobytes, one of 100 check runs with their full texts up to 13 MB."""
MOST_REDIRECTS: Final = 3

Body = Mapping[str, object]
Model = TypeVar("Model", bound=BaseModel)


class Connection:
    """GitHub's REST API at one address. An asynchronous context manager."""

    def __init__(
        self, base_url: str, clock: Clock, *, user_agent: str = "catwalk", read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        """`base_url` is `https://api.github.com` or, for Enterprise Server, `https://HOST/api/v3`.

        Raises:
            EnvironmentFault: the address is not https, and not this machine.
        """
        _refuse_plain_http(base_url)
        self._clock = clock
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

    async def call(self, method: str, path: str, token: SecretValue, *, body: Body | None = None) -> bytes:
        """The body of a successful answer.

        Raises:
            RateLimited: nothing was done; `retry_after_s` tells for how long to wait.
            Unavailable: no answer, or one of 5xx. What was asked for may have been done.
            TokenRefused: the token is not valid, or not any more.
            EnvironmentFault: the token lacks a permission, or there is no such thing.
            Refused: GitHub will never do this.
        """
        try:
            with anyio.fail_after(CALL_TIMEOUT_S):
                response, content = await self._exchange(method, path, body, token)
        except (httpx.HTTPError, TimeoutError) as fault:
            raise no_answer(fault) from fault
        if response.is_success:
            return content
        raise judge(response, content, Redactor([token]), now=self._clock.now())

    async def _exchange(
        self, method: str, path: str, body: Body | None, token: SecretValue
    ) -> tuple[httpx.Response, bytes]:
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        async with self._client.stream(method, path, json=body, headers=headers) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise Unavailable("github-answer-too-large", f"GitHub's answer to {method} is larger than expected")
        return response, bytes(content)


def read(model: type[Model], content: bytes) -> Model:
    """An answer as a value.

    Raises:
        Unavailable: it has another shape than documented.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as fault:
        raise unreadable(fault) from fault


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
