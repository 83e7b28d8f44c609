"""What `catwalk validate` checks, and what it finds.

It looks at files as they lie in a directory, committed or not, because it is asked before a commit. A registry that
does not answer and a key that is not here prevent a check and prove nothing: they are said as warnings.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import PackageReference, ServerSpec
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sops.services.configured import key_environment
from reconciler.sources.git import WorktreeSource
from reconciler.sources.manifests import read_manifests
from reconciler.sources.packages import PackageCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found."""

    problem: Problem
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What to check."""

    directory: Path
    offline: bool = False
    key_environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


async def validate_directory(validation: Validation) -> list[Finding]:
    """Everything that is wrong under one directory, each with its place relative to where the command runs."""
    source = WorktreeSource(directory=validation.directory)
    try:
        files = await source.files(await source.head())
        manifests = read_manifests(files)
    except InvalidManifests as error:
        return [_placed(validation, Finding(problem=problem, is_error=True)) for problem in error.problems]
    except CatwalkError as error:
        return [Finding(problem=error.problem, is_error=True)]
    found = [Finding(problem=warning, is_error=False) for warning in manifests.warnings]
    found += [finding async for finding in _secret_findings(manifests, files, validation)]
    if not validation.offline:
        found += [finding async for finding in _package_findings(manifests)]
    return [_placed(validation, finding) for finding in found]


async def _secret_findings(
    manifests: ManifestSet, files: Mapping[str, bytes], validation: Validation
) -> AsyncGenerator[Finding]:
    identities = load_identities(key_environment(validation.key_environment))
    reader = ServerSecrets(identities)
    for spec in manifests.specs:
        try:
            await reader.read(spec, files)
        except CatwalkError as error:
            yield _finding(error, spec, is_error=_says_something(error, identities))


def _says_something(error: CatwalkError, identities: Identities) -> bool:
    """Without a key only what can be seen without one counts: a missing file, not a missing key."""
    return bool(identities.keys) or error.problem.remedy is Remedy.FIX_SOURCE


async def _package_findings(manifests: ManifestSet) -> AsyncGenerator[Finding]:
    async with PackageCatalog() as catalog:
        for spec in manifests.specs:
            if not isinstance(spec.package, PackageReference):
                continue
            try:
                await catalog.check(spec.package, entrypoint=spec.entrypoint)
            except CatwalkError as error:
                yield _finding(error, spec, is_error=error.problem.remedy is Remedy.FIX_SOURCE)


def _finding(error: CatwalkError, spec: ServerSpec, *, is_error: bool) -> Finding:
    problem = replace(error.problem, server=spec.name, location=error.problem.location or spec.location)
    return Finding(problem=problem, is_error=is_error)


def _placed(validation: Validation, finding: Finding) -> Finding:
    """Places are told from where the person stands, so that editors and terminals can open them."""
    location = finding.problem.location
    if location is None:
        return finding
    file = (validation.directory / location.file).as_posix()
    return replace(finding, problem=replace(finding.problem, location=replace(location, file=file)))
