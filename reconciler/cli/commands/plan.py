"""`catwalk plan`: what would change, and nothing else."""

import json
import os
from pathlib import Path

import anyio
import click
from rich.console import Console

from reconciler.cli.options import AS_JSON, DIRECTORY, ENVIRONMENT, WORKTREE, debug
from reconciler.cli.place import Place, find_place, make_state, with_dotenv
from reconciler.cli.plan_json import preview_record
from reconciler.cli.plan_text import plan_lines
from reconciler.cli.present_machines import readable_machines
from reconciler.cli.problems import NO, print_problems
from reconciler.cli.repository import open_source
from reconciler.cli.wiring import Request, wired
from reconciler.core.cost import MonthlyCost, planned_cost, running_cost
from reconciler.loop.passes import Preview
from reconciler.settings import Settings, in_environment, read_settings

CHANGES = 2
"""With `--detailed-exitcode`, as Terraform has it."""


@click.command("plan")
@DIRECTORY
@WORKTREE
@ENVIRONMENT
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes, 0 when there are none.")
@AS_JSON
@debug
def command(*, directory: Path, worktree: bool, environment_name: str, detailed_exitcode: bool, as_json: bool) -> int:
    """Show what would change in the fleet of DIR, with its cost before and after, and change nothing.

    The machines are those of the `catwalk up` that runs for DIR; without one, those on Fly if FLY_API_TOKEN is set,
    else those that the last `catwalk up` left.
    """
    settings = in_environment(read_settings(with_dotenv(directory, os.environ)), environment_name)
    preview = anyio.run(_preview, find_place(directory, settings), settings, worktree)
    _show(preview, as_json=as_json)
    if preview.plan is None or preview.problems:
        return NO
    changes = bool(preview.plan.actions or preview.plan.deferred)
    return CHANGES if detailed_exitcode and changes else 0


async def _preview(place: Place, settings: Settings, worktree: bool) -> Preview:
    make_state(place)
    async with readable_machines(place, settings) as address:
        request = Request(
            place=place,
            settings=settings,
            address=address,
            source=open_source(place.directory, settings, worktree=worktree),
        )
        async with wired(request) as connected:
            return await connected.reconciler.preview()


def _show(preview: Preview, *, as_json: bool) -> None:
    before, after = _costs(preview)
    if as_json:
        click.echo(json.dumps(preview_record(preview, before, after), indent=2, ensure_ascii=False))
        return
    if preview.plan is not None:
        console = Console()
        for line in plan_lines(preview.plan, before, after):
            console.print(line, soft_wrap=True)
    print_problems((*preview.problems, *preview.warnings), Console(stderr=True))


def _costs(preview: Preview) -> tuple[MonthlyCost, MonthlyCost]:
    fleet = preview.manifests.fleet if preview.manifests else ""
    ours = [machine for machine in preview.observation.machines if machine.fleet == fleet]
    before = running_cost(ours)
    return before, planned_cost(ours, preview.plan) if preview.plan is not None else before
