"""From the files of a revision to a fleet: the manifest reader.

It tells everything that is wrong at once and gives a fleet only when nothing is, because half of a manifest must never
be taken for the whole of what is wanted. It decrypts nothing: encrypted files are readable apart from their secrets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from pydantic import ValidationError

from reconciler.core.locked import LockedProgram
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location, Problem
from reconciler.errors import InvalidManifests
from reconciler.sources.layout import MANIFEST_NAME, is_manifest, lock_file, overlay_file
from reconciler.sources.locks import read_lock
from reconciler.sources.manifest_dependencies import dependency_problems
from reconciler.sources.manifest_gateway import gateway_problems, gateway_rules
from reconciler.sources.manifest_policy import (
    pinned_required,
    policy_problems,
    policy_warnings,
    signature_ways,
    strictest_prune,
)
from reconciler.sources.manifest_problems import describe, key_path, shape_problems
from reconciler.sources.manifest_servers import ReadServer
from reconciler.sources.manifest_specs import region_warnings, server_problems, server_spec
from reconciler.sources.overlays import overlaid, overlay_problems, overlay_warnings
from reconciler.sources.yaml_nodes import Document, Path, Value, read_document
from schemas.v1.manifest import DEFAULT_ORGANIZATION, Manifest


def read_manifests(files: Mapping[str, bytes], environment: str = "", *, to_be_locked: bool = False) -> ManifestSet:
    """The fleet that all `catwalk.yaml` files among `files` declare together.

    Args:
        files: content by path relative to the followed directory; files of other names are ignored.
        environment: whose overlays are laid over the manifests; empty for none.
        to_be_locked: whether they are read to make their locks, so that what only a lock will pin is no fault yet.

    Raises:
        InvalidManifests: at least one is wrong; carries every problem with its place, sorted by place.
    """
    names = sorted(path for path in files if is_manifest(path))
    problems = [] if names else [_no_manifest()]
    problems += overlay_problems(files, environment) if environment else ()
    servers: list[ReadServer] = []
    manifests: list[tuple[Document, Manifest]] = []
    for name in names:
        try:
            document, manifest = _read_one(name, bytes(files[name]), _overlay(name, files, environment))
        except InvalidManifests as invalid:
            problems += invalid.problems
            continue
        manifests.append((document, manifest))
        locks, faults = _locks(name, files, environment)
        problems += faults
        servers += [
            ReadServer(
                document=document, manifest=manifest, name=server, files=files, locks=locks, environment=environment
            )
            for server in manifest.servers
        ]
    whole = not problems
    problems += _problems_together(manifests, servers)
    if whole:
        # Servers of a file that could not be read would be missed in these.
        problems += dependency_problems(servers)
        problems += gateway_problems(manifests, [server.name for server in servers])
        problems += policy_problems(manifests, servers, to_be_locked=to_be_locked)
    if problems:
        raise InvalidManifests(tuple(sorted(problems, key=_reading_order)))
    found = _fleet(manifests, servers)
    overlaid_by = overlay_warnings((document for document, _ in manifests), environment)
    regions = {(each.message, each.location): each for server in servers for each in region_warnings(server)}
    return replace(found, warnings=(*found.warnings, *regions.values(), *overlaid_by))


def _overlay(manifest: str, files: Mapping[str, bytes], environment: str) -> tuple[str, bytes] | None:
    file = overlay_file(manifest, environment)
    return (file, bytes(files[file])) if environment and file in files else None


def _locks(
    manifest: str, files: Mapping[str, bytes], environment: str
) -> tuple[Mapping[str, LockedProgram], tuple[Problem, ...]]:
    """The lock beside a manifest, that of the environment where it has one, and what is wrong with it."""
    of_its_own = lock_file(manifest, environment)
    file = of_its_own if of_its_own in files else lock_file(manifest)
    try:
        return (read_lock(file, bytes(files[file])) if file in files else {}), ()
    except InvalidManifests as invalid:
        return {}, invalid.problems


def _fleet(manifests: Sequence[tuple[Document, Manifest]], servers: Sequence[ReadServer]) -> ManifestSet:
    _, first = manifests[0]
    pinned = pinned_required(manifests)
    return ManifestSet(
        fleet=first.fleet,
        organization=_stated_organization(manifests),
        specs=tuple(
            server_spec(server, pinned_required=pinned) for server in sorted(servers, key=lambda server: server.name)
        ),
        warnings=tuple(sorted(policy_warnings(manifests, servers), key=_reading_order)),
        files=tuple(document.file for document, _ in manifests),
        prune=strictest_prune([manifest for _, manifest in manifests]),
        signed_commits=signature_ways([manifest for _, manifest in manifests]),
        gateway=gateway_rules(manifests),
    )


@lru_cache(maxsize=256)
def _read_one(file: str, content: bytes, overlay: tuple[str, bytes] | None) -> tuple[Document, Manifest]:
    document = read_document(file, content)
    problems = [*document.problems, *_frame_problems(document)]
    if overlay is not None:
        above = read_document(*overlay)
        problems += [*above.problems, *(_frame_problems(above) if above.data is not None else ())]
        if isinstance(document.data, dict) and isinstance(above.data, dict):
            document = overlaid(document, above)
    if not problems or isinstance(document.data, dict):
        try:
            manifest = Manifest.model_validate(document.data)
        except ValidationError as error:
            problems += _without_encrypted(document, error)
        else:
            if not problems:
                return document, manifest
    raise InvalidManifests(tuple(problems))


def _without_encrypted(document: Document, error: ValidationError) -> Iterator[Problem]:
    """Shape problems, but not of values that are told to be encrypted by mistake already."""
    encrypted = set(_misplaced_ciphertexts(document.data, ()))
    details = [
        detail for detail in error.errors(include_url=False, include_context=True) if detail["loc"] not in encrypted
    ]
    return shape_problems(document, details)


def _frame_problems(document: Document) -> Iterator[Problem]:
    if document.data is None:
        yield Problem(
            code="empty-manifest",
            message="the manifest is empty",
            hint="start it with `apiVersion: catwalk.dev/v1`",
            location=Location(file=document.file),
        )
    elif not isinstance(document.data, dict):
        yield Problem(
            code="wrong-type",
            message=f"a manifest must be a mapping of keys to values, not {describe(document.data)}",
            hint="start it with `apiVersion: catwalk.dev/v1`",
            location=document.place(()),
        )
    elif misplaced := list(_misplaced_ciphertexts(document.data, ())):
        yield _encrypted_value(document, misplaced)


def _encrypted_value(document: Document, paths: Sequence[Path]) -> Problem:
    more = f", like {len(paths) - 1} more" if len(paths) > 1 else ""
    return Problem(
        code="encrypted-value",
        message=f"`{key_path(paths[0])}` is encrypted{more}, but only values below `secrets` may be",
        hint="encrypt the file with `encrypted_regex: ^secrets$`, so that people can read and review the rest",
        location=document.place(paths[0]),
    )


def _misplaced_ciphertexts(value: Value, path: Path) -> Iterator[Path]:
    if isinstance(value, str):
        if value.startswith("ENC[AES256_GCM,"):
            yield path
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _misplaced_ciphertexts(item, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            inner = (*path, key)
            if inner != ("sops",) and not (len(inner) == 3 and inner[0] == "servers" and key == "secrets"):
                yield from _misplaced_ciphertexts(item, inner)


def _problems_together(
    manifests: Sequence[tuple[Document, Manifest]], servers: Sequence[ReadServer]
) -> Iterator[Problem]:
    yield from _disagreements(manifests)
    yield from _repeated_names(servers)
    seen: set[tuple[str, Location | None]] = set()
    for server in servers:
        for problem in server_problems(server):
            # A wrong default is one fault, however many servers inherit it.
            if (place := (problem.message, problem.location)) not in seen:
                seen.add(place)
                yield problem


def _disagreements(manifests: Sequence[tuple[Document, Manifest]]) -> Iterator[Problem]:
    yield from _disagreement([(document, ("fleet",), manifest.fleet) for document, manifest in manifests])
    yield from _disagreement(_organizations(manifests))


def _organizations(manifests: Sequence[tuple[Document, Manifest]]) -> list[tuple[Document, Path, str]]:
    """Where manifests state an organization; one that states none agrees with the others."""
    path = ("fly", "organization")
    return [(document, path, manifest.fly.organization) for document, manifest in manifests if document.has(path)]


def _stated_organization(manifests: Sequence[tuple[Document, Manifest]]) -> str:
    return next((organization for _, _, organization in _organizations(manifests)), DEFAULT_ORGANIZATION)


def _disagreement(stated: Sequence[tuple[Document, Path, str]]) -> Iterator[Problem]:
    for document, path, value in stated[1:]:
        first_document, _, first = stated[0]
        if value != first:
            yield Problem(
                code=f"different-{path[-1]}",
                message=f"the {path[-1]} is `{value}` here and `{first}` at {first_document.place(path)}",
                hint=f"all manifests of a repository share one {path[-1]}: state the same",
                location=document.place(path),
            )


def _repeated_names(servers: Sequence[ReadServer]) -> Iterator[Problem]:
    first: dict[str, ReadServer] = {}
    for server in servers:
        other = first.setdefault(server.name, server)
        if other is not server:
            message = f"the server `{server.name}` is declared here and at {other.location}"
            yield server.problem("duplicate-server", message, "rename or remove one of the two", server.location)


def _no_manifest() -> Problem:
    return Problem(
        code="no-manifest",
        message=f"there is no {MANIFEST_NAME}, so that nothing says which servers to run",
        hint="write and commit one, as in examples/quickstart, or name the directory that holds it",
    )


def _reading_order(problem: Problem) -> tuple[str, int, int]:
    location = problem.location or Location(file="")
    return location.file, location.line, location.column
