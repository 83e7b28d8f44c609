"""`catwalk serve`: the fleet of a repository on a git host, on Fly."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import anyio
import click

from reconciler.cli.log_output import send_json_logs_to_stderr
from reconciler.cli.options import ENVIRONMENT
from reconciler.cli.place import find_place, with_dotenv
from reconciler.cli.serving_crew import run_crew
from reconciler.cli.serving_fleet import Service, Worker, run_service
from reconciler.cli.workers import hear_greeting
from reconciler.settings import in_environment, read_settings

DEFAULT_POLL_S = 30.0


class Options(TypedDict):
    host: str
    port: int
    directory: str
    poll_s: float
    insecure: bool


@click.command("serve")
@click.option("--host", default="0.0.0.0", show_default=True, help="The address to listen on.")  # noqa: S104 - A service.
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes any.")
@click.option("--directory", default="", metavar="PATH", help="The one inside the repository; its root if not given.")
@click.option(
    "--poll",
    "poll_s",
    type=click.FloatRange(min=0.1),
    default=DEFAULT_POLL_S,
    show_default=True,
    metavar="SECONDS",
    help="How often the repository is asked for a new commit.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="While no manifest names tokens, let everybody in, and show the dashboard to everybody.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many processes share the port. One leads the fleet; all of them carry traffic.",
)
@click.option("--as-worker", is_flag=True, hidden=True)
@click.option("--debug", is_flag=True, help="Log everything, and show the traceback of a failure.")
@ENVIRONMENT
def command(*, debug: bool, environment_name: str, workers: int, as_worker: bool, **options: Unpack[Options]) -> None:
    """Follow a repository on a git host, run its fleet on Fly, and carry its MCP traffic.

    CATWALK_REPO_URL names the repository and FLY_API_TOKEN opens the organization; reconciler/cli/README.md lists all
    settings. Log lines are JSON, on stderr. SIGTERM lets actions and calls under way end, and then stops.
    """
    send_json_logs_to_stderr(level=logging.DEBUG if debug else logging.INFO)
    here = Path()
    settings = in_environment(read_settings(with_dotenv(here, os.environ)), environment_name)
    service = Service(place=find_place(here, settings), settings=settings, **options)
    if workers > 1 and not as_worker:
        sys.exit(anyio.run(run_crew, service, workers, _arguments(debug=debug, environment_name=environment_name)))
    if as_worker:
        number, token = hear_greeting()
        service = replace(service, worker=Worker(number=number, local_token=token.decode("ascii")))
    anyio.run(run_service, service, backend_options={"use_uvloop": True})


def _arguments(*, debug: bool, environment_name: str) -> tuple[str, ...]:
    """What stands in a worker's command line beside what the service says itself."""
    named = ("--environment", environment_name) if environment_name else ()
    return (*named, "--debug") if debug else named
