"""Whether a webhook was signed with our secret (GitHub docs, "Validating webhook deliveries").

The signature is an HMAC-SHA-256 over the raw bytes of the body, so that nothing is parsed before it is known who sent
it. Bytes are compared, in constant time: the comparison of texts refuses a header with other than ASCII characters by
an exception.
"""

import hmac
from typing import Final

from reconciler.core.secret import SecretValue

HEADER: Final = b"x-hub-signature-256"
_PREFIX: Final = b"sha256="
_DIGITS: Final = 64


def is_signature(value: bytes) -> bool:
    """Whether a header can be a signature at all, so that no body need be read for one that cannot."""
    return value.startswith(_PREFIX) and len(value) == len(_PREFIX) + _DIGITS


def is_signed(body: bytes, signature: bytes, secret: SecretValue) -> bool:
    """Whether `signature`, the value of `X-Hub-Signature-256`, belongs to exactly these bytes."""
    expected = _PREFIX + hmac.digest(secret.reveal().encode("utf-8"), body, "sha256").hex().encode("ascii")
    return hmac.compare_digest(expected, signature)
