"""From exceptions to problems, at the edges of the loop.

An error of the tree explains itself and has passed redaction. Anything else is a fault of Catwalk, and its text may
quote what it choked on: a secret, for example. So an unexpected exception is named by its type and its place in our
code, and its message and arguments are never shown or logged.
"""

import traceback
from collections.abc import Iterator

from reconciler.core.problems import Problem, Remedy
from reconciler.errors import CatwalkError, InvalidManifests

CRASH_CODE = "internal"
"""The code of a problem that is a fault of Catwalk itself."""


def problems_of(error: Exception) -> tuple[Problem, ...]:
    """Every problem that an exception stands for; groups are opened, and a manifest tells all its mistakes."""
    return tuple(_problems(error))


def _problems(error: BaseException) -> Iterator[Problem]:
    match error:
        case BaseExceptionGroup():
            for member in error.exceptions:  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
                yield from _problems(member)  # pyright: ignore[reportUnknownArgumentType]
        case InvalidManifests():
            yield from error.problems
        case CatwalkError():
            yield error.problem
        case _:
            yield _crash(error)


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
    if not isinstance(error, BaseExceptionGroup):
        return own
    members: tuple[BaseException, ...] = error.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return "\n".join([own, *(f"{type(member).__name__}:\n{stack_of(member)}" for member in members)])


def crashed(problems: tuple[Problem, ...]) -> bool:
    """Whether Catwalk itself failed, as against the world around it."""
    return any(problem.code == CRASH_CODE for problem in problems)
