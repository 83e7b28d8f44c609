"""The private key of a GitHub App, and the short-lived JWT that it signs. No I/O.

Source: GitHub docs, "Generating a JSON Web Token (JWT) for a GitHub App": RS256, `iat` a minute in the past against
clocks that differ, `exp` at most ten minutes ahead, `iss` the App's id (or its client id).
"""

import base64
import binascii
from datetime import datetime
from typing import Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault

BACKDATED_S: Final = 60
LIVES_S: Final = 540
"""Nine minutes from now: GitHub refuses more than ten, by its own clock."""
_PEM: Final = "-----BEGIN"


class AppKey:
    """An App and its key. Shows neither the key nor anything that it signs."""

    __slots__ = ("_key", "app_id")

    def __init__(self, app_id: str, private_key: SecretValue) -> None:
        """`private_key` is the PEM file that GitHub hands out, with real or escaped line ends, or all of it in Base64.

        Raises:
            EnvironmentFault: the id is none, or the key is no RSA key without a passphrase.
        """
        if not app_id.isascii() or not app_id.isalnum():
            raise EnvironmentFault(
                "github-app-id-invalid",
                "CATWALK_GITHUB_APP_ID is no id of a GitHub App",
                hint="it stands on the App's settings page: digits, or the client id that begins with `Iv`",
            )
        self.app_id = app_id
        self._key = _rsa_key(private_key)

    def jwt(self, now: datetime) -> SecretValue:
        """A JWT that GitHub accepts for the next nine minutes."""
        issued_at = int(now.timestamp())
        claims = {"iat": issued_at - BACKDATED_S, "exp": issued_at + LIVES_S, "iss": self.app_id}
        return SecretValue(jwt.encode(claims, self._key, algorithm="RS256"))

    def __repr__(self) -> str:
        return f"AppKey({self.app_id}, ********)"


def _rsa_key(private_key: SecretValue) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(_pem(private_key.reveal()), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words may quote what was given, so that they are not chained.
        raise _unusable() from None
    if not isinstance(key, RSAPrivateKey):
        raise _unusable()
    return key


def _pem(text: str) -> bytes:
    """Raises: ValueError: it is neither PEM nor Base64 of it."""
    text = text.strip().replace("\\n", "\n")
    if text.startswith(_PEM):
        return text.encode("utf-8")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError("no Base64") from error


def _unusable() -> EnvironmentFault:
    return EnvironmentFault(
        "github-app-key-invalid",
        "CATWALK_GITHUB_APP_KEY is no RSA private key in PEM without a passphrase",
        hint="generate one on the App's settings page and set the content of the .pem file",
    )
