"""Install with uv as of a date, and with as few exceptions as possible where that date cannot be kept.

A package may pin a dependency that its index lists with a later upload time (a mirror's own times, a release that was
uploaded again). uv then names the dependency and its time; only that dependency gets a later limit. When that does not
help, the date is given up, which the log says.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from gateway.adapter.install.context import InstallContext
from gateway.adapter.install.dates import resolve_date
from gateway.adapter.install.process import Finished
from gateway.adapter.install.uv import find_uv
from gateway.adapter.options import PUBLISHED

_MAX_ROUNDS = 10
_FILTERED = re.compile(
    r"`([A-Za-z0-9._-]+)` was filtered by `exclude-newer`[^`]*?was published at (\d{4}-\d\d-\d\dT[0-9:.]+Z)"
)


async def install_as_of(context: InstallContext, python: Path, requirement: str, date: str | None) -> Finished:
    """Install a requirement into the environment of `python`, as of an RFC 3339 instant. Raises AdapterFailure."""
    exceptions: dict[str, str] = {}
    finished = await _install(context, python, requirement, _limits(date, exceptions))
    for _ in range(_MAX_ROUNDS):
        found = later_releases(finished.text)
        if finished.status == 0 or date is None or found.items() <= exceptions.items():
            break
        exceptions |= found
        context.log.event("dependency-is-newer", limits=exceptions)
        finished = await _install(context, python, requirement, _limits(date, exceptions))
    if finished.status != 0 and date is not None and context.resolve_as_of == PUBLISHED:
        context.log.event("date-given-up", package=requirement, dependencies_as_of="today")
        finished = await _install(context, python, requirement, [])
    return finished


def later_releases(text: str) -> dict[str, str]:
    """The dependencies that uv left out for their date, each with a limit that admits it."""
    return {name: resolve_date(PUBLISHED, published) or published for name, published in _FILTERED.findall(text)}


def _limits(date: str | None, exceptions: dict[str, str]) -> list[str]:
    if date is None:
        return []
    pairs = [part for name, limit in exceptions.items() for part in ("--exclude-newer-package", f"{name}={limit}")]
    return ["--exclude-newer", date, *pairs]


async def _install(context: InstallContext, python: Path, requirement: str, limits: Sequence[str]) -> Finished:
    return await context.install(
        [find_uv(), "pip", "install", "--python", str(python), "--compile-bytecode", *limits, requirement]
    )
