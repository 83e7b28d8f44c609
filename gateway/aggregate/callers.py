"""Who calls the aggregate, and which servers they may use.

It asks the same rules as a server's own address does, server by server, so that a list here shows what a call there
allows. What was found out is remembered with the credential for as long as neither the rules nor the routes change and
the credential has not run out; the memory is bounded.
"""

import hashlib
from dataclasses import dataclass

from gateway.access import ANONYMOUS, Grant, Limits, Undecided
from gateway.aggregate.names import Names, Prefix
from gateway.problems import Refused, internal_fault
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings

_MAX_VIEWS = 1000
_MOST_FETCHES = 4
Generation = tuple[int, int, Prefix]
"""Of the routes and of the rules about callers, and how names are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The aggregate as one caller sees it."""

    principal: str
    servers: tuple[str, ...]
    """In the order of their names."""
    names: Names
    generation: Generation
    expires_at_s: float | None
    limits: Limits | None = None
    """How much the caller may ask for; a request here counts once, however many servers it reaches."""

    @property
    def grant(self) -> Grant:
        """The caller, as limits are counted by."""
        return Grant(principal=self.principal, limits=self.limits)


class Callers:
    """Finds views by credential."""

    def __init__(self, settings: GatewaySettings, routes: RouteTable) -> None:
        self._settings = settings
        self._routes = routes
        self._views: dict[bytes, View] = {}

    async def view(self, authorization: bytes | None) -> View:
        """What a caller sees.

        Raises:
            Refused: the credential is missing or not good (401, 403), or nobody can say (503).
        """
        for _ in range(_MOST_FETCHES):
            try:
                return self.found(authorization)
            except Undecided as undecided:
                await undecided.fetch()
        raise Refused(internal_fault())

    def found(self, authorization: bytes | None) -> View:
        """The same, at once.

        Raises:
            Refused: as `view`.
            Undecided: something has to be fetched first.
        """
        key = hashlib.sha256(authorization or b"").digest()
        known = self._views.get(key)
        if known is not None and self.is_good(known):
            return known
        view = self._look(authorization)
        if len(self._views) >= _MAX_VIEWS:
            del self._views[next(iter(self._views))]
        self._views[key] = view
        return view

    def is_good(self, view: View) -> bool:
        """Whether a view that was found before still holds."""
        is_over = view.expires_at_s is not None and view.expires_at_s <= self._settings.now()
        return not is_over and view.generation == self.generation

    @property
    def generation(self) -> Generation:
        """Changes whenever a caller could see something else."""
        settings = self._settings
        return self._routes.generation, settings.access.generation, settings.aggregate.prefix()

    def _look(self, authorization: bytes | None) -> View:
        generation = self.generation
        admit = self._settings.access.admit
        # Without any server the caller is asked for all the same: a stranger learns nothing, not even that.
        names = self._routes.servers or ("",)
        grants = {name: grant for name in names if (grant := admit(authorization, name, aggregate=True)) is not None}
        servers = tuple(name for name in grants if name)
        return View(
            principal=_principal(grants),
            servers=servers,
            names=Names(servers, generation[2]),
            generation=generation,
            limits=next((each.limits for each in grants.values()), None),
            expires_at_s=min((each.expires_at_s for each in grants.values() if each.expires_at_s), default=None),
        )


def _principal(grants: dict[str, Grant]) -> str:
    return next((grant.principal for grant in grants.values()), ANONYMOUS)
