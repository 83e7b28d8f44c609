"""Reads a log and names the root cause, the one line that shows it, and what to do. Pure, and never fails.

The adapter ends every failed start with a verdict of its own. Where it is specific it is believed, and the rules only
find the line; where it says no more than that the server ended, the rules decide. A log may tell of several starts:
only the newest one counts. What comes back is always a piece of the log itself, without colours. What the adapter says
of its own work shows no cause: it repeats commands and addresses.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import re2  # type: ignore[import-untyped]  # A compiled module that ships no types; `_Set` states what is used.

from reconciler.core.log_causes_rules import ASIDE, FIXES, RULES, LogCause

MOST_LINES: Final = 1000
LONGEST_LINE: Final = 500
"""Characters that are looked at and given back."""
_VERDICT: Final = '{"catwalk": "failed"'
_VERDICT_DENSE: Final = '{"catwalk":"failed"'
_OWN: Final = '{"catwalk"'
_NOISE: Final = '{"catwalk": "stdout-noise"'
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]")
"""Control sequences of terminals (ECMA-48, 5.4)."""
_VAGUE: Final = frozenset({LogCause.CRASH_LOOP, LogCause.TIMEOUT, LogCause.NOT_AN_MCP_SERVER})
"""Verdicts that say that it broke and not yet why."""
_REFINED: Final = {
    LogCause.INSTALL_FAILED: frozenset(
        {
            LogCause.RUNTIME_UNAVAILABLE,
            LogCause.INTEGRITY_MISMATCH,
            LogCause.REGISTRY_UNAVAILABLE,
            LogCause.OUT_OF_MEMORY,
            LogCause.DISK_FULL,
        }
    ),
    LogCause.REGISTRY_UNAVAILABLE: frozenset({LogCause.BAD_TOKEN}),
}
"""Verdicts of the installation, and what a line may say in their place. That a package is not there the adapter knows
by itself: where it says otherwise, such a line is about a dependency."""
_WORN: Final = frozenset({LogCause.PACKAGE_NOT_FOUND, LogCause.VERSION_NOT_FOUND})


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
    start, verdict = _newest_start([_plain(line) for line in lines[-MOST_LINES:]])
    told = _cause_of(verdict)
    found = _by_rules(start, told)
    if found is None and told is not None and told in _REFINED:
        found = _by_rules([verdict], told)
    if found is not None:
        return _less_vague(found, told)
    return None if told is None else _explanation(told, verdict)


def _plain(line: str) -> str:
    return _COLOURS.sub("", line) if "\x1b" in line else line


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
    """The best line by the order of the rules; remarks count only where nothing else does."""
    matches = [(line, tuple(rules)) for line in lines if (rules := _rules_of(line, told))]
    clear = [(line, rules) for line, rules in matches if not _aside.search(_bytes(line))]
    for each in (clear, matches):
        if each:
            best = min(min(rules) for _, rules in each)
            shown = [line for line, rules in each if best in rules]
            return _explanation(RULES[best].cause, shown[-1] if RULES[best].newest else shown[0])
    return None


def _rules_of(line: str, told: LogCause | None) -> Sequence[int]:
    """The rules that find a line, of those that may speak after the verdict."""
    if line.lstrip().startswith(_OWN) and not line.startswith((_NOISE, _VERDICT, _VERDICT_DENSE)):
        return ()
    return [rule for rule in _set.Match(_bytes(line)) or () if _may_speak(RULES[rule].cause, told)]


def _may_speak(cause: LogCause, told: LogCause | None) -> bool:
    if told is None or told in _VAGUE or cause is told:
        return True
    return cause in _REFINED.get(told, ()) or (told is LogCause.INSTALL_FAILED and cause in _WORN)


def _less_vague(found: Explanation, told: LogCause | None) -> Explanation:
    """A vague verdict is still better than rules that only know that something broke.

    One exception: a server that is waited for in vain and writes other things meanwhile is no MCP server.
    """
    broke = {LogCause.CRASH_LOOP} if told is LogCause.TIMEOUT else {LogCause.CRASH_LOOP, LogCause.NOT_AN_MCP_SERVER}
    worse = broke if told in _VAGUE else _WORN if told is LogCause.INSTALL_FAILED else frozenset[LogCause]()
    if told is not None and found.cause in worse:
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


class _Pattern(Protocol):
    def search(self, text: bytes, /) -> object: ...


class _Library(Protocol):
    Set: _SetMaker
    compile: Callable[[str], _Pattern]


def _compiled() -> _Set:
    """All patterns as one automaton, so that each line is read once; a match is the place of its rule."""
    compiled = cast("_Library", re2).Set.SearchSet()
    for rule in RULES:
        compiled.Add(rule.pattern)
    compiled.Compile()
    return compiled


_set: Final = _compiled()
_aside: Final = cast("_Library", re2).compile(ASIDE)
_CAUSES: Final = {cause.value: cause for cause in LogCause}
