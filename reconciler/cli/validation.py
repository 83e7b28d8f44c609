"""What `catwalk validate` checks, and what it finds.

It looks at files as they lie in a directory, committed or not, because it is asked before a commit. A registry that
does not answer and a key that is not here prevent a check and prove nothing: they are said as warnings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.cli.validation_packages import PackageSource, offline_findings, package_findings_of
from reconciler.cli.validation_secrets import secret_findings
from reconciler.core.findings import Finding
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.sources.git import WorktreeSource
from reconciler.sources.manifests import read_manifests
from reconciler.sources.overlays import environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What to check."""

    directory: Path
    packages: PackageSource | None = None
    """Where to ask about packages; None asks nobody."""
    key_environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    environment: str = ""
    """Whose overlays to check; empty checks the manifests without one and with each that there is."""


async def validate_directory(validation: Validation) -> list[Finding]:
    """Everything that is found under one directory, each with its place relative to where the command runs."""
    found = await _findings(validation)
    return [_placed(validation, finding) for finding in _once(found)]


async def _findings(validation: Validation) -> list[Finding]:
    source = WorktreeSource(directory=validation.directory)
    try:
        files = await source.files(await source.head())
    except CatwalkError as error:
        return [Finding(problem=error.problem, is_error=True)]
    found: list[Finding] = []
    for environment in [validation.environment] if validation.environment else ["", *environments(files)]:
        found += await _findings_in(environment, files, validation)
    return found


async def _findings_in(environment: str, files: Mapping[str, bytes], validation: Validation) -> list[Finding]:
    try:
        manifests = read_manifests(files, environment)
    except InvalidManifests as error:
        return [Finding(problem=problem, is_error=True) for problem in error.problems]
    found = [Finding(problem=warning, is_error=False) for warning in manifests.warnings]
    found += await secret_findings(validation.directory, manifests, files, validation.key_environment)
    if validation.packages is None:
        return [*found, *offline_findings(manifests)]
    return [*found, *await package_findings_of(manifests, validation.packages)]


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """In the order of the files, and nothing twice: two checks may see the same fault."""
    seen = {(finding.problem.code, finding.problem.location, finding.problem.server): finding for finding in findings}
    return sorted(seen.values(), key=_reading_order)


def _reading_order(finding: Finding) -> tuple[str, int, int, bool]:
    location = finding.problem.location
    return (location.file, location.line, location.column, not finding.is_error) if location else ("", 0, 0, False)


def _placed(validation: Validation, finding: Finding) -> Finding:
    """Places are told from where the person stands, so that editors and terminals can open them."""
    location = finding.problem.location
    if location is None or Path(location.file).is_absolute():
        return finding
    file = (validation.directory / location.file).as_posix()
    return replace(finding, problem=replace(finding.problem, location=replace(location, file=file)))
