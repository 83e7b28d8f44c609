"""Which key opens what, and why not: every file of the fleet against every configured identity, one by one.

Keys are named by their public recipients. What opens is checked as the reconciler checks it: MAC, form and place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.cli.secrets_fleet import FleetFiles, all_places
from reconciler.cli.secrets_lint import recipient_problems
from reconciler.core.problems import Problem
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.sops.document import decrypt
from reconciler.sops.identities import Identities
from reconciler.sops.secret_file import read_secret_file
from reconciler.sops.writing.inspection import inspect
from reconciler.sources.layout import is_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file: who of us opens it, and what is wrong with it."""

    file: str
    recipients: tuple[str, ...]
    opened_by: tuple[str, ...]
    """Recipients of the configured identities."""
    problems: tuple[Problem, ...]

    @property
    def well(self) -> bool:
        return not self.problems

    def record(self) -> dict[str, object]:
        """The shape of `--json`."""
        return {
            "file": self.file,
            "recipients": list(self.recipients),
            "opened_by": list(self.opened_by),
            "problems": [{"code": each.code, "message": each.message, "hint": each.hint} for each in self.problems],
        }


def check_fleet(fleet: FleetFiles, identities: Identities) -> list[Checked]:
    """Every file with secrets."""
    places = _places(fleet)
    return [_checked(fleet, identities, file, places.get(file, "")) for file in fleet.sops_files()]


def _places(fleet: FleetFiles) -> Mapping[str, str]:
    """What each file of its own must say of itself; nothing where the manifests do not tell."""
    try:
        manifests = fleet.manifests()
    except InvalidManifests:
        return {}
    return {place.file: place.place for place in all_places(fleet, manifests) if not place.inline}


def _checked(fleet: FleetFiles, identities: Identities, file: str, place: str) -> Checked:
    content = fleet.files[file]
    try:
        inspection = inspect(content, file)
    except CatwalkError as error:
        return Checked(file=file, recipients=(), opened_by=(), problems=(error.problem,))
    found = tuple(_problems(content, identities, file, place))
    return Checked(
        file=file,
        recipients=tuple(each.name for each in inspection.metadata.recipients),
        opened_by=tuple(_openers(content, identities, file)),
        problems=(*found, *recipient_problems(fleet.directory, file, inspection)),
    )


def _problems(content: bytes, identities: Identities, file: str, place: str) -> Iterator[Problem]:
    try:
        if place and not is_manifest(file):
            read_secret_file(content, identities, file=file, place=place)
        else:
            decrypt(content, identities, file=file)
    except CatwalkError as error:
        yield error.problem


def _openers(content: bytes, identities: Identities, file: str) -> Iterator[str]:
    for key in identities.keys:
        try:
            decrypt(content, replace(identities, keys=(key,)), file=file)
        except CatwalkError:
            continue
        yield key.recipient
