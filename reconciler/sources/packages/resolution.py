"""Whether the dependencies of a PyPI package can still be had, found out without installing anything.

A package can be pinned and well, and yet nobody can install it, because a version that it depends on was removed. uv
resolves it here as the adapter will, as of the same day. Nothing is built: a build runs the code of strangers where
this program runs, and a package that cannot be resolved without one is left to its machine.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio.to_thread
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from uv import find_uv_bin

from reconciler.core.releases import Release
from reconciler.errors import SourceError, Unavailable

TIMEOUT_S: Final = 60.0
KEEP_FOR: Final = timedelta(days=1)
MARGIN: Final = timedelta(days=1)
"""After the publication, as the adapter allows for dependencies that were published together with the package."""
_PYTHONS: Final = ("3.13", "3.12", "3.11", "3.14", "3.10", "3.15", "3.9", "3.8")
"""In the order in which the runner prefers them."""
_NO_SOLUTION: Final = "No solution found"
_NEEDS_BUILD: Final = ("building from source is disabled", "no usable wheels", "no pre-built wheels", "Building source")
_NOISE: Final = re.compile(r"[^\w\s]?╰─▶|\b(?:hint|error|cause):|when resolving dependencies:?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What is to be resolved."""

    release: Release
    as_of: datetime | None
    """None resolves as of today."""

    @property
    def key(self) -> tuple[str, ...]:
        day = self.as_of.isoformat() if self.as_of else "today"
        return ("resolution", str(self.release.package), day)


def resolution_of(release: Release, wanted: str) -> Resolution:
    """As of when the adapter resolves: what the manifest says, else a day after the publication."""
    if wanted == "latest":
        return Resolution(release=release, as_of=None)
    if wanted:
        return Resolution(release=release, as_of=datetime.fromisoformat(wanted).replace(tzinfo=UTC))
    published = release.published_at
    return Resolution(release=release, as_of=published + MARGIN if published else None)


async def fault_of(resolution: Resolution, environment: Mapping[str, str]) -> str:
    """Why the dependencies cannot be had, in uv's words; empty where they can, or where only a build would tell.

    Raises:
        Unavailable: the index does not answer.
    """
    finished = await anyio.to_thread.run_sync(_compile, resolution, dict(environment))
    if finished.returncode == 0:
        return ""
    text = " ".join(finished.stderr.split())
    if any(mark in text for mark in _NEEDS_BUILD):
        return ""
    if _NO_SOLUTION not in text:
        raise Unavailable(
            "registry-unavailable",
            f"uv cannot resolve {resolution.release.package} now",
            hint="nothing is known about its dependencies; `uv pip compile` says why",
        )
    return _reason(text)


def refusal(release: Release, fault: str) -> SourceError:
    """The error for a package whose dependencies are gone."""
    return SourceError(
        "cannot-be-resolved",
        f"the dependencies of {release.package} cannot be had: {fault}",
        hint="choose another version, or another day with `resolve_as_of`",
    )


def _compile(resolution: Resolution, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    release = resolution.release
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build"]
    command += ["--python-version", _python_for(release.runtime), "--color", "never"]
    if resolution.as_of is not None:
        command += ["--exclude-newer", resolution.as_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")]
    try:
        return subprocess.run(
            [*command, "-"],
            input=f"{release.package.name}=={release.package.version}\n",
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable("registry-unavailable", f"uv does not resolve {release.package} in time") from error


def _python_for(runtime: str) -> str:
    try:
        wanted = SpecifierSet(runtime)
    except InvalidSpecifier:
        return _PYTHONS[0]
    fitting = (python for python in _PYTHONS if wanted.contains(f"{python}.20") or wanted.contains(f"{python}.0"))
    return next(fitting, _PYTHONS[0])


def _reason(text: str) -> str:
    """The first sentence of the explanation, of bounded length."""
    words = " ".join(_NOISE.sub(" ", text.partition(_NO_SOLUTION)[2]).split())
    reason = words.partition(". ")[0].rstrip(".") or "uv finds no solution"
    return reason if len(reason) <= 300 else f"{reason[:299]}…"
