"""The door to HashiCorp Vault's transit engine: POST {address}/v1/{engine}/decrypt/{key}, and encrypt.

The address stands in the file, so the token goes only to `VAULT_ADDR`, or to the addresses of `SOPS_HC_VAULT_ALLOWLIST`
where that is set (the name is that of sops 3.13).
Source: https://developer.hashicorp.com/vault/api-docs/secret/transit#decrypt-data
"""

import re
from collections.abc import Mapping
from typing import Final, cast

from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService, WrappedKey
from reconciler.sops.services import allow_list
from reconciler.sops.services.http import Answer, ask, ciphertext, decoded_key, denied, encoded_key, unavailable
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
        return decoded_key(self._asked(key, "decrypt", {"ciphertext": key.wrapped}).get("plaintext"), _NAME)

    def wrap(self, key: MasterKey, secret: bytes) -> str:
        """`secret` as `vault:v1:…`.

        Raises:
            KeyServiceUnavailable: no answer, or Vault is sealed.
            KeyServiceDenied: there is no such key, or the token does not suffice.
            KeyServiceNotAllowed: the address is not on the list, or the path is none.
        """
        try:
            return ciphertext(self._asked(key, "encrypt", {"plaintext": encoded_key(secret)}).get("ciphertext"), _NAME)
        except (NotForUsError, DamagedKeyError):
            raise denied(_NAME, key.name, "the engine has no such key that encrypts: correct its URI") from None

    def _asked(self, key: WrappedKey | MasterKey, action: str, body: Mapping[str, str]) -> Mapping[str, object]:
        address, engine, name = self._parts(key)
        answer = ask(f"{address}/v1/{engine}/{action}/{name}", body=body, headers=self._headers, service=_NAME)
        if answer.is_denial:
            path = f"{engine}/{action}/{name}"
            raise denied(_NAME, f"{address}/v1/{engine}/keys/{name}", f"the token needs `update` on {path}, unexpired")
        if answer.status != 200:
            raise _failure(answer)
        data = answer.body.get("data")
        return cast("Mapping[str, object]", data) if isinstance(data, dict) else {}

    def _parts(self, key: WrappedKey | MasterKey) -> tuple[str, str, str]:
        address = key.attributes.get("vault_address", "").rstrip("/")
        engine, name = key.attributes.get("engine_path", "").strip("/"), key.attributes.get("key_name", "")
        allow_list.check(address, self._allowed, ALLOW_LIST_VARIABLE)
        if not _ADDRESS.fullmatch(address) or not _SEGMENTS.fullmatch(engine) or not _SEGMENTS.fullmatch(name):
            raise allow_list.refused(f"{address}/{engine}/{name}", "it is no address of a transit key")
        return address, engine, name

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
