"""`catwalk apply`: one pass, watched."""

import os
from pathlib import Path

import anyio
import click
from rich.console import Console

from reconciler.cli.options import AS_JSON, DIRECTORY, WORKTREE, debug
from reconciler.cli.place import Place, find_place, make_state, with_dotenv
from reconciler.cli.present_machines import live_machines
from reconciler.cli.problems import NO, exit_code, print_problems
from reconciler.cli.progress_json import JSONProgress
from reconciler.cli.progress_text import TextProgress
from reconciler.cli.reporting import open_reporter
from reconciler.cli.repository import open_source
from reconciler.cli.wiring import Request, wired
from reconciler.core.actions import Pass
from reconciler.core.types import ServerState, Trigger
from reconciler.loop.clock import SystemClock
from reconciler.loop.progress import Progress
from reconciler.settings import Settings, read_settings

WELL = frozenset({ServerState.READY, ServerState.IDLE, ServerState.SUSPENDED})


@click.command("apply")
@DIRECTORY
@WORKTREE
@click.option("--plan", "digest", default="", metavar="DIGEST", help="Refuse if the plan is no longer this one.")
@AS_JSON
@debug
def command(*, directory: Path, worktree: bool, digest: str, as_json: bool) -> int:
    """Make the fleet what the newest commit of DIR asks for, once, and wait until it is healthy.

    The machines are those of the `catwalk up` that runs for DIR; without one, those on Fly, by FLY_API_TOKEN.
    """
    settings = read_settings(with_dotenv(directory, os.environ))
    progress = _progress(as_json=as_json)
    finished = anyio.run(_apply, find_place(directory, settings), settings, worktree, digest, progress)
    if not as_json:
        print_problems(finished.problems, Console(stderr=True))
    return _verdict(finished)


def _progress(*, as_json: bool) -> Progress:
    if as_json:
        return JSONProgress(click.echo)
    return TextProgress(Console(), lambda: SystemClock().now().astimezone())


async def _apply(place: Place, settings: Settings, worktree: bool, digest: str, progress: Progress) -> Pass:
    make_state(place)
    async with open_reporter(place, settings) as reporter:
        request = Request(
            place=place,
            settings=settings,
            address=live_machines(place, settings),
            source=open_source(place.directory, settings, worktree=worktree),
            progress=progress,
            reporter=reporter,
        )
        async with wired(request) as connected:
            return await connected.reconciler.run_pass(Trigger.COMMAND, expected_digest=digest)


def _verdict(finished: Pass) -> int:
    """0 when the commit is in force and every server is well."""
    if finished.problems:
        return max(exit_code(problem) for problem in finished.problems)
    return 0 if all(status.state in WELL for status in finished.statuses) else NO
