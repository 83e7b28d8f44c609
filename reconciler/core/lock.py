"""What `catwalk.lock` says: exactly which program each server of one manifest runs, and how to recognise it.

A version names a program; a digest proves that it is still the same one. The lock stands beside the manifest in git, so
that a change of either is reviewed as a change of text. Its text is decided here and depends on its content alone.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from packaging.utils import canonicalize_name

from reconciler.core.locked import LockedProgram
from reconciler.core.programs import FolderProgram, GitProgram, ImageProgram
from reconciler.core.remotes import RemoteProgram
from reconciler.core.types import PackageReference, Program, Registry

LOCK_VERSION: Final = 1
HEAD: Final = "# Made by `catwalk lock`: commit it beside its manifest, and do not edit it.\n"


def locked_name(program: Program) -> str:
    """How a lock calls a program; empty for what needs no lock, because it lies in the same commit."""
    match program:
        case PackageReference(registry=Registry.NPM):
            return f"npm:{program.name}"
        case PackageReference():
            return f"pypi:{canonicalize_name(program.name)}"
        case GitProgram():
            return f"git:{program.url}" + (f"//{program.directory}" if program.directory else "")
        case ImageProgram():
            return f"image:{program.reference.partition('@')[0]}"
        case FolderProgram() | RemoteProgram():
            return ""


def stated_version(program: Program) -> str:
    """The version that a manifest states; empty where it leaves it open."""
    match program:
        case PackageReference():
            return program.version
        case GitProgram():
            return program.commit
        case ImageProgram():
            return program.reference.partition("@")[2]
        case FolderProgram() | RemoteProgram():
            return ""


def lock_text(entries: Mapping[str, LockedProgram]) -> str:
    """The whole file: servers and files sorted, one fact a line, so that a review shows what changed and no more."""
    lines = [f"lockVersion: {LOCK_VERSION}", "servers:" if entries else "servers: {}"]
    for server, entry in sorted(entries.items()):
        lines += [f"  {server}:", *_entry_lines(entry)]
    return HEAD + "\n".join(lines) + "\n"


def _entry_lines(entry: LockedProgram) -> Iterator[str]:
    facts = {
        "program": entry.program,
        "version": entry.version,
        "executable": entry.executable,
        "published": moment_text(entry.published_at),
        "resolved": moment_text(entry.resolved_at),
    }
    yield from (f"    {key}: {_quoted(value)}" for key, value in facts.items() if value)
    if entry.files:
        yield "    files:"
        yield from (f"      {_quoted(name)}: {_quoted(digest)}" for name, digest in sorted(entry.files.items()))


def _quoted(text: str) -> str:
    """A JSON string is a YAML scalar too, and one that nothing turns into a number or a date."""
    return json.dumps(text, ensure_ascii=False)


def moment_text(moment: datetime | None) -> str:
    """To the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
