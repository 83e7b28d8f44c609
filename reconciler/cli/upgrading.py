"""Newer versions for the packages of a fleet: found, judged, and written into the manifests in place."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.cli.locking import FleetLocks, manifest_of
from reconciler.cli.validation_packages import AT_ONCE, Releases
from reconciler.core.package_rules import PackageFacts, package_findings
from reconciler.core.problems import Problem
from reconciler.core.types import PackageReference, ServerSpec
from reconciler.core.upgrades import Upgrade, upgrade_to
from reconciler.errors import CatwalkError
from reconciler.loop.concurrency import each
from reconciler.sources.manifest_versions import with_package


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrades:
    """What could be upgraded, and what stands against the rest."""

    found: tuple[Upgrade, ...] = ()
    problems: tuple[Problem, ...] = ()


async def find_upgrades(fleet: FleetLocks, servers: Collection[str], releases: Releases, now: datetime) -> Upgrades:
    """The newest versions for the servers named, for all where none is; only versions that could run."""

    async def look(spec: ServerSpec) -> Upgrade | Problem | None:
        try:
            return await _upgrade(fleet, spec, releases, now)
        except CatwalkError as error:
            return replace(error.problem, server=spec.name, location=error.problem.location or spec.program_location)

    wanted = [spec for spec in fleet.specs if not servers or spec.name in servers]
    results = await each(wanted, look, limit=AT_ONCE)
    return Upgrades(
        found=tuple(result for result in results if isinstance(result, Upgrade)),
        problems=tuple(result for result in results if isinstance(result, Problem)),
    )


async def _upgrade(fleet: FleetLocks, spec: ServerSpec, releases: Releases, now: datetime) -> Upgrade | Problem | None:
    if not isinstance(spec.package, PackageReference):
        return None
    locked = fleet.locked(spec)
    current = spec.package.version or (locked.version if locked else "")
    newest = await releases.release(replace(spec.package, version=""), complete=True)
    found = upgrade_to(spec.name, current, newest) if newest is not None else None
    if found is None:
        return None
    newer = replace(spec, package=found.package, locked=None)
    errors = (each.problem for each in package_findings(newer, PackageFacts(release=newest), now) if each.is_error)
    return next(errors, found)


def rewritten(fleet: FleetLocks, upgrades: Sequence[Upgrade]) -> Mapping[str, bytes]:
    """The manifests that change, by path; a package without a version stays as it is, its lock names the new one.

    Raises:
        SourceError: a value cannot be replaced in place.
    """
    changed: dict[str, bytes] = {}
    specs = {spec.name: spec for spec in fleet.specs}
    for upgrade in upgrades:
        spec = specs[upgrade.server]
        file = spec.program_location.file if spec.program_location else manifest_of(spec)
        if isinstance(spec.package, PackageReference) and spec.package.version:
            before = changed.get(file, bytes(fleet.files[file]))
            changed[file] = with_package(before, upgrade.server, str(upgrade.package), file=file)
    return changed


def upgraded(fleet: FleetLocks, upgrades: Sequence[Upgrade]) -> FleetLocks:
    """The fleet as it is when the upgrades are made: their versions in the specs, and nothing locked about them."""
    packages = {upgrade.server: upgrade.package for upgrade in upgrades}
    specs = tuple(replace(spec, package=packages.get(spec.name, spec.package)) for spec in fleet.specs)
    locks = {
        manifest: {name: entry for name, entry in entries.items() if name not in packages}
        for manifest, entries in fleet.locks.items()
    }
    return replace(fleet, specs=specs, locks=locks)
