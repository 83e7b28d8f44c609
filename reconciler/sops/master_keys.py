"""To whom a file is encrypted: master keys, as SOPS calls them, and the groups that they form.

A master key is the public half of a wrapped key: enough to encrypt to, and fit to be shown. What its texts may look
like is checked where they are read (`writing.recipients`), and again by the door of its key service.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.sops.metadata import KeyService, Metadata, Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKey:
    """One recipient with all that its key service has to know."""

    recipient: Recipient
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    """`arn`, `role`, `vault_address`, …: the fields of the metadata beside the wrapped key."""
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    """The encryption context of AWS KMS."""

    @property
    def service(self) -> KeyService:
        """Who wraps for it."""
        return self.recipient.service

    @property
    def name(self) -> str:
        """What is shown of it, and what tells it from others of its service."""
        return self.recipient.name


MasterKeys = tuple[MasterKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGroups:
    """One group, every member of which opens the file, or several, `threshold` of which open it together."""

    groups: tuple[MasterKeys, ...]
    threshold: int = 0
    """How many groups it takes; all of them where it is 0, as in SOPS."""

    @property
    def keys(self) -> MasterKeys:
        """Everybody in every group."""
        return tuple(key for group in self.groups for key in group)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of everybody."""
        return tuple(key.name for key in self.keys)

    @property
    def needed(self) -> int:
        """How many groups it takes."""
        return self.threshold or len(self.groups)

    def with_key(self, key: MasterKey) -> "KeyGroups":
        """With one more in the first group; as it is where that recipient is there."""
        if key.recipient in {each.recipient for each in self.keys}:
            return self
        first, *others = self.groups
        return replace(self, groups=((*first, key), *others))

    def without(self, recipient: Recipient) -> "KeyGroups":
        """Without one recipient, which may leave a group empty."""
        kept = tuple(tuple(key for key in group if key.recipient != recipient) for group in self.groups)
        return replace(self, groups=kept)


def one_group(keys: MasterKeys) -> KeyGroups:
    """Every one of `keys` opens the file."""
    return KeyGroups(groups=(keys,))


def key_groups(metadata: Metadata) -> KeyGroups:
    """To whom a file is encrypted now."""
    groups = tuple(
        tuple(MasterKey(recipient=key.recipient, attributes=key.attributes, context=key.context) for key in group)
        for group in metadata.groups
    )
    return KeyGroups(groups=groups, threshold=metadata.threshold)
