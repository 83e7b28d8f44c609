"""From exceptions to problems, at the edges of the loop.

An error of the tree explains itself and has passed redaction. Anything else is a fault of Catwalk, and its text may
quote what it choked on: a secret, for example. So an unexpected exception is named by its type and its place in our
code, and its message and arguments are never shown or logged.
"""

import traceback
from collections.abc import Iterator
from typing import cast

from reconciler.core.problems import Problem, Remedy
from reconciler.errors import CatwalkError, InvalidManifests

CRASH_CODE = "internal"
"""The code of a problem that is a fault of Catwalk itself."""


def problems_of(error: Exception) -> tuple[Problem, ...]:
    """Every problem that an exception stands for; groups are opened, and a manifest tells all its mistakes."""
    return tuple(_problems(error))


def _problems(error: BaseException) -> Iterator[Problem]:
    if isinstance(error, InvalidManifests):
        yield from error.problems
    elif isinstance(error, CatwalkError):
        yield error.problem
    elif not (members := _members(error)):
        yield _crash(error)
    else:
        for member in members:
            yield from _problems(member)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """What a group holds, which is never nothing; empty for an exception that is no group."""
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def _crash(error: BaseException) -> Problem:
    return Problem(
        code=CRASH_CODE,
        message=f"Catwalk failed with an unexpected {type(error).__name__}{_place(error)}",
        remedy=Remedy.REPORT,
        hint="this is a fault of Catwalk: report it with the log of this pass; the next pass tries again",
    )


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""


def stack_of(error: BaseException) -> str:
    """The frames of a traceback without the exception's own text and without values of variables, for the log."""
    own = "".join(traceback.format_tb(error.__traceback__))
    return "\n".join([own, *(f"{type(member).__name__}:\n{stack_of(member)}" for member in _members(error))])


def crashed(problems: tuple[Problem, ...]) -> bool:
    """Whether Catwalk itself failed, as against the world around it."""
    return any(problem.code == CRASH_CODE for problem in problems)
