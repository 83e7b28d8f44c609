"""Everything about secrets that `catwalk validate` finds: who can open them, and with a key at hand that they open."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio.to_thread

from reconciler.cli.secrets_fleet import FleetFiles
from reconciler.cli.secrets_lint import lint
from reconciler.core.findings import Finding
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location, Problem, Remedy
from reconciler.core.types import ServerSpec
from reconciler.errors import CatwalkError
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.server_secrets import ServerSecrets
from reconciler.sops.services.configured import key_environment

ADVICE: Final = frozenset({"secret-undeclared", "sops-no-rules", "sops-no-rule-matches"})
"""What keeps no server from running: a file that nobody uses, and recipients that nothing states."""


async def secret_findings(
    directory: Path, manifests: ManifestSet, files: Mapping[str, bytes], environment: Mapping[str, str]
) -> list[Finding]:
    """What is wrong with the secrets of a fleet. Without a key only what can be seen without one counts."""
    identities = load_identities(key_environment(environment))
    found = [finding async for finding in _opened(manifests, files, identities)]
    told = {(finding.problem.code, _file(finding.problem)) for finding in found}
    linted = await anyio.to_thread.run_sync(lint, FleetFiles(directory=directory, files=files))
    others = (problem for problem in linted if (problem.code, _file(problem)) not in told)
    return [*found, *(_advice_or_error(problem, manifests) for problem in others)]


def _advice_or_error(problem: Problem, manifests: ManifestSet) -> Finding:
    """What concerns no file of its own, such as rules that are missing, is shown at the manifest."""
    place = problem.location or Location(file=manifests.files[0])
    return Finding(problem=replace(problem, location=place), is_error=problem.code not in ADVICE)


async def _opened(
    manifests: ManifestSet, files: Mapping[str, bytes], identities: Identities
) -> AsyncGenerator[Finding]:
    """Opens every secret, which checks its MAC; a key that is not here prevents that and proves nothing."""
    reader = ServerSecrets(identities)
    for spec in manifests.specs:
        try:
            await reader.read(spec, files)
        except CatwalkError as error:
            yield _finding(error, spec, is_error=_says_something(error, identities))


def _says_something(error: CatwalkError, identities: Identities) -> bool:
    return bool(identities.keys) or error.problem.remedy is Remedy.FIX_SOURCE


def _finding(error: CatwalkError, spec: ServerSpec, *, is_error: bool) -> Finding:
    problem = replace(error.problem, server=spec.name, location=error.problem.location or spec.location)
    return Finding(problem=problem, is_error=is_error)


def _file(problem: Problem) -> str:
    return problem.location.file if problem.location else ""
