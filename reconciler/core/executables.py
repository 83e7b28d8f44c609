"""Which executable of a package is the server, decided as the adapter decides it in the machine.

Nothing is guessed beyond its rules, because the siblings of a server are often called `setup` and `remove`.
"""

import re
from collections.abc import Mapping

from reconciler.core.problems import Problem
from reconciler.core.types import PackageReference, Registry


def chosen_executable(package: PackageReference, executables: Mapping[str, str], wanted: str) -> str:
    """The executable that runs; empty where the rules leave none.

    In order: the one asked for; the only one; the one named like the package; any, where all start the same program;
    for PyPI the only one with `mcp` in its name.
    """
    if wanted:
        return wanted if wanted in executables else ""
    names = sorted(executables)
    if len(names) == 1:
        return names[0]
    alike = [name for name in names if _normal(name) == _normal(package.name.rsplit("/", 1)[-1])]
    if alike:
        return alike[0]
    if len(set(executables.values())) == 1:
        return names[0]
    with_mcp = [name for name in names if "mcp" in name.lower()]
    return with_mcp[0] if package.registry is Registry.PYPI and len(with_mcp) == 1 else ""


def executable_problem(package: PackageReference, executables: Mapping[str, str], wanted: str) -> Problem | None:
    """Why nothing of a package can be run; None where an executable is chosen."""
    if not executables:
        missing = "its package.json names no bin" if package.registry is Registry.NPM else "it has no console script"
        return Problem(
            code="no-executable",
            message=f"{package} has no executable: {missing}",
            hint="it is a library, not a server; look for the package that runs it",
        )
    if chosen_executable(package, executables, wanted):
        return None
    named = ", ".join(sorted(executables))
    if wanted:
        return Problem(code="no-executable", message=f"{package} has no executable {wanted}", hint=f"it has {named}")
    return Problem(
        code="no-executable",
        message=f"{package} has several executables, and none is named like the package",
        hint=f"choose one with `entrypoint`: {named}",
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
