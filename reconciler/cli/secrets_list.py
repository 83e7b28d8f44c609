"""`catwalk secrets list`: which secrets there are, where, for whom, and since when. Needs no key."""

import json
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from reconciler.cli.options import AS_JSON, DIRECTORY, debug
from reconciler.cli.secrets_fleet import FleetFiles, SecretPlace, all_places, read_fleet
from reconciler.cli.tables import table_console
from reconciler.errors import CatwalkError
from reconciler.sops.writing.inspection import Inspection, inspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One secret as anybody can see it."""

    place: SecretPlace
    state: str
    """`encrypted`, `missing`, or the code of what is wrong with its file."""
    inspection: Inspection | None = None

    def record(self) -> dict[str, object]:
        """The shape of `--json`."""
        seen = self.inspection
        return {
            "server": self.place.server,
            "name": self.place.name,
            "file": self.place.file,
            "inline": self.place.inline,
            "declared": self.place.declared,
            "state": self.state,
            "recipients": [each.name for each in seen.metadata.recipients] if seen else [],
            "last_modified": seen.metadata.last_modified if seen else None,
            "written_by": seen.version if seen else None,
        }


@click.command("list", short_help="Names, files, recipients and times.")
@DIRECTORY
@AS_JSON
@debug
def list_command(*, directory: Path, as_json: bool) -> None:
    """List the secrets of the fleet in DIR: names, files, recipients and times. Needs no key and shows no value."""
    fleet = read_fleet(directory)
    listed = [_listed(fleet, place) for place in all_places(fleet, fleet.manifests())]
    if as_json:
        click.echo(json.dumps([each.record() for each in listed], indent=2))
    else:
        _show(listed)


def _listed(fleet: FleetFiles, place: SecretPlace) -> Listed:
    content = fleet.files.get(place.file)
    if content is None:
        return Listed(place=place, state="missing")
    try:
        return Listed(place=place, state="encrypted", inspection=inspect(content, place.file))
    except CatwalkError as error:
        return Listed(place=place, state=error.problem.code)


def _show(listed: list[Listed]) -> None:
    if not listed:
        click.echo("No secrets. Set one with: catwalk secrets set SERVER NAME")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("server", "secret", "state", "changed", "recipients", "file"):
        table.add_column(column, overflow="fold", no_wrap=column in {"server", "state", "changed"})
    for each in listed:
        table.add_row(*_row(each))
    table_console().print(table)


def _row(listed: Listed) -> tuple[Text, ...]:
    place, seen = listed.place, listed.inspection
    state = listed.state if place.declared else f"{listed.state}, undeclared"
    style = "" if state == "encrypted" else "yellow"
    recipients = ", ".join(_short(each.name) for each in seen.metadata.recipients) if seen else ""
    return (
        Text(place.server, style="bold"),
        Text(place.name),
        Text(state, style=style),
        Text(seen.metadata.last_modified.removesuffix("Z")[:16].replace("T", " ") if seen else ""),
        Text(recipients),
        Text(place.file),
    )


def _short(recipient: str) -> str:
    return recipient if len(recipient) <= 16 else f"{recipient[:12]}…"
