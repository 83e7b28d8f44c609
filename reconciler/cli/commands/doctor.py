"""`catwalk doctor`: what is set up, what is missing, and where to get it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import click
from rich.table import Table
from rich.text import Text

from reconciler.cli.doctor_local import check_fleet_files, check_keys, check_programs, check_state
from reconciler.cli.doctor_remote import check_remote
from reconciler.cli.doctor_report import Checked, Health, failed
from reconciler.cli.options import AS_JSON, DIRECTORY, debug
from reconciler.cli.place import with_dotenv
from reconciler.cli.problems import NO
from reconciler.cli.secrets_fleet import FleetFiles, read_fleet
from reconciler.cli.tables import table_console
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.settings import Settings, read_settings
from reconciler.sources.layout import is_manifest

_COLOURS: Final = {Health.GOOD: "green", Health.ABSENT: "dim", Health.WARNING: "yellow", Health.BAD: "red"}
_WORDS: Final = {Health.GOOD: "good", Health.ABSENT: "not set", Health.WARNING: "warning", Health.BAD: "bad"}


@click.command("doctor")
@DIRECTORY
@click.option("--offline", is_flag=True, help="Ask nobody outside this machine.")
@AS_JSON
@debug
def command(*, directory: Path, offline: bool, as_json: bool) -> int:
    """Check what the fleet in DIR needs: programs, manifests, keys, tokens and their scopes, clock, database.

    Changes nothing but that a database gets the tables that the first start would make. Exits with 1 when something
    is bad.
    """
    fleet = read_fleet(directory)
    checks = [*check_programs()]
    try:
        settings = read_settings(with_dotenv(directory, os.environ))
    except CatwalkError as error:
        checks.append(failed("settings", error.problem))
    else:
        checks += _of_fleet(fleet, settings)
        checks += check_state(directory, settings)
        checks += [] if offline else anyio.run(check_remote, settings, _organization(fleet))
    _show(checks, as_json=as_json)
    return NO if any(each.health is Health.BAD for each in checks) else 0


def _of_fleet(fleet: FleetFiles, settings: Settings) -> Sequence[Checked]:
    if not any(is_manifest(file) for file in fleet.files):
        found = f"there is no catwalk.yaml in {fleet.directory}"
        return [Checked(subject="manifests", health=Health.ABSENT, found=found, fix="make one: catwalk init")]
    return [*check_fleet_files(fleet), *check_keys(fleet, settings)]


def _organization(fleet: FleetFiles) -> str:
    try:
        return fleet.manifests().organization
    except InvalidManifests:
        return ""


def _show(checks: Sequence[Checked], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([each.record() for each in checks], indent=2))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for each in checks:
        text = Text(each.found)
        if each.fix and each.health is not Health.GOOD:
            text.append(f"\nfix: {each.fix}", style="dim")
        table.add_row(Text(_WORDS[each.health], style=_COLOURS[each.health]), each.subject, text)
    table_console().print(table)
