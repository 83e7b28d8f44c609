"""From the metadata and the configured identities to the data key of a file, or to the reason why not.

Every wrapped key is tried with every identity, whatever name its recipient carries, because the name is not
authenticated. When nothing opens, the reason is told from public facts alone: no identity here; none that is a
recipient; a recipient whose wrapped key is damaged; or a key service that Catwalk does not speak.
"""

import re
from collections.abc import Iterator
from typing import Final

from reconciler.core.problems import Location
from reconciler.sops.age import CannotUnwrapError
from reconciler.sops.ciphertext import DATA_KEY_BYTES, DataKey
from reconciler.sops.errors import KeyMismatch, NoKeyConfigured, Tampered, UnsupportedSops
from reconciler.sops.identities import KEY_FILE_VARIABLE, KEY_VARIABLE, Identities
from reconciler.sops.metadata import KeyGroup, KeyService, Metadata, WrappedKey
from reconciler.sops.shamir import UnfitSharesError, combine

_SERVICE_NAMES: Final[dict[KeyService, str]] = {
    KeyService.AGE: "age plugin or post-quantum keys",
    KeyService.PGP: "PGP",
    KeyService.AWS_KMS: "AWS KMS",
    KeyService.GCP_KMS: "GCP KMS",
    KeyService.VAULT: "HashiCorp Vault",
    KeyService.AZURE_KEY_VAULT: "Azure Key Vault",
    KeyService.HUAWEI_KMS: "Huawei KMS",
}
_READABLE_RECIPIENT: Final = re.compile(r"age1[a-z0-9]{58}|ssh-.*")
_SHOWN_RECIPIENTS: Final = 5
_SHOWN_CHARACTERS: Final = 80


def unwrap_data_key(metadata: Metadata, identities: Identities, file: str) -> DataKey:
    """The data key.

    Raises:
        NoKeyConfigured: `identities` is empty.
        KeyMismatch: no identity opens it, or too few key groups open.
        UnsupportedSops: only key services that Catwalk does not speak hold it.
        Tampered: what one of our identities should open does not open, or is no key.
    """
    parts = [part for group in metadata.groups if (part := _open_group(group, identities)) is not None]
    if len(parts) < metadata.threshold:
        raise _reason(metadata, identities, opened=len(parts), location=Location(file=file))
    key = _joined(parts[: metadata.threshold], file) if len(metadata.groups) > 1 else parts[0]
    if len(key) != DATA_KEY_BYTES:
        raise _tampered_key("what the recipients hold is no data key", Location(file=file))
    return DataKey(key)


def _open_group(group: KeyGroup, identities: Identities) -> bytes | None:
    ours = set(identities.recipients)
    wrapped = [key for key in group if key.recipient.service is KeyService.AGE]
    for key in sorted(wrapped, key=lambda each: each.recipient.name not in ours):
        for opened in _opened(key, identities):
            return opened
    return None


def _opened(key: WrappedKey, identities: Identities) -> Iterator[bytes]:
    for identity in identities.keys:
        try:
            yield identity.unwrap(key.wrapped.encode("utf-8"))
        except CannotUnwrapError:
            continue


def _joined(shares: list[bytes], file: str) -> bytes:
    try:
        return combine(shares)
    except UnfitSharesError as error:
        raise _tampered_key(str(error), Location(file=file)) from error


def _reason(
    metadata: Metadata, identities: Identities, *, opened: int, location: Location
) -> Tampered | KeyMismatch | NoKeyConfigured | UnsupportedSops:
    readable = [each.name for each in metadata.recipients if _is_readable(each.service, each.name)]
    if not readable:
        return _unsupported(metadata, location)
    if not identities.keys:
        return _no_key(readable, identities, location)
    damaged = sorted(set(readable) & set(identities.recipients))
    if damaged and len(metadata.groups) == 1:
        return _tampered_key(f"the data key wrapped for {damaged[0]} does not open with that key", location)
    return _mismatch(metadata, readable, opened, location)


def _is_readable(service: KeyService, name: str) -> bool:
    return service is KeyService.AGE and _READABLE_RECIPIENT.fullmatch(name) is not None


def _unsupported(metadata: Metadata, location: Location) -> UnsupportedSops:
    services = ", ".join(dict.fromkeys(_SERVICE_NAMES[each.service] for each in metadata.recipients))
    return UnsupportedSops(
        "sops-unsupported-key-service",
        f"the data key of this file is held only by {services}, which Catwalk cannot use",
        hint="add an age recipient (age-keygen makes one) and run `sops updatekeys` on the file",
        location=location,
    )


def _no_key(readable: list[str], identities: Identities, location: Location) -> NoKeyConfigured:
    skipped = f"; {len(identities.warnings)} configured line(s) could not be used" if identities.warnings else ""
    return NoKeyConfigured(
        "sops-no-key",
        f"no age key is configured to decrypt this file with{skipped}; it is encrypted to {_shown(readable)}",
        hint=f"set {KEY_VARIABLE} or {KEY_FILE_VARIABLE} to the secret key of one of these recipients",
        location=location,
    )


def _mismatch(metadata: Metadata, readable: list[str], opened: int, location: Location) -> KeyMismatch:
    groups = len(metadata.groups)
    shares = f"the configured keys open {opened} of {groups} key groups and {metadata.threshold} are needed"
    message = shares if groups > 1 else "none of the configured age keys is a recipient of this file"
    return KeyMismatch(
        "sops-key-mismatch",
        f"{message}; it is encrypted to {_shown(readable)}",
        hint=f"configure the secret key of one of these recipients in {KEY_VARIABLE} or {KEY_FILE_VARIABLE}, "
        "or have somebody who can open the file add your recipient with `sops updatekeys`",
        location=location,
    )


def _tampered_key(message: str, location: Location) -> Tampered:
    hint = "restore the file from a commit that you trust, or encrypt it again"
    return Tampered("sops-key-tampered", message, hint=hint, location=location)


def _shown(recipients: list[str]) -> str:
    shown = [_shortened(each) for each in recipients[:_SHOWN_RECIPIENTS]]
    more = len(recipients) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _shortened(recipient: str) -> str:
    return recipient if len(recipient) <= _SHOWN_CHARACTERS else f"{recipient[:_SHOWN_CHARACTERS]}…"
