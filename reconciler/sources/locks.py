"""Reads `catwalk.lock`: which exact program each server of the manifest beside it runs.

The file is made by a program and merged by people, so every way in which a merge can spoil it has a place and a fix.
What it says is compared with the manifest and the registry elsewhere; here it only has to be well formed.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from reconciler.core.lock import LOCK_VERSION
from reconciler.core.locked import LockedProgram
from reconciler.core.moments import moment_of
from reconciler.core.problems import Problem
from reconciler.errors import InvalidManifests
from reconciler.sources.yaml_nodes import Document, Path, Value, read_document

_KEYS: Final = frozenset({"program", "version", "executable", "published", "resolved", "files"})
_PROGRAM: Final = re.compile(r"(?:npm|pypi|git|image):\S+")
_DIGEST: Final = re.compile(
    r"sha(?:1|256|384|512)-[A-Za-z0-9+/]+={0,2}(?: sha\d+-[A-Za-z0-9+/]+={0,2})*|sha256:[0-9a-f]{64}"
)
_HINT: Final = "run `catwalk lock` again; it writes the whole file"


@lru_cache(maxsize=256)
def read_lock(file: str, content: bytes) -> Mapping[str, LockedProgram]:
    """The entries of one lock by server.

    Raises:
        InvalidManifests: it is no lock; carries every problem with its place.
    """
    document = read_document(file, content)
    problems = [*document.problems, *_problems(document)]
    if problems:
        raise InvalidManifests(tuple(problems))
    return {server: _entry(document, server) for server in _mapping(_mapping(document.data).get("servers"))}


def _problems(document: Document) -> Iterator[Problem]:
    root = _mapping(document.data)
    if root.get("lockVersion") != LOCK_VERSION:
        message = f"this is no lock of version {LOCK_VERSION}"
        yield _bad(document, ("lockVersion",), message)
        return
    if not isinstance(root.get("servers"), dict):
        yield _bad(document, ("servers",), "`servers` must hold one entry per server")
    for server, entry in _mapping(root.get("servers")).items():
        yield from _entry_problems(document, ("servers", server), entry)


def _entry_problems(document: Document, path: Path, entry: Value) -> Iterator[Problem]:
    fields = _mapping(entry)
    for key in sorted(fields.keys() - _KEYS):
        yield _bad(document, (*path, key), f"a lock has no key `{key}`")
    for key in sorted(_KEYS - {"files"}):
        if key in fields and not isinstance(fields[key], str):
            yield _bad(document, (*path, key), f"`{key}` must be text")
    if not _PROGRAM.fullmatch(str(fields.get("program", ""))):
        yield _bad(document, (*path, "program"), "`program` must name a package, a repository or an image")
    if not fields.get("version"):
        yield _bad(document, (*path, "version"), "`version` is missing")
    for name, digest in _mapping(fields.get("files")).items():
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            yield _bad(document, (*path, "files", name), "this is no digest of a file")


def _entry(document: Document, server: str) -> LockedProgram:
    path: Path = ("servers", server)
    fields = _mapping(_mapping(_mapping(document.data)["servers"])[server])
    return LockedProgram(
        program=str(fields["program"]),
        version=str(fields["version"]),
        files={name: str(digest) for name, digest in _mapping(fields.get("files")).items()},
        executable=str(fields.get("executable", "")),
        published_at=moment_of(fields.get("published")),
        resolved_at=moment_of(fields.get("resolved")),
        location=document.key_place(path),
    )


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}


def _bad(document: Document, path: Path, message: str) -> Problem:
    return Problem(code="bad-lock", message=message, hint=_HINT, location=document.key_place(path))
