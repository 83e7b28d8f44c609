"""`catwalk add`: a server from the MCP registry, from a package, or from a `server.json`, written into a manifest."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import click

from reconciler.cli.adding import Added, Destination, added, destination, write
from reconciler.cli.asking import Answers, ask, given, refuse_missing
from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.place import with_dotenv
from reconciler.cli.secrets_fleet import FLEET, read_fleet
from reconciler.core.types import PackageReference, Registry
from reconciler.errors import EnvironmentFault
from reconciler.settings import read_settings
from reconciler.sops.writing.creation_rules import find_rules_file
from reconciler.sources.manifest_text import rendered
from reconciler.sources.mcp_registry.documents import LARGEST_DOCUMENT_BYTES, ServerDocument, read_document
from reconciler.sources.mcp_registry.drafts import Draft, draft_of, server_name
from reconciler.sources.mcp_registry.opening import open_registry
from reconciler.sources.packages import PackageCatalog

_PACKAGES = ("npm:", "pypi:")


@click.command("add")
@click.argument("name")
@FLEET
@click.option("--as", "server", default="", metavar="SERVER", help="The server's name in the manifest.")
@click.option("--version", "version", default="latest", help="Which version of the registry's entry.")
@click.option("--kind", type=click.Choice(["npm", "pypi", "oci", "remote"]), help="Which of several ways to run it.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Answer a question beforehand.")
@click.option("--file", "manifest", default="", metavar="MANIFEST", help="Which catwalk.yaml, relative to DIR.")
@click.option("--dry-run", is_flag=True, help="Show the entry and write nothing.")
@AS_JSON
@debug
def command(  # noqa: PLR0913 - One parameter for each option of the command line.
    *,
    name: str,
    directory: Path,
    server: str,
    version: str,
    kind: str | None,
    pairs: tuple[str, ...],
    manifest: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add a server to the manifest in DIR; comments and order of the file are kept.

    NAME is a server of the MCP registry (io.github.owner/name), a package (npm:NAME@VERSION, pypi:NAME@VERSION; pinned
    to the newest without a version), or the file of a server.json. Asks in a terminal for what the server needs;
    secrets are encrypted at once.
    """
    fleet = read_fleet(directory)
    draft = anyio.run(_draft, name, version, kind or "", with_dotenv(directory, os.environ))
    target = destination(fleet, manifest, server or draft.name)
    result = added(draft, _answers(draft, pairs, target), target)
    if not dry_run:
        write(result, target)
    for note in draft.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(json.dumps(result.record(), indent=2) if as_json else _told(result, target, dry_run=dry_run))


async def _draft(name: str, version: str, kind: str, environment: Mapping[str, str]) -> Draft:
    if name.startswith(_PACKAGES):
        return await _of_package(name, environment)
    file = anyio.Path(name)
    if name.endswith(".json"):
        return draft_of(await _document(file), kind)
    settings = read_settings(environment)
    async with open_registry(environment, settings.mcp_registry_url) as registry:
        listed = await registry.find(name, version)
    if listed.status == "deprecated":
        click.echo(f"Note: the registry lists {name} as deprecated", err=True)
    return draft_of(listed.document, kind)


async def _document(file: anyio.Path) -> ServerDocument:
    try:
        async with await file.open("rb") as opened:
            content = await opened.read(LARGEST_DOCUMENT_BYTES + 1)
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise EnvironmentFault("unreadable-file", message, hint="name the file of a server.json") from error
    return read_document(content, str(file))


async def _of_package(name: str, environment: Mapping[str, str]) -> Draft:
    """A package that is checked to exist, pinned to its newest version where none is named."""
    registry, _, rest = name.partition(":")
    package, _, version = rest[1:].partition("@")
    reference = PackageReference(registry=Registry(registry), name=rest[:1] + package, version=version)
    async with PackageCatalog(environment) as catalog:
        release = await catalog.check(reference)
    pinned = name if release is None or version else f"{registry}:{reference.name}@{release.package.version}"
    return Draft(name=server_name(f"/{reference.name}"), description="", source=("package", pinned))


def _answers(draft: Draft, pairs: tuple[str, ...], target: Destination) -> Answers:
    known = given(pairs, draft.questions)
    if not sys.stdin.isatty():
        refuse_missing(draft.questions, known)
        return Answers(texts=known)
    has_rules = find_rules_file(target.fleet.directory / target.manifest) is not None
    return ask(draft.questions, known, secrets=has_rules)


def _told(result: Added, target: Destination, *, dry_run: bool) -> str:
    lines = list(rendered({result.server: result.entry}, 2))
    verb = "Would add" if dry_run else "Added"
    head = f"{verb} {result.server} to {result.manifest}:"
    files = [f"Wrote {file}" for file in sorted(result.contents) if file != result.manifest and not dry_run]
    return "\n".join([head, *lines, *files, *_next(result, target)])


def _next(result: Added, target: Destination) -> list[str]:
    where = "" if target.fleet.directory == Path() else f" -C {target.fleet.directory}"
    steps = [f"catwalk secrets set {result.server} {name}{where}" for name in result.open_secrets]
    if steps and find_rules_file(target.fleet.directory / result.manifest) is None:
        steps.insert(0, f"catwalk secrets init {target.fleet.directory}")
    steps.append(f"catwalk validate {target.fleet.directory}")
    return [f"Next: {step}" for step in steps]
