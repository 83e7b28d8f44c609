"""What libyaml says about text that is no YAML, in plain words and with the place.

The parser's own messages speak of tokens and simple keys. The table below says what a person did and what to write
instead. No message repeats text of the file: the line may hold a secret.
"""

from dataclasses import dataclass
from typing import Any, Final

from yaml.error import MarkedYAMLError, YAMLError

from reconciler.core.problems import Location, Problem

SYNTAX_CODE: Final = "yaml-syntax"


LONGEST_SHOWN: Final = 80


def shown(text: str) -> str:
    """A key or name of a file as a message may repeat it: short, and with every character visible."""
    cut = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return cut if cut.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Translation:
    """Applies when all `parts` occur in the parser's message."""

    parts: tuple[str, ...]
    message: str
    hint: str
    at_context: bool = False
    """Whether the place to show is where the construct began."""


_TRANSLATIONS: Final = (
    _Translation(
        parts=("tab character",),
        message="a tab stands where YAML needs spaces",
        hint="indent with spaces",
    ),
    _Translation(
        parts=("quoted scalar",),
        message="a quote is opened here and not closed properly",
        hint="close the quote, and double a quote inside it or choose the other kind",
        at_context=True,
    ),
    _Translation(
        parts=("cannot start any token",),
        message="a value cannot start with this character",
        hint="put the value in quotes",
    ),
    _Translation(
        parts=("flow node",),
        message="a list or mapping in brackets is not written properly here, or not closed",
        hint="separate items by one `,`, and end with `]` or `}`; quote what holds commas, brackets or braces",
    ),
    _Translation(
        parts=("flow sequence",),
        message="a list in brackets is opened here and not closed properly",
        hint="separate its items by `,` and end it with `]`; quote items that hold commas, brackets or braces",
        at_context=True,
    ),
    _Translation(
        parts=("flow mapping",),
        message="a mapping in braces is opened here and not closed properly",
        hint="separate its entries by `,` and end it with `}`; quote values that hold commas, brackets or braces",
        at_context=True,
    ),
    _Translation(
        parts=("mapping values are not allowed",),
        message="a `:` stands where no value can begin",
        hint="check the indentation of this line, or quote the text if it holds `: `",
    ),
    _Translation(
        parts=("could not find expected ':'",),
        message="a key without `:` stands here",
        hint="write `key: value`, with a space after the colon",
        at_context=True,
    ),
    _Translation(
        parts=("expected key",),
        message="the indentation fits none of the lines above",
        hint="give all keys of one mapping, and all `-` of one list, the same number of spaces in front",
    ),
    _Translation(
        parts=("'-' indicator",),
        message="the indentation fits none of the lines above",
        hint="give all keys of one mapping, and all `-` of one list, the same number of spaces in front",
    ),
    _Translation(
        parts=("sequence entries are not allowed",),
        message="a list item `-` stands where none can begin",
        hint="start the list on a line of its own below its key",
    ),
    _Translation(
        parts=("block scalar",),
        message="the text block after `|` or `>` begins wrongly",
        hint="start the text on the next line, indented by spaces",
    ),
    _Translation(
        parts=("expected <document start>",),
        message="something stands before or after the one mapping that a manifest is",
        hint="remove it, or check the indentation of the lines above",
    ),
    _Translation(
        parts=("alias",),
        message="the name of an alias or anchor is wrong",
        hint="quote a value that starts with `*` or `&`",
    ),
    _Translation(
        parts=("anchor",),
        message="the name of an alias or anchor is wrong",
        hint="quote a value that starts with `*` or `&`",
    ),
    _Translation(
        parts=("tag",),
        message="a tag is written wrongly",
        hint="quote a value that starts with `!`",
    ),
    _Translation(
        parts=("directive",),
        message="a directive is written wrongly",
        hint="remove the line that starts with `%`, or quote the value",
    ),
)
_UNKNOWN: Final = _Translation(
    parts=(), message="this is no valid YAML", hint="check indentation, quotes and brackets around this place"
)


def syntax_problem(file: str, error: YAMLError, text: str) -> Problem:
    """The problem of a text that the parser refused."""
    raw: Any = error  # The library's errors carry no types.
    if not isinstance(error, MarkedYAMLError):
        return Problem(code=SYNTAX_CODE, message=_UNKNOWN.message, hint=_UNKNOWN.hint, location=Location(file=file))
    said = f"{raw.context or ''} {raw.problem or ''}"
    translation = next((entry for entry in _TRANSLATIONS if all(part in said for part in entry.parts)), _UNKNOWN)
    location = _place(file, raw, translation)
    if _starts_with_tab(text, location.line):
        translation = _TRANSLATIONS[0]
    return Problem(code=SYNTAX_CODE, message=translation.message, hint=translation.hint, location=location)


def _place(file: str, error: Any, translation: _Translation) -> Location:  # noqa: ANN401  # The library's errors carry no types.
    marks = (error.context_mark, error.problem_mark) if translation.at_context else (error.problem_mark,)
    for mark in marks:
        if mark is not None:
            return Location(file=file, line=mark.line + 1, column=mark.column + 1)
    return Location(file=file)


def _starts_with_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    if line > len(lines):
        return False
    content = lines[line - 1]
    return "\t" in content[: len(content) - len(content.lstrip())]


def character_problem(file: str, text: str, position: int) -> Problem:
    """That a character which nobody sees stands at a position of the text."""
    before = text[:position]
    location = Location(file=file, line=before.count("\n") + 1, column=position - before.rfind("\n"))
    return Problem(
        code="bad-character",
        message=f"a character that nobody sees stands here: U+{ord(text[position]):04X}",
        hint="remove it, or write it as an escape such as `\\x1b` or `\\u2028` in double quotes",
        location=location,
    )
