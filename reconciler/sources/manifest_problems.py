"""From what pydantic found to what a person can act on.

Each validation error becomes a problem with a stable code, the place in the file, plain words and the fix. Values are
described by their kind and never repeated, because any of them may be a secret in the wrong place.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails

from reconciler.core.problems import Problem
from reconciler.sources.yaml_nodes import MOST_TOLD, Document, Path, Value
from reconciler.sources.yaml_problems import LONGEST_SHOWN, shown
from schemas.v1.keys import allowed_keys
from schemas.v1.manifest import API_VERSION

_KEY_MARK: Final = "[key]"
"""What pydantic appends to the path of a mapping's key when the key itself is wrong."""

_WANTED: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "tuple_type": "a list",
}
_FORMS: Final[Mapping[str, str]] = {
    "a whole number": "write digits alone, without unit and quotes",
    "a number": "write it without unit and quotes",
    "`true` or `false`": "write one of the two without quotes",
    "a mapping of keys to values": "write `key: value` lines below it, indented, or `{key: value}`",
    "a list": "write it as `[first, second]`, or one `- item` a line below it",
}
"""How a value of each form is written."""
_OF_THE_WHOLE: Final = frozenset({"missing-source", "several-sources", "bad-file"})
_DURATION_KEYS: Final = frozenset({"interval", "timeout", "grace", "idle_after"})
_MISSING_HINTS: Final[Mapping[str, str]] = {
    "apiVersion": f"add `apiVersion: {API_VERSION}`",
    "fleet": "add `fleet: NAME`, the prefix of all app names",
    "servers": "add `servers:` with one entry per server",
}


