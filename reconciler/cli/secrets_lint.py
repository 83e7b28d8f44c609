"""What is wrong with the secrets of a fleet, as far as anybody can see without a key.

Meant to run before every commit. It finds secrets that are not encrypted, encrypted to the wrong people, or used by
nobody; it cannot find a wrong value or a file that was copied: `catwalk secrets doctor` does, with a key.
"""

from collections.abc import Iterator
from pathlib import Path

from reconciler.cli.secrets_fleet import FleetFiles, SecretPlace, all_places
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location, Problem, Remedy
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.sops.leaves import shown_path
from reconciler.sops.writing.creation_rules import find_rule
from reconciler.sops.writing.inspection import Inspection, inspect
from reconciler.sources.layout import is_manifest

_SECRET_FILE_KEYS = frozenset({"value", "for"})


def lint(fleet: FleetFiles) -> list[Problem]:
    """Everything that is found, file by file, then what the manifests say of them."""
    problems = [problem for file in fleet.sops_files() for problem in _file_problems(fleet, file)]
    try:
        manifests = fleet.manifests()
    except InvalidManifests as error:
        return [*problems, *(problem for problem in error.problems if problem not in problems)]
    return [*problems, *_declaration_problems(fleet, manifests)]


def recipient_problems(directory: Path, file: str, inspection: Inspection) -> Iterator[Problem]:
    """Where the recipients of a file are not those of its rule."""
    try:
        wanted = {key.recipient for key in find_rule(directory / file).encryption.keys.keys}
    except CatwalkError as error:
        yield error.problem
        return
    found = set(inspection.metadata.recipients)
    if missing := sorted(each.name for each in wanted - found):
        message = f"the file is not encrypted to {', '.join(missing)}, whom .sops.yaml names"
        yield _problem("sops-wrong-recipients", message, "run `catwalk secrets rotate` with a key that opens it", file)
    if extra := sorted(each.name for each in found - wanted):
        message = f"the file is encrypted to {', '.join(extra)}, whom .sops.yaml does not name"
        hint = "run `catwalk secrets rotate`, and replace the secret at its source if they must not know it"
        yield _problem("sops-wrong-recipients", message, hint, file)


def _file_problems(fleet: FleetFiles, file: str) -> Iterator[Problem]:
    try:
        inspection = inspect(fleet.files[file], file)
    except CatwalkError as error:
        yield error.problem
        return
    yield from _bare_problems(inspection, file)
    if not is_manifest(file):
        yield from _shape_problems(inspection, file)
    yield from recipient_problems(fleet.directory, file, inspection)


def _bare_problems(inspection: Inspection, file: str) -> Iterator[Problem]:
    for value in inspection.bare:
        message = f"{shown_path(value.path)} is not encrypted"
        hint = "set it with `catwalk secrets set`, and replace it at its source if it was ever committed"
        yield Problem(code="secret-unencrypted", message=message, hint=hint, location=value.location)
    if not any(value.encrypted for value in inspection.values):
        message = "nothing in this file is encrypted: its rule covers none of its values"
        hint = "correct the rule in .sops.yaml and encrypt the file again"
        yield _problem("sops-nothing-encrypted", message, hint, file)


def _shape_problems(inspection: Inspection, file: str) -> Iterator[Problem]:
    encrypted = {value.path for value in inspection.values if value.encrypted}
    wanted = {(key,) for key in _SECRET_FILE_KEYS}
    if encrypted != wanted or len(inspection.values) != len(wanted):
        message = "a secret file holds the encrypted values `value` and `for`, and nothing else"
        yield _problem("secret-file-shape", message, "make it with `catwalk secrets set`", file)


def _declaration_problems(fleet: FleetFiles, manifests: ManifestSet) -> Iterator[Problem]:
    places = {spec.name: spec.location for spec in manifests.specs}
    for place in all_places(fleet, manifests):
        if not place.declared:
            yield _undeclared(place)
        elif place.file not in fleet.files:
            message = f"{place.name} of {place.server} is declared, and {place.file} does not exist"
            hint = f"run `catwalk secrets set {place.server} {place.name}`"
            yield Problem(code="secret-file-missing", message=message, hint=hint, location=places[place.server])


def _undeclared(place: SecretPlace) -> Problem:
    message = "no manifest declares this secret, so that no server gets it"
    hint = f"declare {place.name} under `secrets` of the server {place.server}, or delete the file"
    return _problem("secret-undeclared", message, hint, place.file)


def _problem(code: str, message: str, hint: str, file: str) -> Problem:
    return Problem(code=code, message=message, remedy=Remedy.FIX_SOURCE, hint=hint, location=Location(file=file))
