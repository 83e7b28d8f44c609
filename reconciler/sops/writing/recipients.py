"""Texts that name somebody to encrypt to, as `.sops.yaml` and command lines hold them, to master keys.

The forms are those of the SOPS tool: an age recipient, a PGP fingerprint, the ARN of an AWS key (with `+` and the ARN
of a role), the resource name of a key of Google's, the URI of a transit key of Vault. Every form is checked before
anything is asked of anybody.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from reconciler.sops.master_keys import KeyGroups, MasterKey, one_group
from reconciler.sops.metadata import KeyService, Recipient
from reconciler.sops.writing.age_recipients import checked_recipient
from reconciler.sops.writing.errors import InvalidRecipient

_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{16}|[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
_ARN: Final = re.compile(
    r"(arn:aws[a-z-]{0,20}:kms:[a-z0-9-]{1,30}:[0-9]{12}:(?:key|alias)/[A-Za-z0-9/_-]{1,256})"
    r"(?:\+(arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}))?"
)
_RESOURCE: Final = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^\s]+")
_VAULT: Final = re.compile(r"(https?://[^/\s]+)/v1/([^\s]+)/keys/([^/\s]+)")
_SHOWN_CHARACTERS: Final = 80


def age_key(text: str) -> MasterKey:
    """An age recipient: X25519, SSH or post-quantum.

    Raises:
        InvalidRecipient: it is none.
    """
    return _key(KeyService.AGE, checked_recipient(text), {})


def age_keys(*texts: str) -> KeyGroups:
    """Age recipients, every one of whom opens the file; raises as `age_key`."""
    return one_group(tuple(age_key(text) for text in texts))


def pgp_key(text: str) -> MasterKey:
    """A PGP fingerprint, with or without spaces.

    Raises:
        InvalidRecipient: it is none.
    """
    name = "".join(text.split())
    if not _FINGERPRINT.fullmatch(name):
        raise _invalid(text, "no PGP fingerprint", "name the 40 characters that `gpg --list-keys` shows, no e-mail")
    return _key(KeyService.PGP, name.upper(), {"fp": name.upper()})


def aws_key(text: str, *, context: Mapping[str, str] | None = None, profile: str = "") -> MasterKey:
    """The ARN of a key of AWS KMS, with `+` and the ARN of a role where one is to be taken.

    Raises:
        InvalidRecipient: it is none.
    """
    match = _ARN.fullmatch("".join(text.split()))
    if match is None:
        raise _invalid(text, "no ARN of a key of AWS KMS", "arn:aws:kms:REGION:ACCOUNT:key/ID, or that of an alias")
    fields = {"arn": match[1], "role": match[2] or "", "aws_profile": profile}
    attributes = {name: value for name, value in fields.items() if value}
    return MasterKey(
        recipient=Recipient(service=KeyService.AWS_KMS, name=match[1]), attributes=attributes, context=context or {}
    )


def google_key(text: str) -> MasterKey:
    """The resource name of a key of Google Cloud KMS.

    Raises:
        InvalidRecipient: it is none.
    """
    name = text.strip()
    if not _RESOURCE.fullmatch(name):
        hint = "projects/…/locations/…/keyRings/…/cryptoKeys/…"
        raise _invalid(text, "no resource name of a key of Cloud KMS", hint)
    return _key(KeyService.GCP_KMS, name, {"resource_id": name})


def vault_key(text: str) -> MasterKey:
    """The URI of a key of Vault's transit engine: `https://vault.example/v1/transit/keys/NAME`.

    Raises:
        InvalidRecipient: it is none.
    """
    match = _VAULT.fullmatch(text.strip())
    if match is None:
        raise _invalid(text, "no URI of a transit key", "https://HOST/v1/ENGINE/keys/NAME")
    fields = {"vault_address": match[1], "engine_path": match[2], "key_name": match[3]}
    return _key(KeyService.VAULT, match[3], fields)


_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[str], MasterKey]], ...]] = (
    (re.compile(r"arn:"), aws_key),
    (re.compile(r"projects/"), google_key),
    (re.compile(r"https?://"), vault_key),
    (re.compile(r"\s*(?:[0-9A-Fa-f]\s*){16,64}$"), pgp_key),
)


def master_key(text: str) -> MasterKey:
    """Whatever `text` names, by its form.

    Raises:
        InvalidRecipient: nothing that Catwalk can encrypt to.
    """
    read = next((found for form, found in _FORMS if form.match(text.strip())), age_key)
    return read(text)


def written_name(key: MasterKey) -> str:
    """The text that stands for `key` in a list of `.sops.yaml`."""
    if key.service is KeyService.VAULT:
        parts = key.attributes
        return f"{parts['vault_address']}/v1/{parts['engine_path']}/keys/{parts['key_name']}"
    role = key.attributes.get("role", "")
    return f"{key.name}+{role}" if role else key.name


def _key(service: KeyService, name: str, attributes: Mapping[str, str]) -> MasterKey:
    return MasterKey(recipient=Recipient(service=service, name=name), attributes=attributes)


def _invalid(text: str, what: str, hint: str) -> InvalidRecipient:
    shown = "".join(character for character in text[:_SHOWN_CHARACTERS] if character.isprintable())
    return InvalidRecipient("sops-invalid-recipient", f"`{shown}` is {what}", hint=hint)
