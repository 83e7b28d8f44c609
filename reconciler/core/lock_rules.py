"""Whether what `catwalk.lock` says fits the manifest and the registry.

A lock that does not fit stops its server: either the manifest was changed without it, or somebody serves another file
under the same version, and both are for a person to look at.
"""

from collections.abc import Iterator
from dataclasses import replace

from reconciler.core.findings import Finding
from reconciler.core.lock import locked_name, stated_version
from reconciler.core.locked import LockDuty, LockedProgram
from reconciler.core.problems import Problem
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Program, ServerSpec


def effective_program(program: Program, locked: LockedProgram | None) -> Program:
    """What runs: a package without a version is the version that the lock names."""
    if isinstance(program, PackageReference) and not program.version and locked and _same(program, locked):
        return replace(program, version=locked.version)
    return program


def is_locked(program: Program, locked: LockedProgram | None) -> bool:
    """Whether a lock names the exact program that a manifest asks for."""
    if locked is None or not _same(program, locked):
        return False
    return stated_version(program) in {"", locked.version}


def _same(program: Program, locked: LockedProgram) -> bool:
    return locked_name(program) == locked.program


def lock_findings(spec: ServerSpec, release: Release | None) -> Iterator[Finding]:
    """What is wrong between manifest, lock and registry for one server."""
    if not locked_name(spec.package):
        return
    if spec.locked is None:
        yield from _absence(spec)
    elif not is_locked(spec.package, spec.locked):
        message = f"catwalk.lock has {spec.locked.program} {spec.locked.version}, the manifest {spec.package}"
        yield _refusal(spec, "lock-outdated", message, "run `catwalk lock` and commit both files")
    elif release is not None:
        yield from _difference(spec, spec.locked, release)


def _absence(spec: ServerSpec) -> Iterator[Finding]:
    if spec.lock_duty is LockDuty.NONE:
        return
    message = f"{spec.package} does not stand in catwalk.lock"
    hint = "run `catwalk lock` and commit the file"
    problem = Problem(code="not-locked", message=message, hint=hint)
    yield Finding(problem=problem, is_error=spec.lock_duty is LockDuty.REQUIRED)


def _difference(spec: ServerSpec, locked: LockedProgram, release: Release) -> Iterator[Finding]:
    """Files may be added to a version later (wheels for another platform); none may change."""
    changed = sorted(name for name, digest in locked.files.items() if release.files.get(name, digest) != digest)
    if changed:
        message = (
            f"the registry serves {changed[0]} of {release.package} with another content than catwalk.lock records"
        )
        hint = "somebody replaced a published file: ask its publisher before you run `catwalk lock` again"
        yield _refusal(spec, "integrity-mismatch", message, hint)
    elif locked.files and release.files and not locked.files.keys() & release.files.keys():
        message = f"no file of {release.package} that catwalk.lock records is left on the registry"
        yield _refusal(spec, "integrity-mismatch", message, "run `catwalk lock` and look at what changed")


def _refusal(spec: ServerSpec, code: str, message: str, hint: str) -> Finding:
    location = spec.locked.location if spec.locked else None
    return Finding(problem=Problem(code=code, message=message, hint=hint, location=location), is_error=True)
