"""Which server a request goes to, and what that server calls what it asks for.

A name says its server, but for a shortened one, which the server's list resolves. A URI belongs to the server that
lists it; one that nobody lists (a link in a result, an unlisted resource) is asked for server by server, in order.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.aggregate.callers import View
from gateway.aggregate.gathering import Gatherer, Inquiry, RefusedRequest
from gateway.aggregate.known import Asker, KnownLists
from gateway.aggregate.names import Target
from gateway.aggregate.parts import Listing, Missing
from gateway.aggregate.uris import unwritten
from gateway.protocol.errors import INVALID_PARAMS, LEGACY_RESOURCE_NOT_FOUND, Refusal

_LISTED_IN = {"tools/call": Listing.TOOLS, "prompts/get": Listing.PROMPTS}
_KIND = {Listing.TOOLS: "tool", Listing.PROMPTS: "prompt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a request goes. `name` is the server's own name or URI."""

    server: str
    name: str


class Router:
    """Finds destinations for one gateway."""

    def __init__(self, gatherer: Gatherer, known: KnownLists) -> None:
        self._gatherer = gatherer
        self._known = known

    async def by_name(self, inquiry: Inquiry, listing: Listing, exposed: object) -> Destination:
        """Where a tool or a prompt is. Raises RefusedRequest where the caller has none of that name."""
        target = inquiry.visit.view.names.target(exposed) if isinstance(exposed, str) else None
        if target is None:
            raise _unknown(listing, exposed)
        if target.is_certain:
            return Destination(server=target.server, name=target.name)
        return await self._shortened(inquiry, listing, target, str(exposed))

    async def by_uri(self, inquiry: Inquiry, uri: str) -> tuple[Destination, ...]:
        """Where a resource is, or may be: usually one place, else all that can be tried, in order."""
        view = inquiry.visit.view
        found = self.owned(view, lambda: inquiry.asker, uri)
        if found is None:
            for listing in (Listing.RESOURCES, Listing.TEMPLATES):
                await self._look(inquiry, listing)
            found = self.owned(view, lambda: inquiry.asker, uri)
        if found is not None:
            return (found,)
        return tuple(Destination(server=server, name=uri) for server in view.servers)

    def owned(self, view: View, asker: Callable[[], Asker], uri: str) -> Destination | None:
        """Where a resource is, by what is known; None where that has to be found out."""
        if len(view.servers) == 1:
            return Destination(server=view.servers[0], name=uri)
        ownership = self._known.ownership(asker(), view)
        lister = ownership.lister(uri)
        written = unwritten(uri, view.servers)
        if lister is None and written is not None:
            return Destination(server=written[0], name=written[1])
        owner = lister or ownership.maker(uri)
        return Destination(server=owner, name=uri) if owner is not None else None

    async def _look(self, inquiry: Inquiry, listing: Listing) -> None:
        try:
            await self._gatherer.page(inquiry, listing)
        except RefusedRequest:
            return

    async def _shortened(self, inquiry: Inquiry, listing: Listing, target: Target, exposed: str) -> Destination:
        names = inquiry.visit.view.names
        known = self._known.items(inquiry.asker, target.server, listing)
        for item in known:
            if names.exposed(target.server, item.key) == exposed:
                return Destination(server=target.server, name=item.key)
        part = await self._gatherer.part(inquiry, listing, target.server, None)
        for item in part.items if not isinstance(part, Missing) else ():
            if names.exposed(target.server, item.key) == exposed:
                return Destination(server=target.server, name=item.key)
        raise _unknown(listing, exposed)


def listing_of(method: str) -> Listing:
    """The list in which what a method names stands."""
    return _LISTED_IN[method]


def not_found(uri: object, *, is_modern: bool) -> Refusal:
    """The error for a resource that nobody has."""
    code = INVALID_PARAMS if is_modern else LEGACY_RESOURCE_NOT_FOUND
    return Refusal(code=code, message="Resource not found", data={"uri": uri})


def _unknown(listing: Listing, name: object) -> RefusedRequest:
    return RefusedRequest(Refusal(code=INVALID_PARAMS, message=f"Unknown {_KIND[listing]}: {name}"))
