"""`catwalk init`: the files of a new fleet, a key, and the check of pull requests, in one command."""

import json
import re
import sys
from pathlib import Path
from typing import Final

import anyio
import click

from reconciler.cli.init_files import NewFleet, ignore, new_files, write_new
from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.secrets_init import SetUp, set_up
from reconciler.core.problems import Problem
from reconciler.errors import EnvironmentFault, InvalidManifests
from reconciler.sources.layout import MANIFEST_NAME
from reconciler.sources.manifests import read_manifests

_FIRST_SERVER: Final = "pypi:mcp-server-time"


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="[DIR]")
@click.option("--fleet", default="", help="Name of the fleet and prefix of its Fly apps; by default that of DIR.")
@click.option("--organization", default="", help="Slug of the Fly organization; not needed to run on this machine.")
@click.option("--region", default="", help="The Fly region, such as iad.")
@click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False), help="Where a new age key goes.")
@click.option("--secrets/--no-secrets", default=True, help="Make a key and .sops.yaml.")
@click.option("--workflow/--no-workflow", default=True, help="Write the GitHub workflow that checks pull requests.")
@AS_JSON
@debug
def command(  # noqa: PLR0913 - One parameter for each option of the command line.
    *,
    directory: Path,
    fleet: str,
    organization: str,
    region: str,
    key_file: Path | None,
    secrets: bool,
    workflow: bool,
    as_json: bool,
) -> None:
    """Make a new fleet in DIR: catwalk.yaml, .sops.yaml with a key of your own, editor settings, and a workflow.

    What is there already stays as it is. In a terminal, what was not given is asked for.
    """
    anyio.run(_make, directory)
    asked = _asked(directory, NewFleet(fleet=fleet, organization=organization, region=region, has_workflow=workflow))
    files = new_files(asked)
    _check(files[MANIFEST_NAME])
    written, kept = write_new(directory, files)
    written += ignore(directory)
    keys = set_up(directory, key_file) if secrets else None
    _show(
        directory,
        [*written, *(file for file in (keys.created if keys else ()) if file not in written)],
        kept,
        keys,
        as_json=as_json,
    )


async def _make(directory: Path) -> None:
    try:
        await anyio.Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{directory} cannot be made: {error.strerror}"
        raise EnvironmentFault("directory-not-made", message, hint="name another directory") from error


def _asked(directory: Path, given: NewFleet) -> NewFleet:
    default = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-0123456789") or "fleet"
    if not sys.stdin.isatty():
        return NewFleet(
            fleet=given.fleet or default,
            organization=given.organization,
            region=given.region,
            has_workflow=given.has_workflow,
        )
    ask = click.prompt
    fleet: str = given.fleet or ask("Name of the fleet", default=default, err=True)
    organization: str = given.organization or ask(
        "Fly organization [Enter: this machine only, for now]", default="", show_default=False, err=True
    )
    region: str = given.region or (ask("Fly region", default="iad", err=True) if organization else "")
    return NewFleet(fleet=fleet, organization=organization, region=region, has_workflow=given.has_workflow)


def _check(manifest: str) -> None:
    """What was asked for ends up in a manifest, and is refused as it would be there.

    Raises:
        UsageError: a name is none.
    """
    try:
        read_manifests({MANIFEST_NAME: manifest.encode("utf-8")})
    except InvalidManifests as error:
        raise click.UsageError("; ".join(_words(problem) for problem in error.problems)) from error


def _words(problem: Problem) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


def _show(directory: Path, written: list[str], kept: list[str], keys: SetUp | None, *, as_json: bool) -> None:
    if as_json:
        record = {"written": written, "kept": kept, "recipient": keys.recipient if keys else None}
        click.echo(json.dumps(record, indent=2))
        return
    for file in written:
        click.echo(f"Wrote {file}")
    for file in kept:
        click.echo(f"Left {file} as it is")
    if keys is not None and keys.key_file is not None:
        click.echo(f"Back up {keys.key_file} where only you can read it: without a key nobody can open the secrets.")
    where = "" if directory == Path() else f" -C {directory}"
    click.echo(f"Next: catwalk add {_FIRST_SERVER}{where}")
    click.echo(f"Next: git add . && git commit, then catwalk up{'' if directory == Path() else f' {directory}'}")
