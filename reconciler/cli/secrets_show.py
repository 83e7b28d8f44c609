"""`catwalk secrets show` and `decrypt`: plaintext on stdout, and only for somebody who says `--reveal`."""

import base64
import json
import os
import sys
from pathlib import Path

import anyio
import click

from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.secrets_fleet import FLEET, FleetFiles, environment_identities, place_of, read_fleet, spec_of
from reconciler.core.secret import MASK, SecretValue
from reconciler.errors import SourceError
from reconciler.sops.document import decrypt_document
from reconciler.sops.formats import Format
from reconciler.sops.leaves import Leaf
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sops.writing.disk import read_file
from reconciler.sops.writing.inspection import inspect

REVEAL = click.option("--reveal", is_flag=True, help="Print the plaintext.")


@click.command("show", short_help="One secret; its value with --reveal.")
@click.argument("server")
@click.argument("name")
@REVEAL
@FLEET
@AS_JSON
@debug
def show_command(*, server: str, name: str, reveal: bool, directory: Path, as_json: bool) -> None:
    """Show the secret NAME of SERVER: who can open it, and with --reveal the value, which needs a key.

    The value is checked as a machine would get it: MAC, place and form.
    """
    fleet = read_fleet(directory)
    place = place_of(fleet.manifests(), server, name)
    value = anyio.run(_value, fleet, server, name) if reveal else None
    if value is not None and not as_json:
        click.echo(value.reveal())
        return
    content = fleet.files.get(place.file)
    if content is None:
        raise SourceError("secret-file-missing", f"{place.file} does not exist", hint="set it: catwalk secrets set")
    metadata = inspect(content, place.file).metadata
    recipients = [each.name for each in metadata.recipients]
    shown = MASK if value is None else value.reveal()
    if as_json:
        record = {"server": server, "name": name, "file": place.file, "value": shown, "recipients": recipients}
        click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        return
    click.echo(f"{name} of {server}: {shown}\n  in {place.file}, changed {metadata.last_modified}")
    for recipient in recipients:
        click.echo(f"  encrypted to {recipient}")
    click.echo("Add --reveal to see the value.")


async def _value(fleet: FleetFiles, server: str, name: str) -> SecretValue:
    spec = spec_of(fleet.manifests(), server)
    if name not in spec.secret_names:
        hint = f"declare it under servers.{server}.secrets, or set it with catwalk secrets set"
        raise SourceError("secret-undeclared", f"{server} declares no secret {name}", hint=hint)
    reader = ServerSecrets(environment_identities(fleet.directory, os.environ))
    return (await reader.read(spec, fleet.files))[name]


@click.command("decrypt", short_help="The plaintext of any SOPS file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@REVEAL
@click.option(
    "--input-type",
    type=click.Choice([each.value for each in Format]),
    help="The format of FILE, where its name does not tell.",
)
@AS_JSON
@debug
def decrypt_command(*, file: Path, reveal: bool, input_type: str | None, as_json: bool) -> None:
    """Print the plaintext of the SOPS file FILE in its own format; with --json one array of leaves.

    Every value and the MAC are verified first, and there is no way around that.
    """
    if not reveal:
        raise click.UsageError("this prints secrets in plain text: say --reveal if that is what you want")
    content = read_file(file) or b""
    identities = environment_identities(Path(), os.environ)
    stated = None if input_type is None else Format(input_type)
    opened = decrypt_document(content, format=stated, identities=identities, file=str(file))
    if as_json:
        click.echo(json.dumps([_leaf(leaf) for leaf in opened.leaves()], indent=2, ensure_ascii=False))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(opened.plaintext())
        sys.stdout.buffer.flush()


def _leaf(leaf: Leaf) -> dict[str, object]:
    """One value; the bytes are those that enter the MAC."""
    return {
        "document": leaf.document,
        "path": list(leaf.path),
        "type": leaf.type.value,
        "bytes_base64": base64.b64encode(leaf.plaintext).decode("ascii"),
    }
