"""Access tokens for Google: one that is given, or those of a service account, exchanged for a signed statement.

`GOOGLE_OAUTH_ACCESS_TOKEN` holds a token; `GOOGLE_APPLICATION_CREDENTIALS` names the key file of a service account.
Source: https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, Protocol, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from reconciler.sops.errors import KeyUnreadable
from reconciler.sops.limits import MAXIMUM_KEY_FILE_BYTES
from reconciler.sops.services.http import ask, denied, unavailable

TOKEN_VARIABLE: Final = "GOOGLE_OAUTH_ACCESS_TOKEN"  # noqa: S105 - the name of a variable.
FILE_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_SCOPE: Final = "https://www.googleapis.com/auth/cloudkms"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S: Final = 3_600
_RENEWED_BEFORE_S: Final = 300
_NAME: Final = "Google's token service"


class TokenSource(Protocol):
    """Where a token comes from."""

    def token(self) -> str:
        """A token that is valid now."""
        ...


class GivenToken:
    """The one token of the environment. Shows nothing."""

    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        """The token; whether it still holds only the service knows."""
        return self._token

    def __repr__(self) -> str:
        return "GivenToken(********)"


class ServiceAccount:
    """The key of a service account. Shows its address only."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        content = _content(path)
        self._address = _text(content, "client_email", path)
        self._token_url = _text(content, "token_uri", path)
        self._key = _key(_text(content, "private_key", path), path)
        self._now = now
        self._token = ""
        self._expires_s = 0.0

    def token(self) -> str:
        """A token with some minutes left.

        Raises:
            KeyServiceUnavailable: the token service does not answer.
            KeyServiceDenied: the key of the account is not, or no longer, valid.
        """
        if self._now() >= self._expires_s - _RENEWED_BEFORE_S:
            issued_s = int(self._now())
            body = {"grant_type": _GRANT, "assertion": self._statement(issued_s)}
            answer = ask(self._token_url, body=body, headers={}, service=_NAME, form=True)
            token = answer.body.get("access_token")
            if answer.is_denial or answer.status == 400:
                raise denied(_NAME, self._address, "create a new key for the service account")
            if not isinstance(token, str) or not token:
                raise unavailable(_NAME, "its answer has no token")
            self._token, self._expires_s = token, issued_s + _LIFETIME_S
        return self._token

    def _statement(self, issued_s: int) -> str:
        claims = {
            "iss": self._address,
            "scope": _SCOPE,
            "aud": self._token_url,
            "iat": issued_s,
            "exp": issued_s + _LIFETIME_S,
        }
        signed = f"{_segment({'alg': 'RS256', 'typ': 'JWT'})}.{_segment(claims)}"
        return f"{signed}.{_base64(self._key.sign(signed.encode('ascii'), PKCS1v15(), SHA256()))}"

    def __repr__(self) -> str:
        return f"ServiceAccount({self._address})"


class KeyFile:
    """The key file of a service account, read when a file asks for it: a broken one must not stop all others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._account: ServiceAccount | None = None

    def token(self) -> str:
        """A token with some minutes left.

        Raises:
            KeyUnreadable: the key file cannot be read.
            KeyServiceUnavailable, KeyServiceDenied: as `ServiceAccount.token` does.
        """
        if self._account is None:
            self._account = ServiceAccount(self._path)
        return self._account.token()

    def __repr__(self) -> str:
        return f"KeyFile({self._path})"


def token_source(environment: Mapping[str, str]) -> TokenSource | None:
    """The source that the environment configures; `None` without."""
    if token := environment.get(TOKEN_VARIABLE, ""):
        return GivenToken(token)
    if path := environment.get(FILE_VARIABLE, ""):
        return KeyFile(Path(path))
    return None


def _content(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_KEY_FILE_BYTES + 1)
        decoded: object = json.loads(content[:MAXIMUM_KEY_FILE_BYTES])
    except (OSError, ValueError, RecursionError):
        _refuse(path)
    if not isinstance(decoded, dict):
        _refuse(path)
    return cast("Mapping[str, object]", decoded)


def _text(content: Mapping[str, object], name: str, path: Path) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        _refuse(path)
    return value


def _key(pem: str, path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode("utf-8"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        _refuse(path)
    if not isinstance(key, RSAPrivateKey):
        _refuse(path)
    return key


def _refuse(path: Path) -> NoReturn:
    message = f"{FILE_VARIABLE} names {path}, which is not the key file of a service account"
    # Chained to nothing: a parser's exception carries the file.
    raise KeyUnreadable(
        "sops-key-file-unreadable", message, hint="download a JSON key of the service account"
    ) from None


def _segment(content: Mapping[str, object]) -> str:
    return _base64(json.dumps(content, separators=(",", ":")).encode("utf-8"))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
