"""`catwalk status`: what the fleet is doing, why, and since when."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import anyio
import click
import httpx
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from reconciler.cli.options import AS_JSON, DIRECTORY, ENVIRONMENT, debug
from reconciler.cli.place import Endpoint, Place, find_place, running_endpoint, with_dotenv
from reconciler.cli.problems import NO
from reconciler.cli.progress_text import STATE_STYLES
from reconciler.cli.stored_view import stored_view
from reconciler.cli.tables import table_console
from reconciler.core.types import ServerState
from reconciler.errors import EnvironmentFault, Unavailable
from reconciler.loop.clock import SystemClock
from reconciler.loop.store.store import FILE_NAME, open_store
from reconciler.settings import Settings, in_environment, read_settings
from reconciler.web.appearance import dollars, duration
from reconciler.web.documents import FleetDocument, ProblemDocument, ServerDocument, UsageDocument
from reconciler.web.fleets import fleet_document

TIMEOUT_S: Final = 10.0
WELL: Final = frozenset({"ready", "idle", "suspended"})
COLUMNS: Final = ("server", "state", "since", "wakes", "last wake", "cost", "saved", "tools", "package")


@click.command("status")
@DIRECTORY
@ENVIRONMENT
@AS_JSON
@debug
def command(*, directory: Path, environment_name: str, as_json: bool) -> int:
    """Show the state of every server of the fleet in DIR, its cause, and since when.

    Asks the `catwalk up` or `catwalk serve` that runs for DIR; without one, shows what the last one knew. Cost and
    savings are of this month, on Fly, as an estimate. Exits with 1 when something is not as it should be.
    """
    settings = in_environment(read_settings(with_dotenv(directory, os.environ)), environment_name)
    place = find_place(directory, settings)
    endpoint = running_endpoint(place)
    fleet = _ask(endpoint) if endpoint else anyio.run(_remembered, place, settings)
    if as_json:
        record = {"running": endpoint is not None, **fleet.model_dump(mode="json")}
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        _show(fleet, running=endpoint is not None)
    return 0 if _is_well(fleet) else NO


def _is_well(fleet: FleetDocument) -> bool:
    return not fleet.problems and all(server.state in WELL for server in fleet.servers)


def _ask(endpoint: Endpoint) -> FleetDocument:
    """The running process knows best.

    Raises:
        Unavailable: it does not answer, or not with what was asked for.
    """
    try:
        headers = {"Authorization": f"Bearer {endpoint.local_token}"} if endpoint.local_token else {}
        answer = httpx.get(f"{endpoint.gateway_url}/api/fleet", headers=headers, timeout=TIMEOUT_S, trust_env=False)
        answer.raise_for_status()
        return FleetDocument.model_validate_json(answer.content)
    except (httpx.HTTPError, ValidationError) as error:
        message = f"the running `catwalk up` (process {endpoint.pid}) does not answer at {endpoint.gateway_url}"
        raise Unavailable("up-not-answering", message, hint="look at its output, or restart it") from error


async def _remembered(place: Place, settings: Settings) -> FleetDocument:
    if not settings.database_url and not (place.state_dir / FILE_NAME).is_file():
        raise EnvironmentFault(
            "never-ran",
            f"nothing is known of {place.directory}: Catwalk has not run here",
            hint="run `catwalk up` here",
        )
    store = await open_store(place.state_dir, SystemClock(), url=settings.database_url)
    try:
        return fleet_document(await stored_view(store, place.directory, settings))
    finally:
        store.close()


def _show(fleet: FleetDocument, *, running: bool) -> None:
    console = table_console()
    console.print(_headline(fleet, running=running), soft_wrap=True)
    for problem in fleet.problems:
        console.print(_problem_line(problem), soft_wrap=True)
    if not fleet.servers:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in COLUMNS:
        right = column in {"tools", "wakes", "last wake", "cost", "saved"}
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(column, no_wrap=column != "package", overflow="fold", justify=justify)
    for server in fleet.servers:
        table.add_row(*_row(server))
    console.print(table)
    console.print(_money_line(fleet), soft_wrap=True)
    for server in fleet.servers:
        if server.state not in WELL:
            console.print(_why(server), soft_wrap=True)


def _headline(fleet: FleetDocument, *, running: bool) -> Text:
    applied, looked_at = fleet.applied_revision, fleet.revision
    text = Text.assemble("Fleet ", (fleet.fleet or "(unnamed)", "bold"))
    text.append(f" at {applied.branch} {applied.short} {applied.subject}" if applied else " has no revision in force")
    if looked_at and applied and looked_at.commit != applied.commit:
        text.append(f"; {looked_at.short} was refused", style="red")
    if not running:
        text.append("; not running, this is what was last known", style="yellow")
    return text


def _problem_line(problem: ProblemDocument) -> Text:
    place = f"{problem.place}: " if problem.place else f"{problem.server}: " if problem.server else ""
    text = Text.assemble((place, "bold"), ("error: ", "bold red"), problem.message)
    return text.append(f"\n  fix: {problem.hint}", style="cyan") if problem.hint else text


def _row(server: ServerDocument) -> tuple[Text | str, ...]:
    state = ServerState(server.state)
    name, word = Text(server.name, style="bold"), Text(state, style=STATE_STYLES[state])
    return (name, word, _since(server.since), *_usage(server.usage), str(len(server.tools) or ""), server.package)


def _usage(usage: UsageDocument | None) -> tuple[str, str, str, str]:
    """Wakes, last wake, cost and savings of this month; empty where nothing is known."""
    if usage is None:
        return ("", "", "", "")
    last_wake = "" if usage.last_wake_s is None else duration(usage.last_wake_s)
    cost, saved = ("" if amount is None else dollars(amount) for amount in (usage.cost, usage.saved))
    return (str(usage.wakes), last_wake, cost, saved)


def _money_line(fleet: FleetDocument) -> Text:
    total = f"This month: about {dollars(fleet.cost)} on Fly; sleeping saved {dollars(fleet.saved)}"
    return Text(f"{total} (prices of {fleet.prices_as_of}, without transfer and file systems)", style="dim")


def _why(server: ServerDocument) -> Text:
    """Below the table, where a long reason has the whole width."""
    reason = f"{server.cause}: {server.detail}" if server.cause else server.detail
    return Text.assemble((f"{server.name}: ", "bold"), reason or "on its way")


def _since(moment: datetime | None) -> str:
    if moment is None:
        return ""
    local, today = moment.astimezone(), SystemClock().now().astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
