"""`catwalk validate`: everything that is wrong with manifests, before anything runs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import click

from reconciler.cli.options import debug
from reconciler.cli.place import with_dotenv
from reconciler.cli.problems import NO, exit_code
from reconciler.cli.validation import Validation, validate_directory
from reconciler.cli.validation_formats import FORMATS
from reconciler.cli.validation_packages import PackageSource
from reconciler.core.findings import Finding
from reconciler.settings import read_settings
from reconciler.sources.packages import PackageCatalog

PATHS: Final = click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH]...")


@click.command("validate")
@PATHS
@click.option("--offline", is_flag=True, help="Ask no registry: check the files alone.")
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option(
    "--format", "form", type=click.Choice(sorted(FORMATS)), default="text", show_default=True, help="How to report."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@debug
def command(*, paths: tuple[Path, ...], offline: bool, strict: bool, form: str, as_json: bool) -> int:
    """Check the manifests under each PATH as they lie there: form, meaning, secrets, packages, lock.

    A PATH is a directory or a catwalk.yaml; the present directory by default. Exits with 1 when something is wrong,
    with 3 when something could not be checked. A registry that does not answer is a warning.
    """
    directories = dict.fromkeys(path if path.is_dir() else path.parent for path in paths or (Path(),))
    findings = anyio.run(_validate, tuple(directories), offline)
    if strict:
        findings = [Finding(problem=finding.problem, is_error=True) for finding in findings]
    click.echo(FORMATS["json" if as_json else form](findings))
    return _verdict(findings)


async def _validate(directories: Sequence[Path], offline: bool) -> list[Finding]:
    if offline:
        return await _validate_all(directories, None)
    async with PackageCatalog() as catalog:
        return await _validate_all(directories, PackageSource(releases=catalog))


async def _validate_all(directories: Sequence[Path], packages: PackageSource | None) -> list[Finding]:
    findings: list[Finding] = []
    for directory in directories:
        settings = read_settings(with_dotenv(directory, os.environ))
        validation = Validation(directory=directory, packages=packages, key_environment=settings.key_environment or {})
        findings += await validate_directory(validation)
    return findings


def _verdict(findings: Sequence[Finding]) -> int:
    codes = {exit_code(finding.problem) for finding in findings if finding.is_error}
    return NO if NO in codes else max(codes, default=0)
