"""`catwalk secrets lint` and `doctor`: the commands around the two checks."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from reconciler.cli.options import AS_JSON, DIRECTORY, debug
from reconciler.cli.problems import NO, problem_text
from reconciler.cli.secrets_doctor import Checked, check_fleet
from reconciler.cli.secrets_fleet import environment_identities, read_fleet
from reconciler.cli.secrets_history import rolled_back
from reconciler.cli.secrets_lint import lint
from reconciler.core.problems import Problem
from reconciler.sops.identities import Identities


@click.command("lint", short_help="What is wrong, without a key.")
@DIRECTORY
@AS_JSON
@debug
def lint_command(*, directory: Path, as_json: bool) -> int:
    """Find secrets of the fleet in DIR that are not encrypted, not for the right people, used by nobody, or older than
    they were in the last commits.

    Needs no key. Exits with 1 when something is found; meant as a pre-commit hook.
    """
    fleet = read_fleet(directory)
    problems = [*lint(fleet), *rolled_back(fleet)]
    if as_json:
        click.echo(json.dumps({"clean": not problems, "findings": [_record(each) for each in problems]}, indent=2))
    else:
        console = Console()
        for problem in problems:
            console.print(problem_text(problem), soft_wrap=True)
        click.echo(f"{len(problems)} {'finding' if len(problems) == 1 else 'findings'}")
    return NO if problems else 0


@click.command("doctor", short_help="Which key opens what, and why not.")
@DIRECTORY
@AS_JSON
@debug
def doctor_command(*, directory: Path, as_json: bool) -> int:
    """Show which configured key opens which file of the fleet in DIR, and why another does not.

    Keys are shown by their public recipients. Exits with 1 when a file cannot be used here.
    """
    fleet = read_fleet(directory)
    identities = environment_identities(directory, os.environ)
    checked = check_fleet(fleet, identities)
    if as_json:
        click.echo(json.dumps(_document(identities, checked), indent=2))
    else:
        _show(identities, checked)
    return 0 if all(each.well for each in checked) else NO


def _document(identities: Identities, checked: Sequence[Checked]) -> dict[str, object]:
    return {
        "identities": list(identities.recipients),
        "skipped": [problem.message for problem in identities.warnings],
        "files": [each.record() for each in checked],
    }


def _show(identities: Identities, checked: Sequence[Checked]) -> None:
    console = Console()
    for recipient in identities.recipients:
        console.print(Text.assemble("key of ", (recipient, "bold")), soft_wrap=True)
    if not identities.recipients:
        console.print("no key is configured: set SOPS_AGE_KEY_FILE, or run `catwalk secrets init`", soft_wrap=True)
    for warning in identities.warnings:
        console.print(problem_text(warning), soft_wrap=True)
    for each in checked:
        _show_file(console, each)


def _show_file(console: Console, checked: Checked) -> None:
    state = ("ok", "green") if checked.well else ("not ok", "red")
    opened = f", opened by {', '.join(checked.opened_by)}" if checked.opened_by else ", opened by none of our keys"
    console.print(Text.assemble((checked.file, "bold"), ": ", state, opened), soft_wrap=True)
    for problem in checked.problems:
        console.print(problem_text(problem), soft_wrap=True)


def _record(problem: Problem) -> dict[str, object]:
    location = problem.location
    return {
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "file": location.file if location else None,
        "line": location.line if location else None,
    }
