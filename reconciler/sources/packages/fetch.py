"""One GET of a registry page: bounded in time and size, and with every way of failing told apart."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from reconciler.errors import Unavailable

TIMEOUT_S: Final = 5.0
LARGEST_PAGE: Final = 64 * 1024 * 1024
"""Bytes. The page of a package with thousands of versions has some megabytes."""
ATTEMPTS: Final = 2
_GONE: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Page:
    """What a registry answered: none when it has no such package."""

    body: bytes
    media_type: str
    url: str


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


async def fetch(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Page | None:
    """The page at `url`; none when the registry has none.

    Raises:
        Unavailable: the registry does not answer, refuses, or answers beyond all bounds.
    """
    host = httpx.URL(url).host
    try:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random(0, 0.5),
            retry=retry_if_exception_type(_TryAgainError),
            reraise=True,
        )
        return await attempts(_fetch_once, client, url, headers)
    except _TryAgainError as error:
        raise Unavailable(
            "registry-unavailable",
            f"the package registry at {host} does not answer: {error}",
            hint="nothing is known about the package now; it is asked again later",
        ) from error


async def _fetch_once(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Page | None:
    try:
        async with client.stream("GET", url, headers=dict(headers), timeout=TIMEOUT_S) as response:
            if response.status_code in _GONE:
                return None
            if response.status_code >= 500:
                raise _TryAgainError(f"status {response.status_code}")
            if response.status_code != 200:
                raise _refused(response)
            body = await _read(response)
            return Page(body, response.headers.get("content-type", ""), str(response.url))
    except httpx.HTTPError as error:
        # The text of the error may quote an address with credentials; its kind says enough.
        raise _TryAgainError(type(error).__name__) from error


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LARGEST_PAGE:
            raise _unreadable(response, f"its answer is larger than {LARGEST_PAGE} bytes")
    return bytes(body)


def _refused(response: httpx.Response) -> Unavailable:
    return _unreadable(response, f"it answers {response.status_code}; check the credentials in the client's settings")


def _unreadable(response: httpx.Response, reason: str) -> Unavailable:
    return Unavailable("registry-unavailable", f"the package registry at {response.url.host} is of no use: {reason}")
