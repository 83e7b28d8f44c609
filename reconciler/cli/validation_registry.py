"""Which variables a server needs, as its entry in the MCP registry says.

Optional in every way: most packages name no entry, many entries are incomplete, and the registry makes no promise of
being up. So it has three seconds, is left alone for some minutes when it does not answer, and its silence is nothing
that a person needs to hear about.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import anyio

from reconciler.core.releases import Release
from reconciler.errors import SourceError, Unavailable
from reconciler.sources.mcp_registry.client import MCPRegistry
from reconciler.sources.mcp_registry.documents import ServerDocument
from reconciler.sources.packages.session import Session

BUDGET_S: Final = 3.0
LEFT_ALONE_FOR: Final = timedelta(minutes=10)


class ListedVariables:
    """Asks one registry about one package after the other."""

    def __init__(self, session: Session, url: str, name_of: Callable[[Release], Awaitable[str]]) -> None:
        """`name_of` gives the name under which a package is listed; empty where it names none."""
        self._session = session
        self._registry = MCPRegistry(session, url)
        self._name_of = name_of
        self._silence = ("mcp-registry-silent", url)

    async def __call__(self, release: Release) -> tuple[str, ...]:
        """The variables that the entry of a package requires and gives no value for; none where nothing is known."""
        if self._session.kept(self._silence) is not None:
            return ()
        try:
            with anyio.fail_after(BUDGET_S):
                name = await self._name_of(release)
                listed = await self._registry.find(name) if name else None
        except SourceError:
            return ()  # It is not listed, or its entry is malformed; neither is a fault of the manifest.
        except (Unavailable, TimeoutError):
            self._session.keep(self._silence, facts=True, lasting=LEFT_ALONE_FOR)
            return ()
        return required_of(listed.document, release) if listed is not None else ()


def required_of(document: ServerDocument, release: Release) -> tuple[str, ...]:
    """The required variables of the entry's package that is this one; an entry may list several packages."""
    return tuple(
        variable.name
        for package in document.packages
        if (package.registry_type, package.identifier) == (release.package.registry.value, release.package.name)
        for variable in package.environment_variables
        if variable.is_required and variable.default is None and variable.value is None
    )
