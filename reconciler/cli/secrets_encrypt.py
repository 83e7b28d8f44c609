"""`catwalk secrets encrypt`: any file of a format of SOPS, encrypted to whom `.sops.yaml` names for it.

For what is no secret of a server: an environment file, a certificate, the values of a chart. Public recipients suffice.
"""

import json
from functools import partial
from pathlib import Path

import click

from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.secrets_fleet import encryption_for
from reconciler.loop.clock import SystemClock
from reconciler.sops.formats import Format
from reconciler.sops.writing.creation import encrypt
from reconciler.sops.writing.disk import read_file, replace_file
from reconciler.sops.writing.sealed import metadata_of


@click.command("encrypt", short_help="Encrypt any file in place.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the encrypted file goes; by default in the place of FILE. Its name chooses the rule.",
)
@click.option(
    "--input-type",
    type=click.Choice([each.value for each in Format]),
    help="The format of FILE, where its name does not tell; a name that tells nothing means binary.",
)
@AS_JSON
@debug
def encrypt_command(*, file: Path, output: Path | None, input_type: str | None, as_json: bool) -> None:
    """Encrypt the plain text FILE to the recipients that .sops.yaml names for it. Needs no key.

    The result is read back before it takes the name; whatever fails leaves FILE as it was.
    """
    target = output or file
    content = read_file(file) or b""
    stated = None if input_type is None else Format(input_type)
    encryption = encryption_for(Path(), target)
    encrypted = encrypt(content, encryption, file=str(file), last_modified=SystemClock().now(), stated=stated)
    check = partial(metadata_of, file=str(target), stated=stated)
    replace_file(target, encrypted, check, before=read_file(target))
    _show(target, encryption.keys.names, as_json=as_json)


def _show(target: Path, recipients: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"file": str(target), "recipients": list(recipients)}, indent=2))
        return
    click.echo(f"Encrypted {target}")
    for recipient in recipients:
        click.echo(f"  to {recipient}")
