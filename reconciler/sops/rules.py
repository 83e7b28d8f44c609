"""Which values of a file are encrypted: the rule that its metadata carries.

A rule looks at every key on the path, so that a match covers the subtree. There are three kinds: by suffix, by regular
expression, and by comment. Comment rules depend on how go-yaml attaches comments, which no other parser reproduces;
with a MAC over all values "does it look encrypted?" decides the same, and without that the rule is refused.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, assert_never

from reconciler.core.problems import Location
from reconciler.sops.ciphertext import looks_encrypted
from reconciler.sops.errors import UnsupportedSops
from reconciler.sops.patterns import Pattern, UnsupportedPatternError

DEFAULT_UNENCRYPTED_SUFFIX: Final = "_unencrypted"


class RuleKind(StrEnum):
    """The metadata field that states the rule. A file has at most one."""

    UNENCRYPTED_SUFFIX = "unencrypted_suffix"
    ENCRYPTED_SUFFIX = "encrypted_suffix"
    UNENCRYPTED_REGEX = "unencrypted_regex"
    ENCRYPTED_REGEX = "encrypted_regex"
    UNENCRYPTED_COMMENT_REGEX = "unencrypted_comment_regex"
    ENCRYPTED_COMMENT_REGEX = "encrypted_comment_regex"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuffixRule:
    """Keys that end in `suffix` are encrypted, or everything else is."""

    suffix: str
    encrypts_matches: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegexRule:
    """Keys in which `pattern` is found are encrypted, or everything else is."""

    pattern: Pattern
    encrypts_matches: bool
    _known: dict[str, bool] = field(default_factory=dict[str, bool], repr=False, compare=False)

    def matches(self, key: str) -> bool:
        """The search, remembered per key, because lists of servers repeat their keys."""
        if key not in self._known:
            self._known[key] = self.pattern.found_in(key)
        return self._known[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppearanceRule:
    """Stands for the comment rules: what looks encrypted is."""


Rule = SuffixRule | RegexRule | AppearanceRule


def make_rule(kind: RuleKind, text: str, *, mac_only_encrypted: bool, file: str) -> Rule:
    """The rule that the field `kind` with the value `text` states.

    Raises:
        UnsupportedSops: the pattern is not RE2, or it is a comment rule with `mac_only_encrypted`.
    """
    match kind:
        case RuleKind.UNENCRYPTED_SUFFIX | RuleKind.ENCRYPTED_SUFFIX:
            return SuffixRule(suffix=text, encrypts_matches=kind is RuleKind.ENCRYPTED_SUFFIX)
        case RuleKind.UNENCRYPTED_REGEX | RuleKind.ENCRYPTED_REGEX:
            return RegexRule(pattern=_pattern(kind, text, file), encrypts_matches=kind is RuleKind.ENCRYPTED_REGEX)
        case RuleKind.UNENCRYPTED_COMMENT_REGEX | RuleKind.ENCRYPTED_COMMENT_REGEX:
            _pattern(kind, text, file)
            _refuse_partial_mac(kind, file, mac_only_encrypted=mac_only_encrypted)
            return AppearanceRule()
        case _:
            assert_never(kind)


def _pattern(kind: RuleKind, text: str, file: str) -> Pattern:
    try:
        return Pattern(text)
    except UnsupportedPatternError as error:
        message = f"the pattern in {kind} cannot be used: {error}"
        hint = "SOPS would ignore such a pattern and leave values in plain text; write it in RE2 syntax"
        raise UnsupportedSops("sops-unsupported-rule", message, hint=hint, location=Location(file=file)) from error


def _refuse_partial_mac(kind: RuleKind, file: str, *, mac_only_encrypted: bool) -> None:
    if mac_only_encrypted:
        message = f"{kind} together with mac_only_encrypted cannot be verified safely"
        hint = "use encrypted_regex, or set mac_only_encrypted to false and encrypt the file again"
        raise UnsupportedSops("sops-unsupported-rule", message, hint=hint, location=Location(file=file))


def key_matches(rule: Rule, key: str) -> bool:
    """Whether one key on the path matches."""
    match rule:
        case SuffixRule():
            return key.endswith(rule.suffix)
        case RegexRule():
            return rule.matches(key)
        case AppearanceRule():
            return False


def covers(rule: Rule, content: bytes, *, path_matches: bool) -> bool:
    """Whether a value is to be encrypted: `path_matches` says that a key on its path matched."""
    match rule:
        case SuffixRule() | RegexRule():
            return path_matches == rule.encrypts_matches
        case AppearanceRule():
            return looks_encrypted(content)
