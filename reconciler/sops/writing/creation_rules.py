"""`.sops.yaml`: whom a new file is encrypted to, and which values of it.

Searched upwards from the file, as the SOPS tool does; the first rule whose `path_regex` is found in the path (relative
to the folder of `.sops.yaml`) is the one. What a rule says about keys is read in `stated_keys`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, Protocol, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reconciler.core.problems import Location
from reconciler.sops.master_keys import KeyGroups
from reconciler.sops.patterns import Pattern, UnsupportedPatternError
from reconciler.sops.rules import RuleKind
from reconciler.sops.writing.creation import Encryption
from reconciler.sops.writing.disk import read_file
from reconciler.sops.writing.errors import InvalidCreationRules, InvalidRecipient
from reconciler.sops.writing.stated_keys import UnusableKeysError, stated_keys

RULES_FILE: Final = ".sops.yaml"
_MAXIMUM_BYTES: Final = 256 * 1024


class _Loader(Protocol):
    """The part of ruamel that is used here; the library leaves it untyped."""

    def load(self, stream: str) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationRule:
    """The rule for one file."""

    encryption: Encryption
    source: Path
    """The `.sops.yaml` that states it."""
    index: int
    """Which of its `creation_rules`, from 0."""


def find_rules_file(path: Path) -> Path | None:
    """The nearest `.sops.yaml` in the folder of `path` or above it; `None` where there is none."""
    return next(
        (found for folder in path.resolve().parents if (found := folder / RULES_FILE).is_file()),
        None,
    )


def find_rule(path: Path) -> CreationRule:
    """The rule for the file `path`, which need not exist.

    Raises:
        InvalidCreationRules: no `.sops.yaml`, no rule for this file, or one that Catwalk cannot follow.
    """
    source = find_rules_file(path)
    if source is None:
        message = f"there is no {RULES_FILE} in the folder of {path} or above it, so that nobody is named to encrypt to"
        raise InvalidCreationRules("sops-no-rules", message, hint="run `catwalk secrets init`")
    relative = path.resolve().relative_to(source.parent).as_posix()
    for index, rule in enumerate(read_rules(source)):
        if _applies(rule, relative, source, index):
            return CreationRule(encryption=_encryption(rule, source, index), source=source, index=index)
    message = f"no rule in {source} is for {relative}"
    hint = "add a rule whose path_regex matches it to creation_rules"
    raise InvalidCreationRules("sops-no-rule-matches", message, hint=hint, location=Location(file=str(source)))


def read_rules(source: Path) -> tuple[Mapping[str, object], ...]:
    """The entries of `creation_rules`.

    Raises:
        InvalidCreationRules: the file is no YAML, too large, or has no such list.
    """
    content = read_file(source) or b""
    if len(content) > _MAXIMUM_BYTES:
        _refuse(source, None, "is far too large")
    try:
        loaded: object = cast("_Loader", YAML(typ="safe", pure=True)).load(content.decode("utf-8-sig"))
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise _invalid(source, None, "is not valid YAML") from error
    rules = cast("dict[str, object]", loaded).get("creation_rules") if isinstance(loaded, dict) else None
    if not isinstance(rules, list):
        _refuse(source, None, "has no list creation_rules")
    return tuple(_entry(rule, source, index) for index, rule in enumerate(cast("list[object]", rules)))


def _entry(rule: object, source: Path, index: int) -> Mapping[str, object]:
    if not isinstance(rule, dict):
        _refuse(source, index, "is no mapping")
    return {str(key): value for key, value in cast("dict[object, object]", rule).items()}


def _applies(rule: Mapping[str, object], relative: str, source: Path, index: int) -> bool:
    stated = rule.get("path_regex")
    if stated is None or stated == "":
        return True
    try:
        return Pattern(str(stated)).found_in(relative)
    except UnsupportedPatternError as error:
        raise _invalid(source, index, f"has a path_regex that cannot be used: {error}") from error


def _encryption(rule: Mapping[str, object], source: Path, index: int) -> Encryption:
    keys = _keys(rule, source, index)
    kinds = [(kind, str(rule[kind.value])) for kind in RuleKind if rule.get(kind.value)]
    if len(kinds) > 1:
        _refuse(source, index, "states more than one way to choose values")
    return Encryption(
        keys=keys,
        rule=kinds[0] if kinds else None,
        mac_only_encrypted=rule.get("mac_only_encrypted") is True,
    )


def _keys(rule: Mapping[str, object], source: Path, index: int) -> KeyGroups:
    try:
        return stated_keys(rule)
    except InvalidRecipient as error:
        message = f"names somebody to encrypt to who is no recipient: {error.problem.message}"
        raise _invalid(source, index, message) from error
    except UnusableKeysError as error:
        raise _invalid(source, index, str(error)) from error


def _refuse(source: Path, index: int | None, message: str) -> NoReturn:
    raise _invalid(source, index, message)


def _invalid(source: Path, index: int | None, message: str) -> InvalidCreationRules:
    subject = "it" if index is None else f"rule {index + 1} in creation_rules"
    location = Location(file=str(source))
    hint = "see the page about secrets for rules that work"
    return InvalidCreationRules("sops-bad-rules", f"{subject} {message}", hint=hint, location=location)
