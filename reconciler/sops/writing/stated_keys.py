"""What one rule of `.sops.yaml` says about keys: lists of recipients, or key groups with a threshold.

The names are those of config/config.go of getsops/sops. A list is a text with commas or a list of texts; in a key group
the entries for AWS and Google are mappings too. `merge` adds groups to the group that it stands in. Refused: keys of
services that Catwalk does not encrypt with, rather than a file that somebody cannot open.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from reconciler.sops.limits import MAXIMUM_KEY_GROUPS, MAXIMUM_RECIPIENTS
from reconciler.sops.master_keys import KeyGroups, MasterKey, MasterKeys
from reconciler.sops.writing.recipients import age_key, aws_key, google_key, pgp_key, vault_key

Stated = Mapping[str, object]

_NOT_WRITTEN: Final = ("azure_keyvault", "hckms", "azure_kv")
_READERS: Final[Mapping[str, Callable[[str], MasterKey]]] = {
    "age": age_key,
    "pgp": pgp_key,
    "gcp_kms": google_key,
    "hc_vault_transit_uri": vault_key,
    "hc_vault": vault_key,
}
_MERGE_DEPTH: Final = 5


class UnusableKeysError(ValueError):
    """The rule cannot be followed; the message says why, and continues a sentence about the rule."""


def stated_keys(rule: Stated) -> KeyGroups:
    """To whom the rule encrypts.

    Raises:
        InvalidRecipient: a text names nobody.
        UnusableKeysError: nobody is named, a group is empty, or the rule asks for what Catwalk does not write.
    """
    listed = rule.get("key_groups")
    if listed is None:
        groups = [_unique(_group(rule))]
    elif isinstance(listed, list) and 0 < len(cast("list[object]", listed)) <= MAXIMUM_KEY_GROUPS:
        groups = [_unique(_merged(group, _MERGE_DEPTH)) for group in cast("list[object]", listed)]
    else:
        raise UnusableKeysError(f"has key_groups that are no list of 1 to {MAXIMUM_KEY_GROUPS} groups")
    if not all(groups):
        raise UnusableKeysError("names no recipient, or has a key group without any")
    if sum(map(len, groups)) > MAXIMUM_RECIPIENTS:
        raise UnusableKeysError(f"names more than {MAXIMUM_RECIPIENTS} recipients")
    return KeyGroups(groups=tuple(groups), threshold=_threshold(rule, len(groups)))


def _threshold(rule: Stated, groups: int) -> int:
    stated = rule.get("shamir_threshold")
    if stated is None or groups == 1:
        return 1 if groups == 1 else 0
    if not isinstance(stated, int) or isinstance(stated, bool) or not 2 <= stated <= groups:
        raise UnusableKeysError(f"has a shamir_threshold that is not between 2 and the number of groups, {groups}")
    return stated


def _merged(group: object, depth: int) -> Iterator[MasterKey]:
    if not isinstance(group, dict) or depth == 0:
        raise UnusableKeysError("has a key group that is no mapping, or merges too deep")
    mapping = cast("Stated", group)
    yield from _group(mapping)
    for inner in _items(mapping.get("merge"), "merge"):
        yield from _merged(inner, depth - 1)


def _group(stated: Stated) -> Iterator[MasterKey]:
    if others := [name for name in _NOT_WRITTEN if stated.get(name)]:
        raise UnusableKeysError(f"asks for {', '.join(others)}, which Catwalk does not write")
    for name, read in _READERS.items():
        for item in _items(stated.get(name), name):
            yield read(_field(cast("Stated", item), "resource_id") if isinstance(item, dict) else _text(item, name))
    for item in _items(stated.get("kms"), "kms"):
        yield _aws(item, stated)


def _aws(item: object, stated: Stated) -> MasterKey:
    if not isinstance(item, dict):
        return aws_key(_text(item, "kms"), profile=str(stated.get("aws_profile") or ""))
    mapping = cast("Stated", item)
    context: object = mapping.get("context") or {}
    if not isinstance(context, dict):
        raise UnusableKeysError("has a context of AWS KMS that is no mapping")
    role = mapping.get("role")
    arn = _field(mapping, "arn") + (f"+{role}" if role else "")
    texts = {str(name): str(value) for name, value in cast("dict[object, object]", context).items()}
    return aws_key(arn, context=texts, profile=str(mapping.get("aws_profile") or ""))


def _items(stated: object, name: str) -> list[object]:
    if stated is None:
        return []
    if isinstance(stated, str):
        return [part for part in stated.split(",") if part.strip()]
    if not isinstance(stated, list):
        raise UnusableKeysError(f"has {name} that is neither a text nor a list")
    return cast("list[object]", stated)


def _field(item: Stated, name: str) -> str:
    return _text(item.get(name), name)


def _text(item: object, name: str) -> str:
    if isinstance(item, bool) or not isinstance(item, str | int):
        raise UnusableKeysError(f"has an entry under {name} that is no text")
    return str(item)


def _unique(keys: Iterator[MasterKey]) -> MasterKeys:
    return tuple({key.recipient: key for key in keys}.values())
