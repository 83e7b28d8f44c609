"""Digests by which two configurations are compared.

A secret's digest is keyed (HMAC-SHA-256): a plain hash of a short token could be searched by anyone who reads a
machine's metadata. Losing the key makes every digest differ once, which costs one rolling update and nothing else.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from reconciler.core.secret import SecretValue

JSON: TypeAlias = "bool | int | float | str | list[JSON] | Mapping[str, JSON] | None"


def canonical_json(value: JSON) -> str:
    """One text per value: keys sorted, no spaces, non-ASCII kept."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def keyed_digest(key: bytes, value: SecretValue) -> str:
    """32 hexadecimal digits that change when the secret does, and say nothing without the key."""
    return hmac.new(key, value.reveal().encode("utf-8"), hashlib.sha256).hexdigest()[:32]


def machine_digest(config: str, region: str, secret_digests: Mapping[str, str]) -> str:
    """The digest that a machine carries in its metadata, over all that makes it what it is."""
    parts = [config, region, *(f"{name}={secret_digests[name]}" for name in sorted(secret_digests))]
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


def server_digest(machine_digests: Iterable[str]) -> str:
    """One digest for all machines that a server should have, whatever their order."""
    return hashlib.sha256("\0".join(sorted(machine_digests)).encode("utf-8")).hexdigest()
