r"""Regular expressions of SOPS rules, compiled by RE2, whose syntax and meaning Go's `regexp` shares.

SOPS itself ignores a pattern that does not compile and then leaves the file in plain text; Python's `re` accepts other
patterns, gives `$` and `\d` other meanings, and takes exponential time on patterns that anybody with push rights may
write. Here a pattern that Go refuses is an error, and a search takes time in proportion to the text.
"""

from collections.abc import Callable
from typing import Final, Protocol, cast

import re2  # type: ignore[import-untyped]  # A compiled module that ships no types; `_Library` states what is used.

from reconciler.sops.limits import MAXIMUM_PATTERN_BYTES_OF_MEMORY, MAXIMUM_PATTERN_CHARACTERS


class UnsupportedPatternError(ValueError):
    """The pattern is refused by Go's `regexp`, or is too large. The message says which."""


class _Options(Protocol):
    log_errors: bool
    max_mem: int
    never_capture: bool


class _Compiled(Protocol):
    def search(self, text: str, /) -> object | None: ...


class _Library(Protocol):
    Options: Callable[[], _Options]
    error: type[Exception]

    def compile(self, pattern: str, options: _Options, /) -> _Compiled: ...


_library = cast("_Library", re2)
# The one escape that RE2 has and Go has not: any byte, which could split a character.
_ANY_BYTE: Final = r"\C"


class Pattern:
    """A compiled pattern.

    Raises:
        UnsupportedPatternError: it cannot be compiled.
    """

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        if len(text) > MAXIMUM_PATTERN_CHARACTERS:
            raise UnsupportedPatternError(f"it is longer than {MAXIMUM_PATTERN_CHARACTERS} characters")
        if _ANY_BYTE in text.replace(r"\\", ""):
            raise UnsupportedPatternError(rf"{_ANY_BYTE} is no RE2 syntax in Go")
        self.text = text
        self._compiled = _compiled(text)

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        return self._compiled.search(text) is not None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _compiled(text: str) -> _Compiled:
    options = _library.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MAXIMUM_PATTERN_BYTES_OF_MEMORY
    try:
        return _library.compile(text, options)
    except (_library.error, UnicodeEncodeError) as error:
        raise UnsupportedPatternError(f"RE2 refuses it: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
