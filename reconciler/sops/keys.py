"""From the metadata and the configured identities to the data key of a file, or to the reason why not.

Every wrapped key is tried with every identity, whatever name its recipient carries, because the name is not
authenticated. When nothing opens, the reason is told from public facts alone: no identity here; none that is a
recipient; a recipient whose wrapped key is damaged; or a key service that Catwalk does not speak.
"""

import re
from collections.abc import Iterator
from typing import Final

from reconciler.core.problems import Location
from reconciler.errors import CatwalkError
from reconciler.sops.age import CannotUnwrapError
from reconciler.sops.ciphertext import DATA_KEY_BYTES, DataKey
from reconciler.sops.errors import KeyMismatch, KeyUnreadable, NoKeyConfigured, Tampered, UnsupportedSops
from reconciler.sops.identities import KEY_FILE_VARIABLE, KEY_VARIABLE, Identities
from reconciler.sops.limits import MAXIMUM_SERVICE_CALLS
from reconciler.sops.metadata import KeyGroup, KeyService, Metadata, Recipient, WrappedKey
from reconciler.sops.services.port import (
    DamagedKeyError,
    DataKeyService,
    KeyServiceDenied,
    KeyServiceNotAllowed,
    KeyServiceUnavailable,
    NotForUsError,
)
from reconciler.sops.shamir import UnfitSharesError, combine

SERVICE_NAMES: Final[dict[KeyService, str]] = {
    KeyService.AGE: "age plugins",
    KeyService.PGP: "PGP",
    KeyService.AWS_KMS: "AWS KMS",
    KeyService.GCP_KMS: "GCP KMS",
    KeyService.VAULT: "HashiCorp Vault",
    KeyService.AZURE_KEY_VAULT: "Azure Key Vault",
    KeyService.HUAWEI_KMS: "Huawei KMS",
}
HOW_TO_CONFIGURE: Final[dict[KeyService, str]] = {
    KeyService.AGE: f"set {KEY_VARIABLE} or {KEY_FILE_VARIABLE} to the secret key of one of these recipients",
    KeyService.PGP: "install gpg, with the secret key in the key ring of the caller or of GNUPGHOME",
    KeyService.AWS_KMS: "install Catwalk with its extra `aws`, with AWS credentials in the environment",
    KeyService.GCP_KMS: "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_OAUTH_ACCESS_TOKEN",
    KeyService.VAULT: "set VAULT_ADDR and VAULT_TOKEN",
}
_READABLE_RECIPIENT: Final = re.compile(r"age1[a-z0-9]{58}|age1pq1[a-z0-9]{1000,3000}|ssh-.*")
_SHOWN_RECIPIENTS: Final = 5
_SHOWN_CHARACTERS: Final = 80


def unwrap_data_key(metadata: Metadata, identities: Identities, file: str) -> DataKey:
    """The data key.

    Raises:
        NoKeyConfigured: nothing is configured that could open it.
        KeyMismatch: no identity opens it, or too few key groups open.
        UnsupportedSops: only key services that Catwalk does not speak hold it.
        Tampered: what one of our identities should open does not open, or is no key.
        CatwalkError: a key service does not answer, refuses, or may not be asked.
    """
    opener = _Opener(identities)
    parts: list[bytes] = []
    for group in metadata.groups:
        part = opener.open(group) if len(parts) < metadata.threshold else None
        parts += [] if part is None else [part]
    if len(parts) < metadata.threshold:
        raise _Refusal(metadata, identities, opener, Location(file=file)).reason(opened=len(parts))
    key = _joined(parts, file) if len(metadata.groups) > 1 else parts[0]
    if len(key) != DATA_KEY_BYTES:
        raise _tampered_key("what the recipients hold is no data key", Location(file=file))
    return DataKey(key)


