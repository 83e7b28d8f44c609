"""A data key to what the metadata holds of it: one entry for every master key, in every key group.

Age recipients are encrypted to here, with public keys alone; all others by the door of their key service, which has to
be configured as it has to be for reading.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

from reconciler.sops.ciphertext import DataKey
from reconciler.sops.errors import NoKeyConfigured
from reconciler.sops.keys import HOW_TO_CONFIGURE, SERVICE_NAMES
from reconciler.sops.master_keys import KeyGroups, MasterKey
from reconciler.sops.metadata import KeyService
from reconciler.sops.services.port import DataKeyService
from reconciler.sops.timestamps import timestamp
from reconciler.sops.writing import age_recipients
from reconciler.sops.writing.errors import InvalidRecipient
from reconciler.sops.writing.shares import split

FieldValue = str | Mapping[str, str]
Services = Sequence[DataKeyService]

# The order is that of the structures in stores/stores.go of getsops/sops, with the data key before the name.
_FIELDS: Final[Mapping[KeyService, tuple[str, ...]]] = {
    KeyService.AGE: ("enc", "recipient"),
    KeyService.PGP: ("created_at", "enc", "fp"),
    KeyService.AWS_KMS: ("arn", "role", "context", "created_at", "enc", "aws_profile"),
    KeyService.GCP_KMS: ("resource_id", "created_at", "enc"),
    KeyService.VAULT: ("vault_address", "engine_path", "key_name", "created_at", "enc"),
}
_ALWAYS: Final[Mapping[KeyService, tuple[str, ...]]] = {KeyService.AWS_KMS: ("aws_profile",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The data key, or a share of it, for one master key: the fields of one item of a list of the metadata."""

    service: KeyService
    fields: Mapping[str, FieldValue] = field(repr=False)


EntryGroups = tuple[tuple[Entry, ...], ...]


def wrapped(groups: KeyGroups, data_key: DataKey, services: Services, moment: datetime) -> EntryGroups:
    """The entries of every group; `moment` is when they are made.

    Raises:
        InvalidRecipient: a service that Catwalk does not encrypt to.
        NoKeyConfigured: the key service of a recipient is not configured.
        CatwalkError: a key service does not answer, refuses, or may not be asked.
    """
    return data_key.wrapped(partial(_entries, groups, services, moment))


def wrapped_once(key: MasterKey, data_key: DataKey, services: Services, moment: datetime) -> Entry:
    """The whole data key for one master key; raises as `wrapped`."""
    return data_key.wrapped(lambda secret: _entry(key, secret, services, moment))


def _entries(groups: KeyGroups, services: Services, moment: datetime, secret: bytes) -> EntryGroups:
    count = len(groups.groups)
    shares = (secret,) if count == 1 else split(secret, shares=count, threshold=groups.needed)
    return tuple(
        tuple(_entry(key, share, services, moment) for key in group)
        for group, share in zip(groups.groups, shares, strict=True)
    )


def _entry(key: MasterKey, secret: bytes, services: Services, moment: datetime) -> Entry:
    enc = _wrap(key, services)(secret)
    given: dict[str, FieldValue] = {**key.attributes, "created_at": timestamp(moment), "enc": enc}
    if key.service is KeyService.AGE:
        given["recipient"] = key.name
    if key.context:
        given["context"] = key.context
    always = _ALWAYS.get(key.service, ())
    fields = {name: given.get(name, "") for name in _FIELDS[key.service] if given.get(name) or name in always}
    return Entry(service=key.service, fields=fields)


def _wrap(key: MasterKey, services: Services) -> Callable[[bytes], str]:
    if key.service is KeyService.AGE:
        return partial(age_recipients.wrap, key.name)
    if key.service not in _FIELDS:
        name = SERVICE_NAMES[key.service]
        hint = "use `sops` for this file, or take the recipient out of it"
        raise InvalidRecipient("sops-invalid-recipient", f"Catwalk does not encrypt with {name}", hint=hint)
    service = next((each for each in services if each.kind is key.service), None)
    if service is None:
        message = f"{SERVICE_NAMES[key.service]} is not configured, and the file is to be encrypted to {key.name}"
        raise NoKeyConfigured("sops-no-key", message, hint=HOW_TO_CONFIGURE[key.service])
    return partial(service.wrap, key)
