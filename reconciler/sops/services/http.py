"""One small question to a key service over HTTP: a JSON body, a JSON answer, a time and a size limit, no redirects."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import httpx

from reconciler.sops.services.port import (
    MAXIMUM_ANSWER_BYTES,
    TIMEOUT_S,
    DamagedKeyError,
    KeyServiceDenied,
    KeyServiceUnavailable,
)

_DENIED: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `body` is the JSON object, empty where there is none. Never shown: it may hold the data key."""

    status: int
    body: Mapping[str, object] = field(repr=False)

    @property
    def is_denial(self) -> bool:
        """The credentials do not suffice."""
        return self.status in _DENIED


def ask(url: str, *, body: Mapping[str, str], headers: Mapping[str, str], service: str, form: bool = False) -> Answer:
    """Posts `body` as JSON, or as a form, and reads the answer.

    Raises:
        KeyServiceUnavailable: no connection, no answer in time, too large an answer, or the service has a fault.
    """
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            sent = {"data": dict(body)} if form else {"json": dict(body)}
            with client.stream("POST", url, headers=dict(headers), **sent) as response:  # type: ignore[arg-type]  # One of two named arguments.
                content = _limited(response, service)
                status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Chained to nothing: the exception carries the request with its credentials.
        raise unavailable(service, f"{type(error).__name__}") from None
    if status >= 500 or status == 429 or 300 <= status < 400:
        raise unavailable(service, f"it answered {status}")
    return Answer(status=status, body=_object(content))


def _limited(response: httpx.Response, service: str) -> bytes:
    content = b""
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAXIMUM_ANSWER_BYTES:
            raise unavailable(service, "its answer is larger than any data key")
    return content


def _object(content: bytes) -> Mapping[str, object]:
    try:
        decoded: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, object]", decoded) if isinstance(decoded, dict) else {}


def decoded_key(text: object, service: str) -> bytes:
    """The data key of an answer, which is base64.

    Raises:
        KeyServiceUnavailable: the answer has none.
    """
    if not isinstance(text, str):
        raise unavailable(service, "its answer has no plaintext")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise unavailable(service, "its answer is not base64") from None


def encoded_key(secret: bytes) -> str:
    """A data key as a question carries it."""
    return base64.b64encode(secret).decode("ascii")


def ciphertext(text: object, service: str) -> str:
    """The wrapped key of an answer: short printable text.

    Raises:
        KeyServiceUnavailable: the answer has none.
    """
    if not isinstance(text, str) or not text.isprintable() or not text.isascii() or not text:
        raise unavailable(service, "its answer has no ciphertext")
    return text


def wrapped_bytes(text: str) -> bytes:
    """A wrapped key that the metadata holds as base64.

    Raises:
        DamagedKeyError: it is not.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise DamagedKeyError("the wrapped key is not base64") from None


def unavailable(service: str, reason: str) -> KeyServiceUnavailable:
    """The error of a service that did not answer the question."""
    hint = "try again later; if it lasts, check the network and the state of the service"
    return KeyServiceUnavailable("sops-key-service-unavailable", f"{service} cannot be used now: {reason}", hint=hint)


def denied(service: str, key: str, hint: str) -> KeyServiceDenied:
    """The error of a service that does not let us use `key`."""
    return KeyServiceDenied("sops-key-service-denied", f"{service} does not let us use {key}", hint=hint)
