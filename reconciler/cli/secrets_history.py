"""Secrets that went back in time: a file whose `lastmodified` is older than the one that a commit before it had.

Nothing in the format tells an old version of a file from the newest, and an old one verifies: a value that was replaced
because it leaked is in force again. Where the fleet is in a git repository, the last commits show it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import anyio

from reconciler.cli.secrets_fleet import FleetFiles
from reconciler.core.problems import Location, Problem, Remedy
from reconciler.errors import CatwalkError
from reconciler.sops.writing.sealed import metadata_of
from reconciler.sources.git import discover

_COMMITS: Final = 20
"""How far back is looked: each commit costs a reading of its secret files."""
_Times = dict[str, datetime]


def rolled_back(fleet: FleetFiles) -> Iterator[Problem]:
    """One problem for every file that is older than it was; nothing where there is no repository."""
    present = _times({file: fleet.files[file] for file in fleet.sops_files()})
    for file, newest in sorted(_newest(fleet, present).items()):
        if newest > present[file]:
            message = f"this version was made at {_shown(present[file])}, and the history has one of {_shown(newest)}"
            hint = (
                "an older secret is in force again: take the newest version from git, or set the value anew if the "
                "older one is wanted"
            )
            yield Problem(
                code="secret-rolled-back",
                message=message,
                remedy=Remedy.FIX_SOURCE,
                hint=hint,
                location=Location(file=file),
            )


def _newest(fleet: FleetFiles, present: _Times) -> _Times:
    newest: _Times = {}
    seen: set[bytes] = set(fleet.files.values())
    for files in anyio.run(_versions, fleet):
        fresh = {file: files[file] for file in present if files.get(file) not in seen and file in files}
        seen |= set(fresh.values())
        for file, moment in _times(fresh).items():
            newest[file] = max(moment, newest.get(file, moment))
    return newest


async def _versions(fleet: FleetFiles) -> list[Mapping[str, bytes]]:
    try:
        source = discover(fleet.directory)
        head = await source.head()
        revisions = (head, *await source.before(head, limit=_COMMITS))
        return [await source.files(revision) for revision in revisions]
    except CatwalkError:
        return []


def _times(files: Mapping[str, bytes]) -> _Times:
    found: _Times = {}
    for file, content in files.items():
        try:
            found[file] = datetime.fromisoformat(metadata_of(content, file).last_modified)
        except CatwalkError:
            continue
    return found


def _shown(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
