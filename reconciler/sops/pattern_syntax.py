r"""RE2 syntax, as far as SOPS rules use it: from the text of a pattern to a tree.

Refused with a reason: what RE2 refuses (lookaround, backreferences, possessive and doubled repetitions, repetitions
above 1,000) and what is beyond the subset (`\p{…}` classes, `[[:posix:]]` classes, `\Q…\E`).
Source: https://github.com/google/re2/wiki/Syntax.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from reconciler.sops.limits import MAXIMUM_PATTERN_CHARACTERS

_MAXIMUM_REPEAT: Final = 1_000
_MAXIMUM_GROUP_DEPTH: Final = 50
_MAXIMUM_RUNE: Final = 0x10FFFF

Ranges = tuple[tuple[int, int], ...]

_DIGITS: Final[Ranges] = ((48, 57),)
_SPACES: Final[Ranges] = ((9, 10), (12, 13), (32, 32))
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_PERL_CLASSES: Final[dict[str, Ranges]] = {"d": _DIGITS, "s": _SPACES, "w": _WORD}
_ESCAPED_CHARACTERS: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_REPEAT: Final = re.compile(r"\{([0-9]{1,9})(?:(,)([0-9]{0,9}))?\}")
_HEXADECIMAL: Final = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\})")
_GROUP: Final = re.compile(r"\?(?:P<([A-Za-z0-9_]+)>|([imsU]*)(?:-([imsU]+))?([:)]))")


class UnsupportedPatternError(ValueError):
    """The pattern is refused by RE2, or beyond the subset, or too large. The message says which."""


class Assertion(Enum):
    """What holds between two characters."""

    TEXT_START = auto()
    TEXT_END = auto()
    LINE_START = auto()
    LINE_END = auto()
    WORD_BOUNDARY = auto()
    NO_WORD_BOUNDARY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Characters:
    ranges: Ranges
    negated: bool = False
    fold_case: bool = False

    def contains(self, character: str) -> bool:
        variants = {character, character.lower(), character.upper()} if self.fold_case else {character}
        runes = [ord(variant) for variant in variants if len(variant) == 1]
        return any(low <= rune <= high for rune in runes for low, high in self.ranges) != self.negated


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenation:
    parts: tuple["Tree", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    branches: tuple["Tree", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    part: "Tree"
    minimum: int
    maximum: int | None


Tree = Characters | Assertion | Concatenation | Choice | Repetition


def parse_pattern(text: str) -> Tree:
    """The tree of a pattern.

    Raises:
        UnsupportedPatternError: RE2 refuses it, or it is beyond the subset or a limit.
    """
    return _Parser(text).tree()


@dataclass(slots=True, kw_only=True)
class _Flags:
    fold_case: bool = False
    multi_line: bool = False
    dot_matches_newline: bool = False

    def set(self, letters: str, *, value: bool) -> None:
        for letter in letters:  # U swaps greed, which decides where a match ends, never whether there is one.
            if letter == "i":
                self.fold_case = value
            elif letter == "m":
                self.multi_line = value
            elif letter == "s":
                self.dot_matches_newline = value

    def copy(self) -> "_Flags":
        return _Flags(
            fold_case=self.fold_case, multi_line=self.multi_line, dot_matches_newline=self.dot_matches_newline
        )


class _Parser:
    """Recursive descent, one method a level of precedence."""

    def __init__(self, text: str) -> None:
        if len(text) > MAXIMUM_PATTERN_CHARACTERS:
            raise UnsupportedPatternError(f"it has more than {MAXIMUM_PATTERN_CHARACTERS} characters")
        self._text = text
        self._at = 0
        self._depth = 0
        self._flags = _Flags()

    def tree(self) -> Tree:
        tree = self._alternation()
        if self._at < len(self._text):
            raise UnsupportedPatternError("a closing parenthesis has no opening one")
        return tree

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character

    def _alternation(self) -> Tree:
        branches = [self._concatenation()]
        while self._peek() == "|":
            self._take()
            branches.append(self._concatenation())
        return branches[0] if len(branches) == 1 else Choice(branches=tuple(branches))

    def _concatenation(self) -> Tree:
        parts: list[Tree] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom()))
        return Concatenation(parts=tuple(parts))

    def _repeated(self, atom: Tree) -> Tree:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if self._peek() == "?":
            self._take()
        if self._bounds() is not None:
            raise UnsupportedPatternError("a repetition follows a repetition, which RE2 refuses")
        return Repetition(part=atom, minimum=bounds[0], maximum=bounds[1])

    def _bounds(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._peek() in simple:
            return simple[self._take()]
        match = _REPEAT.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        minimum = int(match[1])
        maximum = minimum if match[2] is None else int(match[3]) if match[3] else None
        if max(minimum, maximum or 0) > _MAXIMUM_REPEAT or (maximum is not None and maximum < minimum):
            raise UnsupportedPatternError(f"a repetition is out of order or above {_MAXIMUM_REPEAT}")
        return minimum, maximum

    def _atom(self) -> Tree:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._bracket()
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise UnsupportedPatternError("a repetition has nothing to repeat")
            case "{" if _REPEAT.match(self._text, self._at - 1):
                raise UnsupportedPatternError("a repetition has nothing to repeat")
            case "^" | "$" | ".":
                return self._special(character)
            case _:
                return self._literal(ord(character))

    def _special(self, character: str) -> Tree:
        if character == ".":
            return Characters(ranges=() if self._flags.dot_matches_newline else ((10, 10),), negated=True)
        if character == "^":
            return Assertion.LINE_START if self._flags.multi_line else Assertion.TEXT_START
        return Assertion.LINE_END if self._flags.multi_line else Assertion.TEXT_END

    def _literal(self, rune: int) -> Tree:
        return Characters(ranges=((rune, rune),), fold_case=self._flags.fold_case)

    def _group(self) -> Tree:
        self._depth += 1
        if self._depth > _MAXIMUM_GROUP_DEPTH:
            raise UnsupportedPatternError("its groups are nested too deeply")
        outer = self._flags.copy()
        if self._peek() == "?" and not self._group_opens():
            self._depth -= 1
            return Concatenation(parts=())
        tree = self._alternation()
        if self._take() != ")":
            raise UnsupportedPatternError("a parenthesis is not closed")
        self._flags = outer
        self._depth -= 1
        return tree

    def _group_opens(self) -> bool:
        """Reads what follows `(?`; false for a group of flags alone, which hold to the end of the outer group."""
        match = _GROUP.match(self._text, self._at)
        if match is None:
            raise UnsupportedPatternError("it uses a group that RE2 does not have (lookaround, reference or condition)")
        self._at = match.end()
        self._flags.set(match[2] or "", value=True)
        self._flags.set(match[3] or "", value=False)
        return match[4] != ")"

    def _escape(self) -> Tree:
        character = self._peek()
        if character in {"A", "z", "b", "B"}:
            self._take()
            return {
                "A": Assertion.TEXT_START,
                "z": Assertion.TEXT_END,
                "b": Assertion.WORD_BOUNDARY,
                "B": Assertion.NO_WORD_BOUNDARY,
            }[character]
        if character.lower() in _PERL_CLASSES and character:
            self._take()
            return Characters(ranges=_PERL_CLASSES[character.lower()], negated=character.isupper())
        return self._literal(self._escaped_rune())

    def _escaped_rune(self) -> int:
        match = _HEXADECIMAL.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
            return self._rune(match[1] or match[2])
        character = self._take()
        if character in _ESCAPED_CHARACTERS:
            return _ESCAPED_CHARACTERS[character]
        if character and character.isascii() and not character.isalnum():
            return ord(character)
        raise UnsupportedPatternError("it uses an escape that RE2 or Catwalk does not have")

    def _rune(self, digits: str) -> int:
        if int(digits, 16) > _MAXIMUM_RUNE:
            raise UnsupportedPatternError("an escape names no character")
        return int(digits, 16)

    def _bracket(self) -> Tree:
        negated = self._peek() == "^"
        if negated:
            self._take()
        ranges: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            ranges += self._bracket_item()
            first = False
        self._take()
        return Characters(ranges=tuple(ranges), negated=negated, fold_case=self._flags.fold_case)

    def _bracket_item(self) -> Ranges:
        if self._text.startswith("[:", self._at):
            raise UnsupportedPatternError("[[:name:]] classes are not supported")
        named = self._bracket_class()
        if named:
            return named
        low = self._bracket_rune()
        following = self._text[self._at + 1 : self._at + 2]
        if self._peek() != "-" or following in {"", "]"}:
            return ((low, low),)
        self._take()
        high = self._bracket_rune()
        if high < low:
            raise UnsupportedPatternError("a character range is out of order")
        return ((low, high),)

    def _bracket_class(self) -> Ranges:
        name = self._text[self._at + 1 : self._at + 2] if self._peek() == "\\" else ""
        if not name or name.lower() not in _PERL_CLASSES:
            return ()
        self._at += 2
        ranges = _PERL_CLASSES[name.lower()]
        return _complement(ranges) if name.isupper() else ranges

    def _bracket_rune(self) -> int:
        character = self._take()
        if character == "":
            raise UnsupportedPatternError("a bracket is not closed")
        return self._escaped_rune() if character == "\\" else ord(character)


def _complement(ranges: Ranges) -> Ranges:
    starts = [0, *(high + 1 for _, high in ranges)]
    ends = [*(low - 1 for low, _ in ranges), _MAXIMUM_RUNE]
    return tuple((start, end) for start, end in zip(starts, ends, strict=True) if start <= end)