def key_path(path: Path) -> str:
    """A path as people write it: `servers.time.args[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")


def shape_problems(document: Document, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    """The problems of one file, in the order of the models; the first of them where there are very many."""
    yield from _shape_problems(document, errors[:MOST_TOLD])
    if len(errors) > MOST_TOLD:
        yield Problem(
            code="more-problems",
            message=f"{len(errors) - MOST_TOLD} more problems of this file are not shown",
            hint="correct those that are, and look again",
            location=document.place(errors[MOST_TOLD]["loc"]),
        )


def _shape_problems(document: Document, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    for error in errors:
        path: Path = error["loc"]
        if error["type"] == "too_short" and any(other["loc"][:-1] == path for other in errors):
            continue  # Its items are wrong, not missing.
        if path[-1:] == (_KEY_MARK,):
            yield _bad_key(document, path[:-1], error)
        elif error["type"] == "extra_forbidden":
            yield _unknown_key(document, path)
        elif error["type"] == "missing" and not _is_misspelt(path, errors):
            yield _missing(document, path)
        elif error["type"] == "missing":
            continue  # The misspelt key beside it is reported, and correcting that brings this one.
        else:
            yield _bad_value(document, path, error)


def _is_misspelt(path: Path, errors: Sequence[ErrorDetails]) -> bool:
    """Whether an unknown key in the same place is most like the missing one."""
    unknown = (
        error["loc"] for error in errors if error["type"] == "extra_forbidden" and error["loc"][:-1] == path[:-1]
    )
    return any(_near_key(other) == path[-1] for other in unknown)


def _near_key(path: Path) -> str:
    key = str(path[-1]).lower()
    near = get_close_matches(key, allowed_keys(path[:-1]), n=1) if len(key) <= LONGEST_SHOWN else ()
    return near[0] if near else ""


def _bad_key(document: Document, path: Path, error: ErrorDetails) -> Problem:
    text, hint = _custom_text(error)
    # A misplaced secret may stand where a name belongs, so names below `secrets` are not repeated.
    subject = f"a name in `{key_path(path[:-1])}`" if "secrets" in path else f"the name `{shown(str(path[-1]))}`"
    return Problem(
        code=error["type"],
        message=f"{subject} {text}",
        hint=hint,
        location=document.key_place(path),
        server=_server(path),
    )


def _unknown_key(document: Document, path: Path) -> Problem:
    key, place, server = str(path[-1]), document.key_place(path), _server(path)
    allowed = allowed_keys(path[:-1])
    near = _near_key(path)
    hint = f"did you mean `{near}`?" if near else f"known here: {', '.join(f'`{name}`' for name in allowed)}"
    where = f" in `{key_path(path[:-1])}`" if path[:-1] else ""
    return Problem(
        code="unknown-key",
        message=f"the key `{shown(key)}` is unknown{where}",
        hint=hint,
        location=place,
        server=server,
    )


def _missing(document: Document, path: Path) -> Problem:
    key, parent = str(path[-1]), path[:-1]
    where = f" in `{key_path(parent)}`" if parent else ""
    return Problem(
        code="missing-key",
        message=f"`{key}` is missing{where}",
        hint=_MISSING_HINTS.get(key, f"add `{key}`"),
        location=document.key_place(parent),
        server=_server(path),
    )


def _bad_value(document: Document, path: Path, error: ErrorDetails) -> Problem:
    code, text, hint = _explanation(path, error)
    return Problem(
        code=code,
        message=f"`{key_path(path) or document.file}` {text}",
        hint=hint,
        # The parser places an empty value behind the line breaks that follow it.
        location=document.key_place(path) if _shows_its_key(path, error) else document.place(path),
        server=_server(path),
    )


def _shows_its_key(path: Path, error: ErrorDetails) -> bool:
    """What a server as a whole lacks is shown at its name, and an empty value at its key."""
    return error["input"] is None or (error["type"] in _OF_THE_WHOLE and bool(path))


def _explanation(path: Path, error: ErrorDetails) -> tuple[str, str, str]:
    """Code, predicate and hint of a value that does not fit."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if "text" in context:
        return kind, *_custom_text(error)
    if _is_secret(path):
        return "unencrypted-secret", "is not encrypted", "encrypt the file with `sops encrypt --in-place`"
    if value is None:
        return "empty-value", "has no value", "give it one, or remove the key"
    if kind == "string_type":
        return "not-text", f"must be text, not {describe(value)}", _text_hint(path, value)
    if kind in _WANTED:
        return "wrong-type", f"must be {_WANTED[kind]}, not {describe(value)}", _FORMS[_WANTED[kind]]
    return _limit_explanation(kind, context)


def _limit_explanation(kind: str, context: Mapping[str, Any]) -> tuple[str, str, str]:
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "`")
        return "unknown-choice", f"must be {expected}", "write one of them as it stands here"
    if kind == "greater_than_equal":
        return "out-of-range", f"must be at least {context['ge']}", "raise it"
    if kind == "greater_than":
        return "out-of-range", f"must be more than {context['gt']:g}", "raise it, or remove the key"
    if kind == "less_than_equal":
        return "out-of-range", f"must be at most {context['le']}", "lower it"
    if kind == "too_short":
        return "empty-value", "must not be empty", "add an item, or remove the key"
    return "wrong-type", "does not fit", "see `schemas/README.md` for its form"


def _custom_text(error: ErrorDetails) -> tuple[str, str]:
    context = error.get("ctx", {})
    return str(context.get("text", "must be plain text")), str(context.get("hint", ""))


def _text_hint(path: Path, value: object) -> str:
    if path[-1:] and path[-1] in _DURATION_KEYS:
        return "write a whole number and a unit: `30s`, `5m` or `1h`"
    return "put it in quotes" if isinstance(value, int | float) else "write it on one line, or after `|`"


def describe(value: Value | object) -> str:
    """The kind of a value, without the value."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "a mapping" if isinstance(value, dict) else "nothing"


def _is_secret(path: Path) -> bool:
    return len(path) == 4 and path[0] == "servers" and path[2] == "secrets"


def _server(path: Path) -> str:
    return shown(str(path[1])) if len(path) > 1 and path[0] == "servers" else ""
