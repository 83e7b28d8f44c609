"""`catwalk search`: servers of the MCP registry whose name holds a text, and whether Catwalk can run them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import click
from rich.table import Table

from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.place import with_dotenv
from reconciler.cli.problems import NO
from reconciler.cli.tables import table_console
from reconciler.errors import SourceError
from reconciler.settings import read_settings
from reconciler.sources.mcp_registry.client import MOST_FOUND, Listed
from reconciler.sources.mcp_registry.drafts import draft_of
from reconciler.sources.mcp_registry.opening import open_registry


@click.command("search")
@click.argument("text")
@click.option("--limit", type=click.IntRange(1, MOST_FOUND), default=20, show_default=True, help="At most so many.")
@AS_JSON
@debug
def command(*, text: str, limit: int, as_json: bool) -> int:
    """Look in the MCP registry for servers whose name holds TEXT. Exits with 1 when there are none."""
    found = anyio.run(_search, text, limit, with_dotenv(Path(), os.environ))
    if as_json:
        click.echo(json.dumps([_record(each) for each in found], indent=2))
    elif found:
        _show(found)
        click.echo("Next: catwalk add NAME")
    else:
        click.echo(f"No server's name holds {text!r}; the registry looks at names alone.", err=True)
    return 0 if found else NO


async def _search(text: str, limit: int, environment: Mapping[str, str]) -> tuple[Listed, ...]:
    async with open_registry(environment, read_settings(environment).mcp_registry_url) as registry:
        return await registry.search(text, limit)


def _record(listed: Listed) -> dict[str, object]:
    source, reason = _source(listed)
    return {
        "name": listed.document.name,
        "version": listed.document.version,
        "description": listed.document.description,
        "status": listed.status or None,
        "published_at": listed.published_at or None,
        "source": source or None,
        "not_runnable": reason or None,
    }


def _source(listed: Listed) -> tuple[str, str]:
    """What `catwalk add` would write, or why it cannot."""
    try:
        return ": ".join(draft_of(listed.document).source), ""
    except SourceError as error:
        return "", error.problem.message


def _show(found: Sequence[Listed]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("NAME", "VERSION", "RUNS AS", "DESCRIPTION"):
        table.add_column(heading, overflow="fold")
    for listed in found:
        source, _ = _source(listed)
        name = f"{listed.document.name} (deprecated)" if listed.status == "deprecated" else listed.document.name
        table.add_row(name, listed.document.version, source or "not by Catwalk", listed.document.description)
    table_console().print(table)
