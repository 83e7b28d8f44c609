"""Reads a log and names the root cause, the one line that shows it, and what to do. Pure, and never fails.

The adapter ends every failed start with a verdict of its own. Where it is specific it is believed, and the rules only
find the line; where it says no more than that the server ended, the rules decide. A log may tell of several starts:
only the newest one counts. What comes back is always a piece of the log itself.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import re2  # type: ignore[import-untyped]  # A compiled module that ships no types; `_Set` states what is used.

from reconciler.core.log_causes_rules import FIXES, RULES, LogCause

MOST_LINES: Final = 1000
LONGEST_LINE: Final = 500
"""Characters that are looked at and given back."""
_VERDICT: Final = '{"catwalk": "failed"'
_VERDICT_DENSE: Final = '{"catwalk":"failed"'
_VAGUE: Final = frozenset({LogCause.CRASH_LOOP, LogCause.TIMEOUT, LogCause.INSTALL_FAILED, LogCause.NOT_AN_MCP_SERVER})
"""Verdicts that say that it broke and not yet why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a server does not run."""

    cause: LogCause
    line: str
    """The line of the log that shows it, without the space around it."""
    fix: str
    """The next thing to do, a sentence without its full stop."""


def explain(lines: Sequence[str]) -> Explanation | None:
    """The cause that the newest start in a log shows, oldest line first; none where no line shows one.

    `lines` have passed redaction: what comes back is a piece of one of them. Time grows with the text, and no text
    raises.
    """
    start, verdict = _newest_start(lines[-MOST_LINES:])
    told = _cause_of(verdict)
    found = _by_rules(start, told)
    if found is not None and (told is None or told in _VAGUE or found.cause is told):
        return _less_vague(found, told)
    return None if told is None else _explanation(told, verdict)


def _newest_start(lines: Sequence[str]) -> tuple[Sequence[str], str]:
    """The lines of the newest start, and the adapter's verdict on it; empty where it has not ended or was none."""
    verdicts = [place for place, line in enumerate(lines) if line.lstrip().startswith((_VERDICT, _VERDICT_DENSE))]
    if not verdicts:
        return lines, ""
    last = verdicts[-1]
    first = verdicts[-2] + 1 if len(verdicts) > 1 else 0
    later = lines[last + 1 :]
    if any(not line.lstrip().startswith('{"catwalk"') for line in later):
        return later, ""
    return lines[first:last], lines[last]


def _cause_of(verdict: str) -> LogCause | None:
    try:
        said: object = json.loads(verdict)
    except (ValueError, RecursionError):
        return None
    cause = cast("dict[str, object]", said).get("cause") if isinstance(said, dict) else None
    return _CAUSES.get(cause) if isinstance(cause, str) else None


def _by_rules(lines: Sequence[str], told: LogCause | None) -> Explanation | None:
    """The best line by the order of the rules; with a specific verdict only rules of that cause speak."""
    first: dict[int, str] = {}
    last: dict[int, str] = {}
    for line in lines:
        for rule in _set.Match(_bytes(line)) or ():
            first.setdefault(rule, line)
            last[rule] = line
    wanted = [number for number in first if told is None or told in _VAGUE or RULES[number].cause is told]
    if not wanted:
        return None
    best = min(wanted)
    return _explanation(RULES[best].cause, last[best] if RULES[best].newest else first[best])


def _less_vague(found: Explanation, told: LogCause | None) -> Explanation:
    """A vague verdict is still better than rules that only know that something broke.

    One exception: a server that is waited for in vain and writes other things meanwhile is no MCP server.
    """
    broke = {LogCause.CRASH_LOOP} if told is LogCause.TIMEOUT else {LogCause.CRASH_LOOP, LogCause.NOT_AN_MCP_SERVER}
    if told is not None and told in _VAGUE and found.cause in broke:
        return Explanation(cause=told, line=found.line, fix=FIXES[told])
    return found


def _explanation(cause: LogCause, line: str) -> Explanation:
    return Explanation(cause=cause, line=line.strip()[:LONGEST_LINE], fix=FIXES[cause])


def _bytes(line: str) -> bytes:
    return line[:LONGEST_LINE].encode("utf-8", errors="replace")


class _Set(Protocol):
    def Add(self, pattern: str, /) -> int: ...  # noqa: N802  # RE2's own name.

    def Compile(self) -> None: ...  # noqa: N802  # RE2's own name.

    def Match(self, text: bytes, /) -> Sequence[int] | None: ...  # noqa: N802  # RE2's own name.


class _SetMaker(Protocol):
    SearchSet: Callable[[], _Set]


class _Library(Protocol):
    Set: _SetMaker


def _compiled() -> _Set:
    """All patterns as one automaton, so that each line is read once; a match is the place of its rule."""
    compiled = cast("_Library", re2).Set.SearchSet()
    for rule in RULES:
        compiled.Add(rule.pattern)
    compiled.Compile()
    return compiled


_set: Final = _compiled()
_CAUSES: Final = {cause.value: cause for cause in LogCause}
