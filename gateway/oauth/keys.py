"""The public keys of an identity provider (JSON Web Key Set, RFC 7517), reduced to those that can verify a token.

A key verifies with the algorithms of its own kind and no other, so that the token has no say in it: `none` and the
HMAC family (where a public key could pass as a shared secret) are not among them. Private and symmetric keys, weak RSA
keys, keys for encryption and kinds that are not known are left out; a set without a good key is no set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.exceptions import PyJWTError

MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048
_MAX_KEY_ID_CHARACTERS = 512
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS: Final = frozenset(algorithm for kind in _ALGORITHMS.values() for algorithm in kind)
"""All that a token may be signed with (RFC 7518, RFC 8037)."""


class BadKeys(ValueError):
    """A document without a key that could verify anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """One public key and what it may verify."""

    key_id: str
    algorithms: tuple[str, ...]
    public_key: Any
    """As `cryptography` has it."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer at one time."""

    keys: tuple[VerifyingKey, ...]

    def find(self, key_id: str | None, algorithm: str) -> VerifyingKey | None:
        """The key that a token names; a token without a name is only good where one key alone comes into question."""
        fitting = [key for key in self.keys if algorithm in key.algorithms and key_id in {None, key.key_id}]
        return fitting[0] if fitting and (key_id is not None or len(fitting) == 1) else None

    def same_as(self, other: "KeySet") -> bool:
        """Whether it is the same keys under the same names."""
        return _identity(self) == _identity(other)


def read_keys(document: Mapping[str, object]) -> KeySet:
    """The usable keys of a key set.

    Raises:
        BadKeys: it has none, or is no key set.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise BadKeys("it is no key set")
    entries = cast("list[object]", entries)
    if len(entries) > MAX_KEYS:
        raise BadKeys(f"it holds more than {MAX_KEYS} keys")
    keys = [key for entry in entries if isinstance(entry, dict) for key in _read(cast("dict[str, object]", entry))]
    if not keys:
        raise BadKeys("it holds no public key that could verify a token")
    return KeySet(tuple(keys))


def _read(entry: dict[str, object]) -> Sequence[VerifyingKey]:
    key_id, algorithms = entry.get("kid", ""), _algorithms(entry)
    if not isinstance(key_id, str) or len(key_id) > _MAX_KEY_ID_CHARACTERS or not algorithms or "d" in entry:
        return ()
    try:
        public_key: Any = jwt.PyJWK(entry, algorithms[0]).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return ()
    if isinstance(public_key, RSAPublicKey) and public_key.key_size < MIN_RSA_BITS:
        return ()
    return (VerifyingKey(key_id=key_id, algorithms=algorithms, public_key=public_key),)


def _algorithms(entry: Mapping[str, object]) -> tuple[str, ...]:
    kind, use, operations = entry.get("kty"), entry.get("use", "sig"), entry.get("key_ops", ["verify"])
    curve = "" if kind == "RSA" else entry.get("crv")
    if use != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return ()
    fitting = _ALGORITHMS.get((str(kind), str(curve)), ())
    stated = entry.get("alg")
    return fitting if stated is None else tuple(each for each in fitting if each == stated)


def _identity(keys: KeySet) -> list[tuple[str, tuple[str, ...], Any]]:
    return [(key.key_id, key.algorithms, key.public_key) for key in keys.keys]
