"""`catwalk secrets set`: one secret into the repository, encrypted to everybody whom `.sops.yaml` names.

By default a file of its own, for which public recipients suffice; nothing is written before everything is known to be
good. What is written is named, and never the value.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import click

from reconciler.cli.options import AS_JSON, debug
from reconciler.cli.secret_input import read_secret, refuse_argument
from reconciler.cli.secrets_fleet import (
    FLEET,
    FleetFiles,
    SecretPlace,
    encryption_for,
    environment_identities,
    manifest_of,
    place_of,
    read_fleet,
    spec_of,
)
from reconciler.core.secret import SecretValue
from reconciler.errors import SourceError
from reconciler.loop.clock import SystemClock
from reconciler.sops.files import is_encrypted
from reconciler.sops.writing.clear_text import with_clear_value, with_empty_key
from reconciler.sops.writing.creation import encrypt
from reconciler.sops.writing.disk import replace_file
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.inspection import inspect
from reconciler.sops.writing.secret_files import new_secret_file
from reconciler.sources.manifests import read_manifests

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the command did, for people and programs."""

    place: SecretPlace
    recipients: tuple[str, ...]
    replaced: bool
    declared_in: str
    """The manifest that got the name; empty where it had it."""

    def record(self) -> dict[str, object]:
        """The shape of `--json`."""
        return {
            "server": self.place.server,
            "name": self.place.name,
            "file": self.place.file,
            "inline": self.place.inline,
            "replaced": self.replaced,
            "declared_in": self.declared_in or None,
            "recipients": list(self.recipients),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """New contents of files, relative to the directory, and what the files held before."""

    contents: Mapping[str, bytes] = field(repr=False)
    written: Written


@click.command("set", short_help="Set one secret.")
@click.argument("server")
@click.argument("name")
@click.argument("extra", nargs=-1, metavar="")
@click.option("--inline", is_flag=True, help="Write into catwalk.yaml, which needs a key that opens it.")
@click.option("--exact", is_flag=True, help="Keep the line break at the end of stdin.")
@FLEET
@AS_JSON
@debug
def set_command(  # noqa: PLR0913 - One parameter for each option of the command line.
    *, server: str, name: str, extra: tuple[str, ...], inline: bool, exact: bool, directory: Path, as_json: bool
) -> None:
    """Set the secret NAME of SERVER: asked for without an echo, or read from stdin.

    Writes secrets/SERVER/NAME.sops.yaml beside the manifest and declares the name there. Needs no key: the recipients
    in .sops.yaml suffice.
    """
    refuse_argument(extra)
    if not _VARIABLE.fullmatch(name):
        raise click.UsageError("NAME must be the name of an environment variable")
    fleet = read_fleet(directory)
    place = place_of(fleet.manifests(), server, name)
    _check_place(place, inline=inline)
    value = read_secret(f"{name} of {server}", exact=exact)
    change = _inline(fleet, place, value) if inline else _own_file(fleet, place, value)
    for file, content in change.contents.items():
        replace_file(directory / file, content, partial(_parsed, file), before=fleet.files.get(file))
    _show(change.written, as_json=as_json)


def _check_place(place: SecretPlace, *, inline: bool) -> None:
    if place.inline and not inline:
        message = f"{place.name} of {place.server} is kept inline, in {place.file}"
        hint = "set it with --inline, or remove it from the manifest first to move it to a file of its own"
        raise SourceError("secret-is-inline", message, hint=hint)


def _own_file(fleet: FleetFiles, place: SecretPlace, value: SecretValue) -> _Change:
    encryption = encryption_for(fleet.directory, fleet.directory / place.file)
    content = new_secret_file(value, place.place, encryption, file=place.file, last_modified=SystemClock().now())
    contents = {place.file: content}
    manifest = "" if place.declared else _manifest(fleet, place)
    if manifest:
        path = ("servers", place.server, "secrets", place.name)
        contents[manifest] = with_empty_key(fleet.files[manifest], path, file=manifest)
    read_manifests({**fleet.files, **contents})
    return _Change(
        contents=contents,
        written=Written(
            place=place,
            recipients=encryption.keys.names,
            replaced=place.file in fleet.files,
            declared_in=manifest,
        ),
    )


def _inline(fleet: FleetFiles, place: SecretPlace, value: SecretValue) -> _Change:
    manifest = _manifest(fleet, place)
    old = fleet.files[manifest]
    new = _edited(fleet, manifest, place, value) if is_encrypted(old) else _encrypted(fleet, manifest, place, value)
    read_manifests({**fleet.files, manifest: new})
    recipients = tuple(each.name for each in inspect(new, manifest).metadata.recipients)
    inline = SecretPlace(
        fleet=place.fleet, server=place.server, name=place.name, file=manifest, inline=True, declared=True
    )
    return _Change(
        contents={manifest: new},
        written=Written(
            place=inline,
            recipients=recipients,
            replaced=place.inline,
            declared_in="" if place.declared else manifest,
        ),
    )


def _edited(fleet: FleetFiles, manifest: str, place: SecretPlace, value: SecretValue) -> bytes:
    identities = environment_identities(fleet.directory, os.environ)
    edited = open_to_edit(fleet.files[manifest], identities, file=manifest)
    return edited.with_value(_path(place), value).sealed(SystemClock().now())


def _encrypted(fleet: FleetFiles, manifest: str, place: SecretPlace, value: SecretValue) -> bytes:
    """The first secret of a manifest makes a SOPS file of it."""
    encryption = encryption_for(fleet.directory, fleet.directory / manifest)
    clear = with_clear_value(fleet.files[manifest], _path(place), value, file=manifest)
    return encrypt(clear, encryption, file=manifest, last_modified=SystemClock().now())


def _path(place: SecretPlace) -> tuple[str, ...]:
    return ("servers", place.server, "secrets", place.name)


def _manifest(fleet: FleetFiles, place: SecretPlace) -> str:
    return manifest_of(spec_of(fleet.manifests(), place.server))


def _parsed(file: str, content: bytes) -> None:
    """What is on the disk is read as the next command will read it."""
    if is_encrypted(content):
        inspect(content, file)


def _show(written: Written, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(written.record(), indent=2))
        return
    place = written.place
    click.echo(f"{'Replaced' if written.replaced else 'Wrote'} {place.name} of {place.server} in {place.file}")
    for recipient in written.recipients:
        click.echo(f"  encrypted to {recipient}")
    if written.declared_in:
        click.echo(f"Declared it in {written.declared_in}")
    files = dict.fromkeys([place.file, written.declared_in or place.file])
    click.echo(f"Next: git add {' '.join(files)} && git commit")
