"""`catwalk logs`: what a server wrote, without its secrets."""

import json
import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, TypedDict, Unpack

import anyio
import click
from rich.console import Console
from rich.text import Text

from reconciler.cli.options import AS_JSON, ENVIRONMENT, debug
from reconciler.cli.place import find_place, make_state, with_dotenv
from reconciler.cli.present_machines import live_machines
from reconciler.cli.repository import open_source
from reconciler.cli.wiring import Request, Wired, wired
from reconciler.core.types import ServerSpec
from reconciler.errors import SourceError
from reconciler.loop.log_tails import SHELF, LogTails
from reconciler.loop.ports import LogLine
from reconciler.settings import in_environment, read_settings

DEFAULT_LINES: Final = 100
MOST_LINES: Final = 1000
Show = Callable[[LogLine], None]
_STYLES: Final = {"error": "red", "warn": "yellow", "warning": "yellow"}


class Wanted(TypedDict):
    follow: bool
    lines: int


@click.command("logs")
@click.argument("server")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(1, MOST_LINES), default=DEFAULT_LINES, show_default=True)
@click.option(
    "-C",
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The directory of the fleet; the present one by default.",
)
@ENVIRONMENT
@AS_JSON
@debug
def command(*, server: str, directory: Path, environment_name: str, as_json: bool, **wanted: Unpack[Wanted]) -> None:
    """Show what SERVER wrote, oldest line first.

    Secrets are masked; for that they must be decrypted here, and without the key nothing is shown.
    """
    settings = in_environment(read_settings(with_dotenv(directory, os.environ)), environment_name)
    place = find_place(directory, settings)
    show = _show_json if as_json else _show_text(Console())

    async def run() -> None:
        make_state(place)
        source = open_source(place.directory, settings, worktree=False)
        request = Request(place=place, settings=settings, address=live_machines(place, settings), source=source)
        async with wired(request) as connected:
            await _show_log(connected, server, wanted, show)

    anyio.run(run)


async def _show_log(connected: Wired, server: str, wanted: Wanted, show: Show) -> None:
    spec = await _spec(connected, server)
    logs = connected.doors.logs
    if not wanted["follow"]:
        # What a server wrote whose machines and log are gone was kept while it was unwell.
        kept = LogTails(logs, connected.store.shelf(SHELF))
        recent = await logs.recent(spec.app, limit=wanted["lines"]) or await kept.tail(spec.name)
        for line in recent[-wanted["lines"] :]:
            show(line)
        return
    async with aclosing(logs.follow(spec.app)) as coming:
        async for line in coming:
            show(line)


async def _spec(connected: Wired, server: str) -> ServerSpec:
    """The server, after its secrets were decrypted so that they can be masked.

    Raises:
        SourceError: the fleet has no such server.
        CatwalkError: the manifest or the secrets cannot be read.
    """
    ports = connected.ports
    files = await ports.source.files(await ports.source.head())
    manifests = ports.read_manifests(files)
    spec = next((spec for spec in manifests.specs if spec.name == server), None)
    if spec is None:
        names = ", ".join(spec.name for spec in manifests.specs)
        raise SourceError(
            "unknown-server", f"the fleet {manifests.fleet} has no server {server}", hint=f"it has {names}"
        )
    await ports.secrets.read(spec, files)
    return spec


def _show_json(line: LogLine) -> None:
    record = {
        "at": line.at.isoformat(),
        "machine_id": line.machine_id,
        "level": line.level,
        "message": line.message,
    }
    click.echo(json.dumps(record, ensure_ascii=False))


def _show_text(console: Console) -> Show:
    def show(line: LogLine) -> None:
        text = Text.assemble((f"{line.at.astimezone():%H:%M:%S}  ", "dim"), (line.message, _STYLES.get(line.level, "")))
        console.print(text, soft_wrap=True)

    return show
