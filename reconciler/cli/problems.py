"""How problems look in a terminal and in JSON, and which exit code they give."""

from collections.abc import Iterable
from typing import assert_never

from rich.console import Console
from rich.text import Text

from reconciler.core.problems import Problem, Remedy

NO = 1
"""The answer is "no": an invalid manifest, a failed apply, an unhealthy fleet."""
ENVIRONMENT_FAILED = 3
"""The network, a credential, a port or an API failed."""


def exit_code(problem: Problem) -> int:
    """1 when the source must change, 3 when the surroundings must."""
    match problem.remedy:
        case Remedy.FIX_SOURCE:
            return NO
        case Remedy.FIX_ENVIRONMENT | Remedy.WAIT | Remedy.REPORT:
            return ENVIRONMENT_FAILED
        case _:
            assert_never(problem.remedy)


def print_problems(problems: Iterable[Problem], console: Console) -> None:
    """One block a problem: what, where, and the next thing to do."""
    for problem in problems:
        console.print(problem_text(problem), soft_wrap=True)


def problem_text(problem: Problem) -> Text:
    """`file:line:column: error: message`, as editors and terminals link it, and the hint below."""
    text = Text()
    if problem.location:
        text.append(f"{problem.location}: ", style="bold")
    text.append("error: ", style="bold red")
    subject = f"{problem.server}: " if problem.server and not problem.location else ""
    text.append(f"{subject}{problem.message}")
    text.append(f" [{problem.code}]", style="dim")
    if problem.hint:
        text.append(f"\n  fix: {problem.hint}", style="cyan")
    return text
