"""The `catwalk` command: finds the subcommand, and turns every failure into one clear message and an exit code.

Exit codes are part of the contract: 0 done; 1 the answer is "no" (an invalid manifest, a failed apply, an unhealthy
fleet); 2 wrong usage; 3 the environment failed (network, credentials, API). A traceback is shown with `--debug` only.
Subcommands are imported when they are called, so that `catwalk --version` does not load a database and a web framework.
"""

import importlib
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

import click
from rich.console import Console

from reconciler.cli.core_dumps import forbid_core_dumps
from reconciler.cli.log_output import send_logs_to_stderr
from reconciler.cli.problems import exit_code, print_problems
from reconciler.loop.faults import crashed, problems_of

INTERRUPTED: Final = 130
"""What shells give for a program that Ctrl-C ended."""
SUBCOMMANDS: Final[Mapping[str, str]] = {
    "add": "Add a server from the MCP registry, a package or a server.json to a manifest.",
    "apply": "Make the fleet what the newest commit asks for, once.",
    "doctor": "Check tokens, keys, programs and clock; say what is missing and where to get it.",
    "engine": "Serve the embedded Machines API alone.",
    "init": "Make a new fleet: manifest, key, editor settings, check of pull requests.",
    "lock": "Write down exactly what runs, and find newer versions of it.",
    "logs": "Show what a server wrote.",
    "plan": "Show what would change, and change nothing.",
    "search": "Look for servers in the MCP registry.",
    "secrets": "Keep the secrets of a fleet in git, encrypted with SOPS.",
    "serve": "Run the fleet of a repository on a git host, on Fly.",
    "status": "Show what the fleet is doing, why, and since when.",
    "up": "Run everything on this machine: engine, reconciler, gateway, dashboard.",
    "validate": "Check manifests, and say what is wrong and where.",
}


class _LazyGroup(click.Group):
    """Loads `reconciler.cli.commands.NAME` when NAME is called; its one public object is `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click calls it so.
        return sorted(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - Click calls it so.
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f"reconciler.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - Click calls it so.
        """Lists the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(SUBCOMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("catwalk-live"), prog_name="catwalk", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep a fleet of MCP servers in git.

    Try it, without any account: catwalk up examples/quickstart
    """


def main() -> None:
    """The console script."""
    forbid_core_dumps()
    arguments = sys.argv[1:]
    send_logs_to_stderr(verbose="--debug" in arguments)
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Runs one command line and gives its exit code."""
    debug = "--debug" in arguments
    try:
        result: object = cli.main(args=arguments, prog_name="catwalk", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - The edge of the process: nothing above it would explain anything.
        return _explain(error, debug=debug)
    return result if isinstance(result, int) else 0


def _explain(error: Exception, *, debug: bool) -> int:
    """Shows what went wrong; the traceback only with `--debug`."""
    if debug:
        traceback.print_exception(error)
    problems = problems_of(error)
    print_problems(problems, Console(stderr=True))
    if crashed(problems) and not debug:
        click.echo("  run it again with --debug to see where", err=True)
    return max(exit_code(problem) for problem in problems)
