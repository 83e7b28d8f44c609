"""Options that several commands share, spelt once."""

from pathlib import Path
from typing import Any, Final

import click

DIRECTORY: Final = click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="[DIR]"
)
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
WORKTREE: Final = click.option(
    "--worktree", is_flag=True, help="Follow the files as they lie in DIR, committed or not."
)

ENVIRONMENT: Final = click.option(
    "--environment",
    "environment_name",
    default="",
    metavar="NAME",
    help="Lay catwalk.NAME.yaml over every catwalk.yaml; by default what CATWALK_ENVIRONMENT says.",
)


def debug(function: Any) -> Any:  # noqa: ANN401 - Click decorates functions of any shape.
    """`--debug` is read by the entry point before any command runs; it stands here so that help shows it."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of a failure.")(function)
