"""Which executable of a package is the server.

A package often has several (`setup` and `remove` beside the server), so nothing is guessed: the manifest's word, or a
rule that leaves one.
"""

import re
from collections.abc import Mapping

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.package import PackageRef, Registry
from gateway.adapter.projects import Project


def choose_executable(package: PackageRef | Project, executables: Mapping[str, str], wanted: str | None) -> str:
    """The name of the server's executable among `executables` (name -> target). Raises AdapterFailure.

    In order: the one asked for; the one named like the package (PyPI: names normalised); the only one; any, when all
    are the same program; for PyPI the only one with "mcp" in its name.
    """
    if not executables:
        raise AdapterFailure(Cause.NO_EXECUTABLE, f"{package} has no {_kind(package)}: it is a library, not a server")
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


def _kind(package: PackageRef | Project) -> str:
    if not isinstance(package, PackageRef):
        return "bin in a package.json and no script in a pyproject.toml"
    return "bin in its package.json" if package.registry is Registry.NPM else "console script of its own"


def _by_rule(package: PackageRef | Project, executables: Mapping[str, str]) -> str | None:
    names = sorted(executables)
    if len(names) == 1:
        return names[0]
    own_name = package.unscoped_name if isinstance(package, PackageRef) else package.name
    alike = [name for name in names if _normal(name) == _normal(own_name)]
    if alike:
        return alike[0]
    if len(set(executables.values())) == 1:
        return names[0]
    with_mcp = [name for name in names if "mcp" in name.lower()]
    is_npm = isinstance(package, PackageRef) and package.registry is Registry.NPM
    return with_mcp[0] if not is_npm and len(with_mcp) == 1 else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _list(executables: Mapping[str, str]) -> str:
    return ", ".join(sorted(executables))
