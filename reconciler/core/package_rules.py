"""What is wrong with the package of a server, judged from the facts that are known about it.

Everything is decided here and nothing is asked: the facts come from a registry, a lock, the official MCP registry or
Catwalk's own table. Refused is what cannot start; what may start and should still be looked at is advice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from packaging.utils import canonicalize_name

from reconciler.core.executables import executable_problem
from reconciler.core.findings import Finding
from reconciler.core.lock_rules import lock_findings
from reconciler.core.lookalikes import lookalike_of
from reconciler.core.problems import Problem
from reconciler.core.releases import Release
from reconciler.core.runtimes import fits, offered
from reconciler.core.types import PackageReference, Registry, ServerSpec
from reconciler.core.well_known import REQUIRED_VARIABLES

YOUNG: Final = timedelta(days=30)
"""A package that is younger has not been looked at by many: most malicious ones are found within that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFacts:
    """What is known about the package of one server besides its manifest."""

    release: Release | None = None
    """None where no registry was asked."""
    required_variables: tuple[str, ...] = ()
    """Of the official registry's `server.json`."""


def package_findings(spec: ServerSpec, facts: PackageFacts, now: datetime) -> Iterator[Finding]:
    """Everything that is found about the program of one server, what stands in the way first."""
    found = [*lock_findings(spec, facts.release)]
    if isinstance(spec.package, PackageReference):
        found += _findings(spec, spec.package, facts, now)
    for finding in sorted(found, key=lambda finding: not finding.is_error):
        place = finding.problem.location or spec.program_location or spec.location
        yield replace(finding, problem=replace(finding.problem, server=spec.name, location=place))


def _findings(spec: ServerSpec, package: PackageReference, facts: PackageFacts, now: datetime) -> Iterator[Finding]:
    yield from _likeness(package, facts.release, now)
    yield from _missing_variables(spec, package, facts.required_variables)
    if facts.release is not None:
        yield from _executable(spec, facts.release)
        yield from _runtime(facts.release)
        yield from _withdrawn(facts.release)


def _likeness(package: PackageReference, release: Release | None, now: datetime) -> Iterator[Finding]:
    young = release is not None and release.package_since is not None and now - release.package_since < YOUNG
    known = lookalike_of(package)
    if known:
        age = f", and is younger than {YOUNG.days} days" if young else ""
        message = f"{package.registry}:{package.name} looks like the well-known {known} and is another package{age}"
        hint = f"write `{known}` if that is meant; else see who publishes this one"
        yield Finding(problem=Problem(code="package-lookalike", message=message, hint=hint), is_error=young)
    elif young:
        message = f"{package.registry}:{package.name} exists for fewer than {YOUNG.days} days"
        hint = "see who publishes it and what others say about it before it gets your credentials"
        yield _advice("package-young", message, hint)


def required_variables(package: PackageReference) -> tuple[str, ...]:
    """The variables without which a well-known server does not start."""
    name = package.name if package.registry is Registry.NPM else str(canonicalize_name(package.name))
    return REQUIRED_VARIABLES.get((package.registry, name), ())


def _missing_variables(spec: ServerSpec, package: PackageReference, stated: Iterable[str]) -> Iterator[Finding]:
    present = {*spec.environment, *spec.secret_names}
    for name in dict.fromkeys((*required_variables(package), *stated)):
        if name not in present:
            message = f"{package.registry}:{package.name} does not start without {name}"
            hint = f"run `catwalk secrets set {spec.name} {name}`, or give it in `env` if it is no secret"
            yield _refusal("missing-variable", message, hint)


def _executable(spec: ServerSpec, release: Release) -> Iterator[Finding]:
    if release.executables is None or spec.command:
        return
    if problem := executable_problem(release.package, release.executables, spec.entrypoint):
        yield Finding(problem=problem, is_error=True)


def _runtime(release: Release) -> Iterator[Finding]:
    registry = release.package.registry
    if not fits(registry, release.runtime):
        key = "engines.node" if registry is Registry.NPM else "requires-python"
        message = f"{release.package} needs {key} {release.runtime}, which no runner has"
        yield _refusal("runtime-unavailable", message, f"choose a version for one of: {offered(registry)}")


def _withdrawn(release: Release) -> Iterator[Finding]:
    if release.deprecated:
        message = f"{release.package} is deprecated: {_sentence(release.deprecated)}"
        yield _advice("package-deprecated", message, "choose what its author recommends instead")
    if release.yanked:
        reason = "" if release.yanked == "-" else f": {_sentence(release.yanked)}"
        hint = f"choose another version; the newest is {release.newest}" if release.newest else "choose another version"
        yield _advice("version-yanked", f"{release.package} was withdrawn by its author{reason}", hint)


def _sentence(text: str) -> str:
    """A stranger's text on one line, and not too long for it."""
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"


def _refusal(code: str, message: str, hint: str) -> Finding:
    return Finding(problem=Problem(code=code, message=message, hint=hint), is_error=True)


def _advice(code: str, message: str, hint: str) -> Finding:
    return Finding(problem=Problem(code=code, message=message, hint=hint), is_error=False)