class _Opener:
    """Opens key groups, age first because it costs nothing, and remembers why others could not."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.damaged: list[str] = []
        self.failures: list[CatwalkError] = []
        self._calls = 0
        self._silent: set[KeyService] = set()
        """Services that did not answer: they are not asked again about this file."""

    def open(self, group: KeyGroup) -> bytes | None:
        ours = set(self._identities.recipients)
        wrapped = [key for key in group if key.recipient.service is KeyService.AGE]
        for key in sorted(wrapped, key=lambda each: each.recipient.name not in ours):
            for opened in _opened(key, self._identities):
                return opened
            if key.recipient.name in ours:
                self.damaged.append(key.recipient.name)
        return self._ask_services(group)

    def _ask_services(self, group: KeyGroup) -> bytes | None:
        for service in self._identities.services:
            for key in group:
                if key.recipient.service is service.kind and (opened := self._ask(service, key)) is not None:
                    return opened
        return None

    def _ask(self, service: DataKeyService, key: WrappedKey) -> bytes | None:
        if service.kind in self._silent or self._calls >= MAXIMUM_SERVICE_CALLS:
            return None
        self._calls += 1
        try:
            return service.unwrap(key)
        except NotForUsError:
            return None
        except DamagedKeyError:
            self.damaged.append(key.recipient.name)
            return None
        except (KeyServiceUnavailable, KeyServiceDenied, KeyServiceNotAllowed, KeyUnreadable) as error:
            self.failures.append(error)
            if isinstance(error, KeyServiceUnavailable):
                self._silent.add(service.kind)
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


class _Refusal:
    """Finds the one reason that the reader can act on."""

    def __init__(self, metadata: Metadata, identities: Identities, opener: _Opener, location: Location) -> None:
        self._metadata = metadata
        self._identities = identities
        self._opener = opener
        self._location = location
        self._known = [each for each in metadata.recipients if _is_known(each)]

    def reason(self, *, opened: int) -> CatwalkError:
        if not self._known:
            return self._unsupported()
        usable = [each for each in self._known if self._is_configured(each)]
        if not usable:
            return self._no_key()
        if self._opener.damaged and len(self._metadata.groups) == 1:
            name = _shortened(self._opener.damaged[0])
            return _tampered_key(f"the data key wrapped for {name} does not open with that key", self._location)
        if self._opener.failures:
            return self._opener.failures[0]
        return self._mismatch(opened)

    def _is_configured(self, recipient: Recipient) -> bool:
        if recipient.service is KeyService.AGE:
            return bool(self._identities.keys)
        return any(service.kind is recipient.service for service in self._identities.services)

    def _unsupported(self) -> UnsupportedSops:
        services = ", ".join(dict.fromkeys(SERVICE_NAMES[each.service] for each in self._metadata.recipients))
        return UnsupportedSops(
            "sops-unsupported-key-service",
            f"the data key of this file is held only by {services}, which Catwalk cannot use",
            hint="add an age recipient (age-keygen makes one) and run `sops updatekeys` on the file",
            location=self._location,
        )

    def _no_key(self) -> NoKeyConfigured:
        warnings = len(self._identities.warnings)
        skipped = f"; {warnings} configured line(s) could not be used" if warnings else ""
        kinds = list(dict.fromkeys(each.service for each in self._known))
        return NoKeyConfigured(
            "sops-no-key",
            f"no key is configured to decrypt this file with{skipped}; it is encrypted to {_shown(self._known)}",
            hint="; or ".join(HOW_TO_CONFIGURE[kind] for kind in kinds),
            location=self._location,
        )

    def _mismatch(self, opened: int) -> KeyMismatch:
        groups, threshold = len(self._metadata.groups), self._metadata.threshold
        shares = f"the configured keys open {opened} of {groups} key groups and {threshold} are needed"
        message = shares if groups > 1 else "none of the configured keys is a recipient of this file"
        return KeyMismatch(
            "sops-key-mismatch",
            f"{message}; it is encrypted to {_shown(self._known)}",
            hint=f"configure the secret key of one of these recipients in {KEY_VARIABLE} or {KEY_FILE_VARIABLE}, "
            "or have somebody who can open the file let yours in: `catwalk secrets recipients add`",
            location=self._location,
        )


def _is_known(recipient: Recipient) -> bool:
    if recipient.service is KeyService.AGE:
        return _READABLE_RECIPIENT.fullmatch(recipient.name) is not None
    return recipient.service in HOW_TO_CONFIGURE


def _tampered_key(message: str, location: Location) -> Tampered:
    hint = "restore the file from a commit that you trust, or encrypt it again"
    return Tampered("sops-key-tampered", message, hint=hint, location=location)


def _shown(recipients: list[Recipient]) -> str:
    shown = [_labelled(each) for each in recipients[:_SHOWN_RECIPIENTS]]
    more = len(recipients) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _labelled(recipient: Recipient) -> str:
    label = "" if recipient.service is KeyService.AGE else f"{SERVICE_NAMES[recipient.service]} "
    return label + _shortened(recipient.name)


def _shortened(recipient: str) -> str:
    return recipient if len(recipient) <= _SHOWN_CHARACTERS else f"{recipient[:_SHOWN_CHARACTERS]}…"
