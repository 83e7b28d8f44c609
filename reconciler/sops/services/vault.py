"""The door to HashiCorp Vault's transit engine: POST {address}/v1/{engine}/decrypt/{key}.

The address stands in the file, so the token goes only to `VAULT_ADDR`, or to the addresses of `SOPS_HC_VAULT_ALLOWLIST`
where that is set (the name is that of sops 3.13).
Source: https://developer.hashicorp.com/vault/api-docs/secret/transit#decrypt-data
"""

import re
from collections.abc import Mapping
from typing import Final, cast

from reconciler.sops.metadata import KeyService, WrappedKey
from reconciler.sops.services import allow_list
from reconciler.sops.services.http import Answer, ask, decoded_key, denied, unavailable
from reconciler.sops.services.port import DamagedKeyError, NotForUsError

ALLOW_LIST_VARIABLE: Final = "SOPS_HC_VAULT_ALLOWLIST"
_NAME: Final = "Vault"
_SEGMENTS: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_UNKNOWN_KEY: Final = "encryption key not found"
_SEALED: Final = "Vault is sealed"


class Vault:
    """Asks with one token, at allowed addresses."""

    def __init__(self, token: str, allowed: tuple[str, ...], namespace: str) -> None:
        self._headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace
        self._allowed = allowed

    @property
    def kind(self) -> KeyService:
        """Vault entries of the metadata."""
        return KeyService.VAULT

    def unwrap(self, key: WrappedKey) -> bytes:
        """The data key.

        Raises:
            NotForUsError: the engine has no such key.
            DamagedKeyError: the engine has the key, and the ciphertext is not its own.
            KeyServiceUnavailable: no answer, or Vault is sealed.
            KeyServiceDenied: the token does not suffice.
            KeyServiceNotAllowed: the address is not on the list, or the path is none.
        """
        url, name = self._url(key)
        answer = ask(url, body={"ciphertext": key.wrapped}, headers=self._headers, service=_NAME)
        if answer.is_denial:
            raise denied(_NAME, name, f"the token needs `update` on {name.partition('/v1/')[2] or name}, unexpired")
        if answer.status == 200:
            data = answer.body.get("data")
            found = cast("Mapping[str, object]", data).get("plaintext") if isinstance(data, dict) else None
            return decoded_key(found, _NAME)
        raise _failure(answer)

    def _url(self, key: WrappedKey) -> tuple[str, str]:
        address = key.attributes.get("vault_address", "").rstrip("/")
        engine, name = key.attributes.get("engine_path", "").strip("/"), key.attributes.get("key_name", "")
        allow_list.check(address, self._allowed, ALLOW_LIST_VARIABLE)
        if not _ADDRESS.fullmatch(address) or not _SEGMENTS.fullmatch(engine) or not _SEGMENTS.fullmatch(name):
            raise allow_list.refused(f"{address}/{engine}/{name}", "it is no address of a transit key")
        return f"{address}/v1/{engine}/decrypt/{name}", f"{address}/v1/{engine}/keys/{name}"

    def __repr__(self) -> str:
        return f"Vault(********, allowed={list(self._allowed)})"


def vault(environment: Mapping[str, str]) -> Vault | None:
    """Configured by `VAULT_TOKEN` with `VAULT_ADDR` or the allow-list; `None` without."""
    address = environment.get("VAULT_ADDR", "").rstrip("/")
    allowed = allow_list.patterns(environment, ALLOW_LIST_VARIABLE, address)
    token = environment.get("VAULT_TOKEN", "")
    if not token or not allowed:
        return None
    return Vault(token, allowed, environment.get("VAULT_NAMESPACE", ""))


def _failure(answer: Answer) -> Exception:
    errors = str(answer.body.get("errors", ""))
    if answer.status == 404 or _UNKNOWN_KEY in errors:
        return NotForUsError("the engine has no such key")
    if _SEALED in errors:
        return unavailable(_NAME, "it is sealed")
    if answer.status == 400:
        return DamagedKeyError("the ciphertext is not one of this key")
    return unavailable(_NAME, f"it answered {answer.status}")
