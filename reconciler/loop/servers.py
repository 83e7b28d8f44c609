"""From the servers of a manifest to the machines that should exist, each server on its own.

A tampered secret, a missing key or a package that does not exist blocks its server and no other: what runs of it stays.
A registry that does not answer proves nothing, so it warns and blocks nothing. A suspended server is resolved without
reading its secrets, because nothing is going to be done to it.
"""

from collections.abc import Mapping
from dataclasses import replace

import structlog

from reconciler.core.digests import keyed_digest
from reconciler.core.problems import Problem, Remedy
from reconciler.core.resolve import resolve
from reconciler.core.types import ServerSpec
from reconciler.errors import SourceError
from reconciler.loop.concurrency import each
from reconciler.loop.desired import Accepted, ResolvedServer
from reconciler.loop.faults import crashed, problems_of, stack_of
from reconciler.loop.packages import PackageChecks
from reconciler.loop.ports import SecretReader, ServerSecrets
from reconciler.loop.setup import PassSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.loop")


class Resolver:
    """Resolves every server of an accepted revision."""

    def __init__(self, secrets: SecretReader, packages: PackageChecks, settings: PassSettings) -> None:
        self._secrets = secrets
        self._packages = packages
        self._settings = settings

    async def resolve_all(self, accepted: Accepted) -> tuple[ResolvedServer, ...]:
        """One entry for each server of the manifest, in its order; failures are entries, not exceptions."""
        specs = accepted.manifests.specs

        async def resolve_guarded(spec: ServerSpec) -> ResolvedServer:
            try:
                return await self._resolve(spec, accepted.files)
            except Exception as error:  # noqa: BLE001  # Whatever is wrong with one server blocks that one alone.
                return ResolvedServer(spec=spec, problem=_blocking(error, spec))

        resolved = await each(specs, resolve_guarded, limit=self._settings.concurrency)
        self._packages.forget_others(specs)
        return resolved

    async def resolve_one(self, accepted: Accepted, name: str) -> ResolvedServer:
        """One server of an earlier revision, which must be resolved whole to be of use.

        Raises:
            CatwalkError: that revision does not declare it, or it cannot be resolved now.
        """
        spec = next((spec for spec in accepted.manifests.specs if spec.name == name), None)
        if spec is None:
            raise SourceError("server-not-declared", f"{accepted.revision.short} does not declare {name}")
        return self._resolved(spec, await self._secrets.read(spec, accepted.files))

    async def _resolve(self, spec: ServerSpec, files: Mapping[str, bytes]) -> ResolvedServer:
        if spec.suspended:
            return self._resolved(spec, {})
        secrets = await self._secrets.read(spec, files)
        found = await self._packages.check(spec)
        problem = replace(found, server=spec.name) if found is not None else None
        if problem is not None and problem.remedy is not Remedy.WAIT:
            return ResolvedServer(spec=spec, secrets=secrets, problem=_placed(problem, spec))
        return replace(self._resolved(spec, secrets), warning=problem)

    def _resolved(self, spec: ServerSpec, secrets: ServerSecrets) -> ResolvedServer:
        digests = {name: keyed_digest(self._settings.digest_key, value) for name, value in secrets.items()}
        desired = resolve(spec, runner_image=self._settings.runner_image, secret_digests=digests)
        return ResolvedServer(spec=spec, desired=desired, secrets=secrets)


def _blocking(error: Exception, spec: ServerSpec) -> Problem:
    found = problems_of(error)
    if crashed(found):
        log.error("resolve-failed", server=spec.name, fault=type(error).__name__, stack=stack_of(error))
    return replace(found[0], server=spec.name)


def _placed(problem: Problem, spec: ServerSpec) -> Problem:
    """A registry does not know which line of the manifest asked for the package; the spec does."""
    return problem if problem.location is not None else replace(problem, location=spec.location)
