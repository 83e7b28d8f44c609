"""`catwalk secrets init`: an age key for this person, and the rules by which the fleet's secrets are encrypted.

The key goes to a private file outside every repository. What exists is never overwritten: on a second machine, or for a
second person, the command makes a key only and says who has to let it in.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from reconciler.cli.options import AS_JSON, DIRECTORY, debug
from reconciler.cli.secrets_fleet import environment_identities
from reconciler.errors import EnvironmentFault, InvalidManifests, SourceError
from reconciler.loop.clock import SystemClock
from reconciler.sops.identities import KEY_FILE_VARIABLE
from reconciler.sops.timestamps import timestamp
from reconciler.sops.writing.age_recipients import generate_identity
from reconciler.sops.writing.creation_rules import RULES_FILE, find_rules_file
from reconciler.sops.writing.disk import read_file, replace_file
from reconciler.sources.layout import MANIFEST_NAME
from reconciler.sources.manifests import read_manifests

_RULES: Final = """\
# Whom the secrets of this fleet are encrypted to: read by `catwalk secrets` and by `sops`.
# To add somebody: catwalk secrets recipients add age1…
creation_rules:
  - path_regex: (^|/)catwalk\\.yaml$
    encrypted_regex: ^secrets$
    mac_only_encrypted: true # So that people without a key can edit the rest of the manifest.
    age: {recipient}
  - path_regex: \\.sops\\.[a-z]+$ # Secret files, and whatever `catwalk secrets encrypt` is given.
    age: {recipient}
"""
_PRE_COMMIT: Final = """\
  - repo: local
    hooks:
      - id: catwalk-secrets
        name: catwalk secrets lint
        entry: catwalk secrets lint
        language: system
        pass_filenames: false"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """The key of this person; `file` is set where the command made it."""

    recipient: str
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """What was there and what was made."""

    recipient: str
    key_file: Path | None
    """Of the key that was made; none where one was configured."""
    rules: Path | None
    """The rules that were there before."""
    created: tuple[str, ...]


@click.command("init", short_help="Make a key and the rules.")
@DIRECTORY
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the age key goes; by default ~/.config/catwalk/FLEET.agekey.",
)
@AS_JSON
@debug
def init_command(*, directory: Path, key_file: Path | None, as_json: bool) -> None:
    """Make an age key, unless one is configured, and the .sops.yaml of the fleet in DIR, unless there is one.

    The key's place is written to the .env of DIR, which every command reads and which is kept out of git.
    """
    if not directory.is_dir():
        raise EnvironmentFault("no-such-directory", f"{directory} is no directory", hint="create it first")
    _show(set_up(directory, key_file), as_json=as_json)


def set_up(directory: Path, key_file: Path | None = None) -> SetUp:
    """A key, unless one is configured, and rules, unless there are some.

    Raises:
        SourceError: the key would lie in a repository.
        EnvironmentFault: a file is there already, or cannot be written.
    """
    key = _configured(directory, os.environ) or _made(directory, key_file, os.environ)
    rules = find_rules_file(directory / MANIFEST_NAME)
    created = [] if key.file is None else [str(key.file), *_remembered(directory, key.file)]
    if rules is None:
        target = directory / RULES_FILE
        replace_file(target, _RULES.format(recipient=key.recipient).encode(), lambda _: None, before=None)
        created.append(str(target))
    return SetUp(recipient=key.recipient, key_file=key.file, rules=rules, created=tuple(created))


def _configured(directory: Path, environment: Mapping[str, str]) -> _Key | None:
    recipients = environment_identities(directory, environment).recipients
    return _Key(recipient=recipients[0]) if recipients else None


def _made(directory: Path, key_file: Path | None, environment: Mapping[str, str]) -> _Key:
    target = (key_file or _default_file(directory, environment)).expanduser().absolute()
    _refuse_repository(target)
    secret, recipient = generate_identity()
    _write_key(target, f"# created: {_now()}\n# public key: {recipient}\n{secret}\n")
    return _Key(recipient=recipient, file=target)


def _default_file(directory: Path, environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home) / "catwalk" / f"{_fleet_name(directory)}.agekey"


def _fleet_name(directory: Path) -> str:
    """The fleet of the manifest; before there is a manifest, the name of the directory."""
    content = read_file(directory / MANIFEST_NAME)
    try:
        return read_manifests({MANIFEST_NAME: content}).fleet if content else directory.resolve().name
    except InvalidManifests:
        return directory.resolve().name


def _refuse_repository(target: Path) -> None:
    inside = next((folder for folder in target.resolve().parents if (folder / ".git").exists()), None)
    if inside is not None:
        message = f"{target} lies in the repository {inside}, where a key would sooner or later be committed"
        raise SourceError("key-in-repository", message, hint="name a --key-file outside every repository")


def _write_key(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        message = f"{target} exists already, and a key is never overwritten"
        hint = f"set {KEY_FILE_VARIABLE} to it if it is the key of this fleet, or name another --key-file"
        raise EnvironmentFault("key-file-exists", message, hint=hint) from None
    except OSError as error:
        message = f"the key file {target} cannot be written: {error.strerror}"
        raise EnvironmentFault("key-file-not-written", message, hint="name another --key-file") from error


def _remembered(directory: Path, key_file: Path) -> list[str]:
    """Writes the place of the key, which is no secret, where every command looks; gives the files that changed."""
    changed = [_line_added(directory / ".env", f"{KEY_FILE_VARIABLE}={key_file}")]
    changed.append(_line_added(directory / ".gitignore", ".env"))
    return [str(path) for path in changed if path is not None]


def _line_added(path: Path, line: str) -> Path | None:
    before = read_file(path)
    written = before or b""
    if line.encode() in written.splitlines():
        return None
    gap = b"\n" if written and not written.endswith(b"\n") else b""
    replace_file(path, written + gap + line.encode() + b"\n", lambda _: None, before=before)
    return path


def _now() -> str:
    moment: datetime = SystemClock().now()
    return timestamp(moment)


def _show(done: SetUp, *, as_json: bool) -> None:
    if as_json:
        record = {
            "recipient": done.recipient,
            "key_file": None if done.key_file is None else str(done.key_file),
            "rules": str(done.rules) if done.rules else None,
            "created": list(done.created),
        }
        click.echo(json.dumps(record, indent=2))
        return
    for file in done.created:
        click.echo(f"Wrote {file}")
    click.echo(f"Your recipient (public): {done.recipient}")
    if done.key_file is not None:
        click.echo(f"Back up {done.key_file} where only you can read it: without a key nobody can open the secrets.")
    if done.rules is not None:
        click.echo(f"{done.rules} is there already; somebody who can open the secrets lets you in with:")
        click.echo(f"  catwalk secrets recipients add {done.recipient}")
        return
    click.echo("Next: catwalk secrets set SERVER NAME")
    click.echo("To check before every commit, add to .pre-commit-config.yaml under repos:")
    click.echo(_PRE_COMMIT)
