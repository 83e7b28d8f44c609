"""`catwalk validate`: everything that is wrong with manifests, before anything runs."""

import os
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final, TypedDict, Unpack

import anyio
import click

from reconciler.cli.options import ENVIRONMENT, debug
from reconciler.cli.place import with_dotenv
from reconciler.cli.problems import NO, exit_code
from reconciler.cli.validation import Validation, validate_directory
from reconciler.cli.validation_formats import FORMATS
from reconciler.cli.validation_packages import PackageSource
from reconciler.cli.validation_registry import ListedVariables
from reconciler.core.findings import Finding
from reconciler.settings import in_environment, read_settings
from reconciler.sources.packages import PackageCatalog


class Asking(Enum):
    """Who is asked about packages."""

    NOBODY = "nobody"
    REGISTRIES = "registries"
    ALL = "all"
    """The registries, and uv about dependencies."""


PATHS: Final = click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="[PATH]...")


class Options(TypedDict):
    offline: bool
    resolve: bool
    strict: bool
    form: str
    as_json: bool


@click.command("validate")
@PATHS
@click.option("--offline", is_flag=True, help="Ask no registry: check the files alone.")
@click.option("--resolve", is_flag=True, help="Resolve the dependencies of PyPI packages too; some seconds each.")
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option(
    "--format", "form", type=click.Choice(sorted(FORMATS)), default="text", show_default=True, help="How to report."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@ENVIRONMENT
@debug
def command(*, paths: tuple[Path, ...], environment_name: str, **options: Unpack[Options]) -> int:
    """Check the manifests under each PATH as they lie there: form, meaning, secrets, packages, lock.

    A PATH is a directory or a catwalk.yaml; the present directory by default. Exits with 1 when something is wrong,
    with 3 when something could not be checked. A registry that does not answer is a warning. Without an environment
    the manifests are checked as they are and with every overlay beside them.
    """
    directories = dict.fromkeys(path if path.is_dir() else path.parent for path in paths or (Path(),))
    asks = Asking.NOBODY if options["offline"] else Asking.ALL if options["resolve"] else Asking.REGISTRIES
    findings = anyio.run(_validate, tuple(directories), asks, environment_name)
    if options["strict"]:
        findings = [Finding(problem=finding.problem, is_error=True) for finding in findings]
    click.echo(FORMATS["json" if options["as_json"] else options["form"]](findings))
    return _verdict(findings)


async def _validate(directories: Sequence[Path], asking: Asking, environment: str) -> list[Finding]:
    if asking is Asking.NOBODY:
        return await _validate_all(directories, None, environment)
    url = read_settings(os.environ).mcp_registry_url
    async with PackageCatalog() as catalog:
        listed = ListedVariables(catalog.session, url, catalog.registry_name)
        source = PackageSource(releases=catalog, required_variables=listed, resolves=asking is Asking.ALL)
        return await _validate_all(directories, source, environment)


async def _validate_all(directories: Sequence[Path], packages: PackageSource | None, environment: str) -> list[Finding]:
    findings: list[Finding] = []
    for directory in directories:
        settings = in_environment(read_settings(with_dotenv(directory, os.environ)), environment)
        validation = Validation(
            directory=directory,
            packages=packages,
            key_environment=settings.key_environment or {},
            environment=settings.environment,
        )
        findings += await validate_directory(validation)
    return findings


def _verdict(findings: Sequence[Finding]) -> int:
    codes = {exit_code(finding.problem) for finding in findings if finding.is_error}
    return NO if NO in codes else max(codes, default=0)
