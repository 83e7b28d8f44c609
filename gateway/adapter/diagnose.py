"""Tell from the exit status and the last lines of standard error why a server ended before it could answer.

The texts are those of real servers; where several patterns fit, the one that a user can act on wins. The line that
shows the cause is quoted, because bridges that bury it under their own traceback are the most frequent complaint of
this field.
"""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.adapter.causes import AdapterFailure, Cause

_VARIABLE = r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"
_NEED = (
    r"required|missing|not (?:been )?set|must be|undefined|not provided|not found|environment variable"
    r"|please (?:set|provide)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A pattern of one line of standard error and the cause that it shows."""

    cause: Cause
    pattern: re.Pattern[str]
    hint: str = ""


def _rule(cause: Cause, pattern: str, *, flags: int = re.IGNORECASE, hint: str = "") -> Rule:
    return Rule(cause=cause, pattern=re.compile(pattern, flags), hint=hint)


_DRIFT_HINT = "the installed dependencies do not fit this version; see resolve_as_of"
_RULES = (
    _rule(Cause.OUT_OF_MEMORY, r"heap out of memory|\bMemoryError\b|Cannot allocate memory"),
    _rule(Cause.PORT_IN_USE, r"EADDRINUSE|address already in use"),
    _rule(Cause.MISSING_VARIABLE, rf"(?-i:{_VARIABLE}).*(?:{_NEED})|(?:{_NEED}).*(?-i:{_VARIABLE})"),
    _rule(Cause.MISSING_VARIABLE, r"(?:API[ _-]?key|access token|credentials?)\b.*(?:required|missing|not set)"),
    _rule(
        Cause.CRASH_LOOP,
        r"^(?:\w+\.)*(?:ImportError|ModuleNotFoundError|AttributeError|TypeError)\b"
        r"|ERR_MODULE_NOT_FOUND|Cannot find module",
        hint=_DRIFT_HINT,
    ),
    _rule(
        Cause.RUNTIME_UNAVAILABLE,
        r"error while loading shared libraries|cannot open shared object file|libodbc",
        hint="a system library is missing",
    ),
    _rule(
        Cause.MISSING_ARGUMENTS,
        r"^usage\b|^\s*usage:|arguments? (?:is|are) required|required.*argument|missing.*argument",
    ),
    _rule(Cause.MISSING_ARGUMENTS, r"please provide|must (?:provide|specify)|no .{1,40} (?:provided|specified)"),
)
_REMARK = re.compile(
    r"\b(?:warn(?:ing)?s?|optional(?:ly)?|disabled|deprecat\w*|opt[- ]out|not required|fall(?:ing|s)? ?back"
    r"|using default|skipp(?:ed|ing)|telemetry)\b",
    re.IGNORECASE,
)
"""What only says what goes without, such as an optional key, before something else ends the server."""
_ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception)\b")
"""An error that nobody caught: the end of a traceback in Python, the line behind the arrow in Node."""
_KILLED = -signal.SIGKILL
_USAGE_STATUS = 2


def diagnose_exit(status: int, lines: Sequence[str]) -> AdapterFailure:
    """The cause of an exit before the first answer; a negative status is a signal, `lines` are the last of stderr."""
    clear = [line for line in lines if not _REMARK.search(line)]
    errors = [line for line in clear if _ERROR.search(line)]
    for rule in _RULES:
        shown = next((line for line in (clear if errors else lines) if rule.pattern.search(line)), None)
        if shown is not None:
            return _failure(rule.cause, status, shown, rule.hint)
    if status == _KILLED:
        return AdapterFailure(
            Cause.OUT_OF_MEMORY, "the server was killed by the system, most likely for its memory use"
        )
    last = next((line.strip() for line in reversed(errors or lines) if line.strip()), "")
    if status == _USAGE_STATUS:
        return _failure(Cause.MISSING_ARGUMENTS, status, last, "")
    cause = Cause.NOT_AN_MCP_SERVER if status == 0 else Cause.CRASH_LOOP
    return _failure(cause, status, last or "it wrote nothing on standard error", "")


def _failure(cause: Cause, status: int, line: str, hint: str) -> AdapterFailure:
    ending = f"signal {-status}" if status < 0 else f"status {status}"
    suffix = f" ({hint})" if hint else ""
    return AdapterFailure(
        cause, f"the server ended with {ending} before its first answer: {line.strip()[:400]}{suffix}"
    )
