"""From manifests and registries to the text of their locks.

What a registry says now is written down, except where a lock already says something else about the same version: that
is an alarm and never an update. An entry that does not change keeps its dates, so that a lock changes only when what
runs does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from reconciler.cli.validation_packages import AT_ONCE, Releases
from reconciler.core.executables import chosen_executable, executable_problem
from reconciler.core.lock import lock_text, locked_name, stated_version
from reconciler.core.lock_rules import lock_findings
from reconciler.core.locked import LockedProgram
from reconciler.core.problems import Problem
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, ServerSpec
from reconciler.errors import CatwalkError, InvalidManifests, SourceError
from reconciler.loop.concurrency import each
from reconciler.sources.git import WorktreeSource
from reconciler.sources.layout import is_lock, lock_file, manifest_beside
from reconciler.sources.locks import read_lock
from reconciler.sources.manifests import read_manifests


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLocks:
    """The manifests of a directory as written, and the locks beside them as they are."""

    directory: Path
    files: Mapping[str, bytes]
    specs: tuple[ServerSpec, ...]
    """Without what the locks say."""
    locks: Mapping[str, Mapping[str, LockedProgram]]
    """Entries by manifest and server; an unreadable lock has none."""
    environment: str = ""
    """Whose overlays and locks these are; empty for the manifests alone."""

    def locked(self, spec: ServerSpec) -> LockedProgram | None:
        return self.locks.get(manifest_of(spec), {}).get(spec.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of locking a fleet."""

    environment: str
    entries: Mapping[str, Mapping[str, LockedProgram]]
    """By manifest and server."""
    problems: tuple[Problem, ...] = ()
    """Servers that could not be locked; what their locks said before stays."""

    def texts(self) -> Mapping[str, str]:
        """The locks by path."""
        return {lock_file(manifest, self.environment): lock_text(entries) for manifest, entries in self.entries.items()}


@dataclass(slots=True, kw_only=True)
class _Attempt:
    spec: ServerSpec
    entry: LockedProgram | None = None
    problems: list[Problem] = field(default_factory=list[Problem])


async def read_locks(directory: Path, environment: str = "") -> FleetLocks:
    """The fleet in a directory, with the overlays of an environment where one is named.

    Raises:
        InvalidManifests: the manifests are wrong.
        SourceError, EnvironmentFault: the files cannot be read.
    """
    source = WorktreeSource(directory=directory)
    files = await source.files(await source.head())
    plain = {path: content for path, content in files.items() if not is_lock(path)}
    manifests = read_manifests(plain, environment, to_be_locked=True)
    locks = {manifest: _readable(files, lock_file(manifest, environment)) for manifest in manifests.files}
    return FleetLocks(directory=directory, files=files, specs=manifests.specs, locks=locks, environment=environment)


def _readable(files: Mapping[str, bytes], file: str) -> Mapping[str, LockedProgram]:
    try:
        return read_lock(file, bytes(files[file])) if file in files else {}
    except InvalidManifests:
        return {}  # It is written anew, which is what a person is told to do about it.


def manifest_of(spec: ServerSpec) -> str:
    """The manifest that declares a server, also where an overlay does."""
    return manifest_beside(spec.location.file) if spec.location else ""


async def make_locks(fleet: FleetLocks, releases: Releases, now: datetime) -> Made:
    """The locks that the fleet should have. A server that cannot be locked keeps its entry and has a problem."""

    async def attempt(spec: ServerSpec) -> _Attempt:
        return await _attempt(spec, fleet.locked(spec), releases, now)

    attempts = await each(fleet.specs, attempt, limit=AT_ONCE)
    entries: dict[str, dict[str, LockedProgram]] = {manifest: {} for manifest in fleet.locks}
    for made in attempts:
        if made.entry is not None:
            entries[manifest_of(made.spec)][made.spec.name] = made.entry
    return Made(
        environment=fleet.environment,
        entries=entries,
        problems=tuple(problem for made in attempts for problem in made.problems),
    )


async def _attempt(spec: ServerSpec, known: LockedProgram | None, releases: Releases, now: datetime) -> _Attempt:
    made = _Attempt(spec=spec)
    try:
        made.entry = await _entry(spec, known, releases, now)
    except CatwalkError as error:
        made.entry = known
        place = error.problem.location or spec.program_location
        made.problems.append(replace(error.problem, server=spec.name, location=place))
    return made


async def _entry(
    spec: ServerSpec, known: LockedProgram | None, releases: Releases, now: datetime
) -> LockedProgram | None:
    name = locked_name(spec.package)
    if not name:
        return None
    known = known if known is not None and known.program == name else None
    version = stated_version(spec.package) or (known.version if known else "")
    entry = LockedProgram(program=name, version=version, resolved_at=_to_the_second(now))
    if isinstance(spec.package, PackageReference):
        release = await _release(replace(spec.package, version=version), releases)
        _refuse_another_content(spec, known, release)
        await releases.resolve(release, spec.resolve_as_of)
        entry = _package_entry(spec, entry, release)
    elif not version:
        raise SourceError("unpinned-image", f"{spec.package} has no digest to lock", hint="pin it with `@sha256:…`")
    return _with_old_date(entry, known)


async def _release(reference: PackageReference, releases: Releases) -> Release:
    release = await releases.release(reference, complete=True)
    if release is None:
        raise SourceError("registry-unknown", "npm, which would say where its registry is, is not installed here")
    return release


def _package_entry(spec: ServerSpec, entry: LockedProgram, release: Release) -> LockedProgram:
    executables = release.executables
    chosen = ""
    if executables is not None and not spec.command:
        if problem := executable_problem(release.package, executables, spec.entrypoint):
            raise SourceError(problem.code, problem.message, hint=problem.hint)
        chosen = chosen_executable(release.package, executables, spec.entrypoint)
    return replace(
        entry,
        version=release.package.version,
        files=release.files,
        executable=chosen,
        published_at=_to_the_second(release.published_at),
    )


def _to_the_second(moment: datetime | None) -> datetime | None:
    """As exact as the text of a lock."""
    return moment.replace(microsecond=0) if moment else None


def _refuse_another_content(spec: ServerSpec, known: LockedProgram | None, release: Release) -> None:
    if known is None or known.version != release.package.version:
        return
    locked = replace(spec, package=release.package, locked=known)
    for finding in lock_findings(locked, release):
        hint = "ask its publisher; to accept the new content, remove the entry from catwalk.lock and lock again"
        raise SourceError(finding.problem.code, finding.problem.message, hint=hint, location=known.location)


def _with_old_date(entry: LockedProgram, known: LockedProgram | None) -> LockedProgram:
    """An entry that says nothing new keeps the day on which it was made."""
    if known is not None and replace(known, resolved_at=entry.resolved_at) == replace(entry, location=None):
        return known
    return entry
