"""One GET of a registry page: bounded in time and size, and with every way of failing told apart."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import anyio
import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from reconciler.errors import Unavailable

TIMEOUT_S: Final = 5.0
"""Of a connection, and between two pieces of an answer."""
WHOLE_TIMEOUT_S: Final = 20.0
"""Of one answer, so that one that trickles ends as well."""
LARGEST_PAGE: Final = 64 * 1024 * 1024
"""Bytes. The page of a package with thousands of versions has some megabytes."""
ATTEMPTS: Final = 2
_GONE: Final = frozenset({404, 410})
_BUSY: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for."""

    url: str
    headers: Mapping[str, str]
    most_bytes: int = LARGEST_PAGE
    auth: httpx.Auth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a registry answered: status 200, 206 for a part, or 304 for nothing new."""

    status: int
    body: bytes
    url: str
    headers: httpx.Headers

    @property
    def media_type(self) -> str:
        return str(self.headers.get("content-type", ""))

    @property
    def unchanged(self) -> bool:
        return self.status == HTTPStatus.NOT_MODIFIED


class _TryAgainError(Exception):
    """A fault of the moment: a broken connection, or an answer of the 500s."""


def certificates(environment: Mapping[str, str]) -> ssl.SSLContext:
    """The machine's certificates and those that the clients are told to trust besides."""
    context = ssl.create_default_context(cafile=environment.get("SSL_CERT_FILE") or None)
    for name in ("PIP_CERT", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"):
        if file := environment.get(name):
            try:
                context.load_verify_locations(cafile=file)
            except OSError as error:
                raise Unavailable("registry-unavailable", f"{name} names {file}, which cannot be read") from error
    return context


async def fetch(client: httpx.AsyncClient, request: Request) -> Page | None:
    """The page asked for; none when the registry has none.

    Raises:
        Unavailable: the registry does not answer (`registry-unavailable`), refuses the credentials
            (`registry-refused`), or answers beyond all bounds.
    """
    host = httpx.URL(request.url).host
    try:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random(0, 0.5),
            retry=retry_if_exception_type(_TryAgainError),
            reraise=True,
        )
        return await attempts(_fetch_once, client, request)
    except _TryAgainError as error:
        raise Unavailable(
            "registry-unavailable",
            f"the package registry at {host} does not answer: {error}",
            hint="nothing is known about the package now; it is asked again later",
        ) from error


async def _fetch_once(client: httpx.AsyncClient, request: Request) -> Page | None:
    auth = request.auth if request.auth is not None else httpx.USE_CLIENT_DEFAULT
    try:
        with anyio.fail_after(WHOLE_TIMEOUT_S):
            async with client.stream(
                "GET", request.url, headers=dict(request.headers), timeout=TIMEOUT_S, auth=auth
            ) as response:
                return await _page(response, request.most_bytes)
    except (httpx.HTTPError, TimeoutError) as error:
        # The text of the error may quote an address with credentials; its kind says enough.
        raise _TryAgainError(type(error).__name__) from error


async def _page(response: httpx.Response, most_bytes: int) -> Page | None:
    status = response.status_code
    if status in _GONE:
        return None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == _BUSY:
        raise _TryAgainError(f"status {status}")
    if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED}:
        raise _refused(response)
    body = await _read(response, most_bytes)
    return Page(status=status, body=body, url=str(response.url), headers=response.headers)


async def _read(response: httpx.Response, most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > most_bytes:
            message = f"the registry at {response.url.host} answers with more than {most_bytes} bytes"
            raise Unavailable("registry-unavailable", message)
    return bytes(body)


def _refused(response: httpx.Response) -> Unavailable:
    return Unavailable(
        "registry-refused",
        f"the package registry at {response.url.host} answers {response.status_code}",
        hint="check the registry's address and credentials in the settings of npm or uv",
    )
