"""The door to Google Cloud KMS: POST https://cloudkms.googleapis.com/v1/{resource}:decrypt, and :encrypt.

The address is Google's whatever a file says; the resource must be the name of a key, and on `SOPS_GCP_KMS_ALLOWLIST`
where that is set.
Source: https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/decrypt
"""

import re
from collections.abc import Mapping
from typing import Final

from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService, WrappedKey
from reconciler.sops.services import allow_list
from reconciler.sops.services.google_token import TokenSource, token_source
from reconciler.sops.services.http import ask, ciphertext, decoded_key, denied, encoded_key, unavailable
from reconciler.sops.services.port import DamagedKeyError, NotForUsError

ALLOW_LIST_VARIABLE: Final = "SOPS_GCP_KMS_ALLOWLIST"
ENDPOINT: Final = "https://cloudkms.googleapis.com"
_NAME: Final = "Google Cloud KMS"
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,100}"
_RESOURCE: Final = re.compile(
    rf"projects/{_PART}/locations/{_PART}/keyRings/{_PART}/cryptoKeys/{_PART}(?:/cryptoKeyVersions/[0-9]+)?"
)


class GoogleKms:
    """Asks with tokens of one source."""

    def __init__(self, tokens: TokenSource, allowed: tuple[str, ...], endpoint: str = ENDPOINT) -> None:
        self._tokens = tokens
        self._allowed = allowed
        self._endpoint = endpoint

    @property
    def kind(self) -> KeyService:
        """GCP entries of the metadata."""
        return KeyService.GCP_KMS

    def unwrap(self, key: WrappedKey) -> bytes:
        """The data key.

        Raises:
            NotForUsError: there is no such key.
            DamagedKeyError: the key is there, and the ciphertext is not its own.
            KeyServiceUnavailable: no answer.
            KeyServiceDenied: the account may not decrypt with this key.
            KeyServiceNotAllowed: the resource is not on the list, or none.
        """
        body = {"ciphertext": "".join(key.wrapped.split())}
        return decoded_key(self._asked(key, "decrypt", body).get("plaintext"), _NAME)

    def wrap(self, key: MasterKey, secret: bytes) -> str:
        """`secret` encrypted by the key, in base64.

        Raises:
            KeyServiceUnavailable: no answer.
            KeyServiceDenied: there is no such key, or the account may not encrypt with it.
            KeyServiceNotAllowed: the resource is not on the list, or none.
        """
        try:
            return ciphertext(self._asked(key, "encrypt", {"plaintext": encoded_key(secret)}).get("ciphertext"), _NAME)
        except (NotForUsError, DamagedKeyError):
            raise denied(_NAME, key.name, "Google knows no such key that encrypts: correct the resource id") from None

    def _asked(self, key: WrappedKey | MasterKey, action: str, body: Mapping[str, str]) -> Mapping[str, object]:
        resource = key.attributes.get("resource_id", "")
        allow_list.check(resource, self._allowed, ALLOW_LIST_VARIABLE)
        if not _RESOURCE.fullmatch(resource):
            raise allow_list.refused(resource, "it is no name of a Cloud KMS key")
        headers = {"Authorization": f"Bearer {self._tokens.token()}"}
        answer = ask(f"{self._endpoint}/v1/{resource}:{action}", body=body, headers=headers, service=_NAME)
        if answer.is_denial:
            raise denied(_NAME, resource, f"grant the account roles/cloudkms.cryptoKey{action.title()}er on this key")
        if answer.status == 200:
            return answer.body
        if answer.status == 404:
            raise NotForUsError("there is no such key")
        if answer.status == 400:
            raise DamagedKeyError("the ciphertext is not one of this key")
        raise unavailable(_NAME, f"it answered {answer.status}")

    def __repr__(self) -> str:
        return f"GoogleKms({self._endpoint})"


def google_kms(environment: Mapping[str, str]) -> GoogleKms | None:
    """Configured by a token or a key file of a service account; `None` without."""
    tokens = token_source(environment)
    if tokens is None:
        return None
    return GoogleKms(tokens, allow_list.patterns(environment, ALLOW_LIST_VARIABLE, "*"))
