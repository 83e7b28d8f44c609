"""Which executable of a package is the server.

A package often has several (`setup` and `remove` beside the server), so nothing is guessed: the manifest's word, or a
rule that leaves one.
"""

import re
from collections.abc import Mapping

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.package import PackageRef, Registry


def choose_executable(package: PackageRef, executables: Mapping[str, str], wanted: str | None) -> str:
    """The name of the server's executable among `executables` (name -> target). Raises AdapterFailure.

    In order: the one asked for; the one named like the package (PyPI: names normalised); the only one; any, when all
    are the same program; for PyPI the only one with "mcp" in its name.
    """
    if not executables:
        kind = "bin in its package.json" if package.registry is Registry.NPM else "console script of its own"
        raise AdapterFailure(Cause.NO_EXECUTABLE, f"{package} has no {kind}: it is a library, not a server")
    if wanted is not None:
        if wanted in executables:
            return wanted
        raise AdapterFailure(
            Cause.NO_EXECUTABLE, f"{package} has no executable {wanted!r}; it has {_list(executables)}"
        )
    chosen = _by_rule(package, executables)
    if chosen is None:
        text = f"{package} has several executables: {_list(executables)}; name one as entrypoint"
        raise AdapterFailure(Cause.NO_EXECUTABLE, text)
    return chosen


def _by_rule(package: PackageRef, executables: Mapping[str, str]) -> str | None:
    names = sorted(executables)
    if len(names) == 1:
        return names[0]
    alike = [name for name in names if _normal(name) == _normal(package.unscoped_name)]
    if alike:
        return alike[0]
    if len(set(executables.values())) == 1:
        return names[0]
    with_mcp = [name for name in names if "mcp" in name.lower()]
    return with_mcp[0] if package.registry is Registry.PYPI and len(with_mcp) == 1 else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _list(executables: Mapping[str, str]) -> str:
    return ", ".join(sorted(executables))
