"""`catwalk secrets merge`: the merge driver that git calls for files with secrets."""

import os
from pathlib import Path
from typing import Final

import click

from reconciler.cli.options import debug
from reconciler.cli.problems import NO
from reconciler.cli.secrets_fleet import environment_identities
from reconciler.errors import CatwalkError
from reconciler.loop.clock import SystemClock
from reconciler.sops.files import is_encrypted
from reconciler.sops.writing.disk import read_file, replace_file
from reconciler.sops.writing.merging import Merged, Versions, conflicting, merge

_HELP: Final = """\
Merge BASE and THEIRS into OURS by what they decrypt to; PATH names the file. Git calls it.

\b
git config merge.catwalk-secrets.driver 'catwalk secrets merge %O %A %B %P'
echo '*.sops.yaml merge=catwalk-secrets' >> .gitattributes
echo 'catwalk.yaml merge=catwalk-secrets' >> .gitattributes

Needs a key. What both sides changed differently stays a conflict, in ciphertext; exits with 1 then. There is no --json:
git reads the exit code alone.
"""
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("merge", help=_HELP, short_help="The merge driver for git.")
@click.argument("base", type=_FILE)
@click.argument("ours", type=_FILE)
@click.argument("theirs", type=_FILE)
@click.argument("path")
@debug
def merge_command(*, base: Path, ours: Path, theirs: Path, path: str) -> int:
    """Called by git; its exit code is all that git reads."""
    found = Versions(base=_content(base), ours=_content(ours), theirs=_content(theirs))
    try:
        merged = _merged(found, path)
    except CatwalkError:
        # Left as our side, the file would look resolved, and theirs would be lost with the next commit.
        _write(ours, found, conflicting(found, ()))
        raise
    _write(ours, found, merged)
    for conflict in merged.conflicts:
        click.echo(f"{path}: both sides changed {conflict}", err=True)
    if merged.conflicts:
        click.echo(f"  fix: git checkout --ours {path} (or --theirs), set the values again, git add {path}", err=True)
    return NO if merged.conflicts else 0


def _write(target: Path, versions: Versions, merged: Merged) -> None:
    if merged.content != versions.ours:
        replace_file(target, merged.content, lambda _: None, before=versions.ours)


def _merged(versions: Versions, path: str) -> Merged:
    if any(is_encrypted(content) for content in (versions.ours, versions.theirs)):
        identities = environment_identities(Path(), os.environ)
        return merge(versions, identities, file=path, last_modified=SystemClock().now())
    lines = conflicting(versions, ())
    clean = b"<<<<<<< ours" not in lines.content
    return lines if clean else conflicting(versions, ("the same lines",))


def _content(path: Path) -> bytes:
    return read_file(path) or b""
