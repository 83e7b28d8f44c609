"""`catwalk secrets rotate` and `recipients`: who can open the files of a fleet.

All files are changed in memory first, so that one that does not open leaves all as they are. A run that was interrupted
while writing is simply repeated.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from reconciler.cli.options import AS_JSON, DIRECTORY, debug
from reconciler.cli.secrets_fleet import FLEET, FleetFiles, environment_identities, read_fleet
from reconciler.errors import SourceError
from reconciler.loop.clock import SystemClock
from reconciler.sops.leaves import shown_path
from reconciler.sops.master_keys import MasterKey
from reconciler.sops.writing.creation_rules import CreationRule, find_rule
from reconciler.sops.writing.disk import read_file, replace_file
from reconciler.sops.writing.editing import Editing, open_to_edit, values_of
from reconciler.sops.writing.inspection import inspect
from reconciler.sops.writing.recipients import master_key
from reconciler.sops.writing.rules_text import with_rule_recipient, without_rule_recipient
from reconciler.sources.layout import MANIFEST_NAME, is_manifest, secret_file

Edit = Callable[[str, Editing], Editing]
RulesEdit = Callable[..., bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changed:
    """The new files, and what was in them."""

    contents: Mapping[str, bytes] = field(repr=False)
    values: tuple[str, ...]
    """Every secret in a changed file: `server/NAME`, or its place in the manifest."""


@click.command("rotate", short_help="New data keys for all files.")
@DIRECTORY
@AS_JSON
@debug
def rotate_command(*, directory: Path, as_json: bool) -> None:
    """Give every file with secrets in DIR a new data key, for the recipients in .sops.yaml. Needs a key.

    The secrets stay what they are: to replace one, change it at its source and set it again.
    """
    fleet = read_fleet(directory)
    changed = _changed(fleet, partial(_rotated, fleet))
    _write(fleet, changed)
    _show({}, list(changed.contents), "New data key in", as_json=as_json)


@click.group("recipients")
def recipients_group() -> None:
    """Who can open the secrets: list, add, remove. With --json for programs."""


@recipients_group.command("list")
@DIRECTORY
@AS_JSON
@debug
def list_recipients(*, directory: Path, as_json: bool) -> None:
    """List for each recipient the files in DIR that it opens. Needs no key."""
    fleet = read_fleet(directory)
    found: dict[str, list[str]] = {}
    for file in fleet.sops_files():
        for recipient in inspect(fleet.files[file], file).metadata.recipients:
            found.setdefault(recipient.name, []).append(file)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, files in found.items():
        click.echo(f"{name}: {', '.join(files)}")


@recipients_group.command("add")
@click.argument("recipient")
@FLEET
@AS_JSON
@debug
def add_recipient(*, recipient: str, directory: Path, as_json: bool) -> None:
    """Let RECIPIENT open every secret, now and later. Needs a key.

    RECIPIENT is age1…, an SSH public key, a PGP fingerprint, the ARN of a key of AWS KMS, the resource name of a key of
    Google's, or the URI of a transit key of Vault. For the last four the key service must be configured.
    """
    key = master_key(recipient)
    fleet = read_fleet(directory)
    rules = _new_rules(fleet, key, with_rule_recipient)
    changed = _changed(fleet, lambda _, edited: edited.with_recipient(key, SystemClock().now()))
    _write(fleet, changed)
    _write_rules(rules)
    files = [*map(str, rules), *changed.contents]
    _show({"recipient": key.name}, files, "Added to", as_json=as_json)


@recipients_group.command("remove")
@click.argument("recipient")
@FLEET
@AS_JSON
@debug
def remove_recipient(*, recipient: str, directory: Path, as_json: bool) -> None:
    """Shut RECIPIENT out of every secret: new data keys, for those who are left. Needs a key.

    Git keeps the old files, so that RECIPIENT still knows every value that was there: they are listed, to be replaced
    at their source.
    """
    key = master_key(recipient)
    fleet = read_fleet(directory)
    _refuse_nobody(fleet, key)
    rules = _new_rules(fleet, key, without_rule_recipient)
    changed = _changed(fleet, lambda _, edited: _without(edited, key))
    if not rules and not changed.contents:
        raise SourceError(
            "no-such-recipient", f"{key.name} is no recipient of any secret here", hint="see recipients list"
        )
    _write_rules(rules)
    _write(fleet, changed)
    files = [*map(str, rules), *changed.contents]
    record = {"recipient": key.name, "replace_at_source": list(changed.values)}
    _show(record, files, "Removed from", as_json=as_json)
    if not as_json and changed.values:
        click.echo("Replace these at their source: whoever had the old files can still read them there")
        for value in changed.values:
            click.echo(f"  {value}")


def _rotated(fleet: FleetFiles, file: str, edited: Editing) -> Editing:
    return edited.rotated(find_rule(fleet.directory / file).encryption.keys, SystemClock().now())


def _without(edited: Editing, key: MasterKey) -> Editing:
    if key.recipient not in edited.metadata.recipients:
        return edited
    return edited.rotated(edited.keys.without(key.recipient), SystemClock().now())


def _changed(fleet: FleetFiles, edit: Edit) -> _Changed:
    identities = environment_identities(fleet.directory, os.environ)
    contents: dict[str, bytes] = {}
    values: list[str] = []
    for file in fleet.sops_files():
        opened = open_to_edit(fleet.files[file], identities, file=file)
        edited = edit(file, opened)
        if edited is not opened:
            contents[file] = edited.sealed(SystemClock().now())
            values += _values(file, opened)
    return _Changed(contents=contents, values=tuple(values))


def _values(file: str, opened: Editing) -> list[str]:
    if not is_manifest(file):
        *_, server, name = ("", *file.split("/"))
        return [f"{server}/{name.partition('.')[0]}"]
    return [f"{file}: {shown_path(path)}" for path in values_of(opened.held, opened.metadata.rule)]


def _new_rules(fleet: FleetFiles, key: MasterKey, edit: RulesEdit) -> Mapping[Path, bytes]:
    """The new `.sops.yaml`, where it changes: in the rules for the files that there are, and for new ones."""
    files = {*fleet.files, MANIFEST_NAME, secret_file(MANIFEST_NAME, "server", "NAME")}
    found = [find_rule(fleet.directory / file) for file in sorted(files)]
    changed = {
        source: edit(_content(source), key, rules=_indexes(found, source), file=str(source))
        for source in _sources(found)
    }
    return {source: content for source, content in changed.items() if content != read_file(source)}


def _content(source: Path) -> bytes:
    return read_file(source) or b""


def _sources(found: list[CreationRule]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(rule.source for rule in found))


def _indexes(found: list[CreationRule], source: Path) -> frozenset[int]:
    return frozenset(rule.index for rule in found if rule.source == source)


def _refuse_nobody(fleet: FleetFiles, key: MasterKey) -> None:
    """Raises: SourceError: a rule would be left without anybody."""
    for file in (*fleet.files, secret_file(MANIFEST_NAME, "server", "NAME")):
        left = find_rule(fleet.directory / file).encryption.keys.without(key.recipient)
        if not all(left.groups):
            message = f"{key.name} is the only recipient, so that nobody would be left who can open the secrets"
            raise SourceError("last-recipient", message, hint="add another recipient first")


def _write_rules(rules: Mapping[Path, bytes]) -> None:
    for path, content in rules.items():
        replace_file(path, content, lambda _: None, before=read_file(path))


def _write(fleet: FleetFiles, changed: _Changed) -> None:
    for file, content in changed.contents.items():
        replace_file(fleet.directory / file, content, partial(_parsed, file), before=fleet.files[file])


def _parsed(file: str, content: bytes) -> None:
    inspect(content, file)


def _show(record: Mapping[str, object], files: Sequence[str], verb: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**record, "changed": list(files)}, indent=2))
        return
    for file in files:
        click.echo(f"{verb} {file}")
    if not files:
        click.echo("Nothing to change")
