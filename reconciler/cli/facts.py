"""What the manifests say about servers to people: owner, labels, description.

A process that leads has read the manifests. One that stands by, or that has just started, takes what the state in force
says, which it reads again when another revision is in force.
"""

from collections.abc import Mapping

from reconciler.core.actions import Pass
from reconciler.core.applied import AppliedServer
from reconciler.core.types import ServerSpec
from reconciler.loop.applied import KeptState
from reconciler.web.view import ServerFacts


class FactsBook:
    """The facts of one fleet."""

    def __init__(self, kept: KeptState) -> None:
        self._kept = kept
        self._remembered: Mapping[str, ServerFacts] = {}
        self._commit = ""
        self._specs: Mapping[str, ServerSpec] = {}
        self._of_specs: Mapping[str, ServerFacts] = {}

    async def remember(self, latest: Pass | None) -> None:
        """Takes what was in force after a pass.

        Raises:
            Unavailable: the store does not answer.
        """
        revision = latest.applied_revision if latest is not None else None
        if revision is None or revision.commit == self._commit:
            return
        state = await self._kept.read()
        if state is not None:
            self._remembered = {server.name: _of_state(server) for server in state.servers}
            self._commit = state.revision.commit

    def known(self, specs: Mapping[str, ServerSpec]) -> Mapping[str, ServerFacts]:
        """By the manifests where they were read here, else as remembered."""
        if specs is not self._specs:
            self._specs, self._of_specs = specs, facts_of(specs)
        return self._of_specs or self._remembered


def facts_of(specs: Mapping[str, ServerSpec]) -> Mapping[str, ServerFacts]:
    """What manifests say, by server."""
    return {name: _of_spec(spec) for name, spec in specs.items()}


def _of_spec(spec: ServerSpec) -> ServerFacts:
    return ServerFacts(owner=spec.owner, labels=tuple(sorted(spec.labels.items())), description=spec.description)


def _of_state(server: AppliedServer) -> ServerFacts:
    return ServerFacts(owner=server.owner, labels=server.labels, description=server.description)
