"""`catwalk up`: everything on this machine, with no account."""

import logging
import os
import sys
from pathlib import Path

import anyio
import click
from rich.console import Console

from reconciler.cli.log_output import send_json_logs_to_stderr
from reconciler.cli.options import AS_JSON, DIRECTORY, ENVIRONMENT, WORKTREE, debug
from reconciler.cli.place import Place, find_place, with_dotenv
from reconciler.cli.progress_json import JSONProgress
from reconciler.cli.progress_text import TextProgress
from reconciler.cli.ready import Announce, announce_json, announce_text
from reconciler.cli.running_fleet import Up, run_up
from reconciler.loop.clock import SystemClock
from reconciler.loop.progress import Progress
from reconciler.settings import in_environment, read_settings

DEFAULT_PORT = 8080


@click.command("up")
@DIRECTORY
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes any.")
@WORKTREE
@ENVIRONMENT
@AS_JSON
@debug
def command(*, directory: Path, port: int, worktree: bool, environment_name: str, as_json: bool) -> None:
    """Run engine, reconciler, gateway and dashboard for the fleet in DIR, and follow its commits.

    Servers are reached at http://127.0.0.1:PORT/servers/NAME/mcp, the dashboard at http://127.0.0.1:PORT/.
    State stays in DIR/.catwalk. Ctrl-C stops everything; the next start finds it again.
    """
    environment = with_dotenv(directory, os.environ)
    settings = in_environment(read_settings(environment), environment_name)
    place = find_place(directory, settings)
    progress, announce = _json_voice() if as_json else _text_voice(place)
    up = Up(
        place=place,
        settings=settings,
        environment=environment,
        port=port,
        worktree=worktree,
        progress=progress,
        announce=announce,
    )
    anyio.run(run_up, up, backend_options={"use_uvloop": True})


def _json_voice() -> tuple[Progress, Announce]:
    """Events on stdout; on stderr the log, also as JSON."""
    send_json_logs_to_stderr(level=logging.WARNING)
    progress = JSONProgress(_print_line)
    return progress, announce_json(progress)


def _text_voice(place: Place) -> tuple[Progress, Announce]:
    console = Console()
    console.print(f"[bold]catwalk up[/] {place.directory}", highlight=False, soft_wrap=True)
    return TextProgress(console, lambda: SystemClock().now().astimezone()), announce_text(console)


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
