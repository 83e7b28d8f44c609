"""Everything about packages that `catwalk validate` finds: what registries say, and what is known without them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from reconciler.core.findings import Finding
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.package_rules import PackageFacts, package_findings
from reconciler.core.problems import Problem, Remedy
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, ServerSpec
from reconciler.errors import CatwalkError
from reconciler.loop.concurrency import each
from reconciler.sources.packages.catalog import system_now

AT_ONCE: Final = 32
"""Servers that are asked about side by side; connections are fewer, and shared."""


class Releases(Protocol):
    """Who knows about releases: the registries, behind one door."""

    async def release(self, reference: PackageReference, *, complete: bool = False) -> Release | None: ...

    async def resolve(self, release: Release, as_of: str = "") -> None: ...

    @property
    def outdated(self) -> tuple[Problem, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSource:
    """Where facts about packages come from."""

    releases: Releases
    required_variables: Callable[[Release], Awaitable[tuple[str, ...]]] | None = None
    """What the official registry says that a server needs; None where it is not asked."""
    resolves: bool = False
    """Whether dependencies are resolved, which takes some seconds for each package that is new to the cache."""
    now: Callable[[], datetime] = system_now


def offline_findings(manifests: ManifestSet) -> list[Finding]:
    """What is known about the programs of a fleet without asking anybody."""
    now = system_now()
    return [finding for spec in manifests.specs for finding in package_findings(spec, PackageFacts(), now)]


async def package_findings_of(manifests: ManifestSet, source: PackageSource) -> list[Finding]:
    """What is known about the programs of a fleet. A registry that does not answer is a warning, and no error."""

    async def look(spec: ServerSpec) -> Sequence[Finding]:
        return await _server_findings(spec, source)

    found = await each(manifests.specs, look, limit=AT_ONCE)
    stale = [Finding(problem=_stale(problem), is_error=False) for problem in source.releases.outdated]
    return [*(finding for findings in found for finding in findings), *stale]


async def _server_findings(spec: ServerSpec, source: PackageSource) -> list[Finding]:
    release, variables, found = None, tuple[str, ...](), list[Finding]()
    if isinstance(spec.package, PackageReference):
        try:
            release = await source.releases.release(spec.package)
        except CatwalkError as error:
            found.append(_failed(error.problem, spec))
        if release is not None and source.resolves:
            found += await _unresolved(spec, release, source)
        if release is not None and source.required_variables is not None:
            variables = await source.required_variables(release)
    facts = PackageFacts(release=release, required_variables=variables)
    return [*found, *package_findings(spec, facts, source.now())]


async def _unresolved(spec: ServerSpec, release: Release, source: PackageSource) -> list[Finding]:
    try:
        await source.releases.resolve(release, spec.resolve_as_of)
    except CatwalkError as error:
        return [_failed(error.problem, spec)]
    return []


def _failed(problem: Problem, spec: ServerSpec) -> Finding:
    placed = replace(problem, server=spec.name, location=problem.location or spec.program_location or spec.location)
    return Finding(problem=placed, is_error=problem.remedy is Remedy.FIX_SOURCE)


def _stale(problem: Problem) -> Problem:
    return replace(problem, hint="what it said before was used instead; run it again when the registry is back")
