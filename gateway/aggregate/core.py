"""What both eras of the aggregate share, made once for each gateway."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from gateway.aggregate.attention import Attention
from gateway.aggregate.callers import Callers
from gateway.aggregate.gathering import Gatherer
from gateway.aggregate.inner import Asgi
from gateway.aggregate.known import KnownLists
from gateway.aggregate.routing import Router
from gateway.aggregate.seals import Seals
from gateway.aggregate.sessions import Sessions
from gateway.protocol.messages import Message
from gateway.protocol.scan import object_members, splice
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """See the module."""

    settings: GatewaySettings
    servers: Asgi
    callers: Callers
    seals: Seals
    known: KnownLists
    gatherer: Gatherer
    router: Router
    sessions: Sessions
    attention: Attention

    @classmethod
    def of(cls, settings: GatewaySettings, routes: RouteTable, servers: Asgi) -> "Core":
        """The parts of one gateway; `servers` answers the servers' own addresses."""
        seals = Seals(settings.session_key)
        known = KnownLists(settings.aggregate, settings.monotonic)
        attention = Attention(settings.monotonic)
        gatherer = Gatherer(settings.aggregate, known, seals, attention)
        return cls(
            settings=settings,
            servers=servers,
            callers=Callers(settings, routes),
            seals=seals,
            known=known,
            gatherer=gatherer,
            router=Router(gatherer, known),
            sessions=Sessions(settings, servers),
            attention=attention,
        )


SERVER_INFO = {"name": "catwalk", "title": "Catwalk", "version": "1"}
CAPABILITIES: dict[str, object] = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "completions": {},
    "logging": {},
}
"""What servers can do, all of them together. Said without asking them, so that nobody waits and no machine wakes; a
server that cannot do it answers for itself."""


def instructions(servers: tuple[str, ...], *, is_bare: bool) -> str:
    """What a model is told about the names that it sees."""
    if is_bare or not servers:
        return ""
    listed = ", ".join(servers)
    return f"Tools and prompts of several servers, each named after its server: server__tool. The servers: {listed}."


def with_string(message: Message, path: tuple[str, ...], value: str) -> str:
    """The message with another string at a path inside its params, which must be there."""
    place = message.members["params"]
    for name in path:
        members, _ = object_members(message.text, place.start)
        place = members[name]
    return splice(message.text, {place: json.dumps(value)})


Expose = Callable[[str, str], str]
