"""What becomes of one server's answer on its way to the client, in each era; the same by ASGI and on the edge."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.aggregate.callers import View
from gateway.aggregate.core import Core
from gateway.aggregate.known import Asker
from gateway.aggregate.passing import Changes
from gateway.aggregate.speech import States, from_legacy_server, with_exposed_contents
from gateway.aggregate.uris import exposed_as_asked

READ = "resources/read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that one server carries out."""

    view: View
    server: str
    method: str
    uri: object
    """What a read asks for, as the client wrote it."""
    asker: Callable[[], Asker]
    """Who asks; worked out only where it matters."""

    @property
    def exposes_contents(self) -> bool:
        """Whether the answer names resources, which the client may know by other names."""
        return self.method == READ and len(self.view.servers) > 1


def modern_changes(core: Core, asked: Asked) -> Changes:
    """For clients without sessions: the state of a call is sealed, and a read's contents have the client's URIs."""
    states = States(seals=core.seals, principal=asked.view.principal)

    def changed(text: str) -> str:
        text = states.wrapped(asked.server, text)
        return _with_contents(core, asked, text) if asked.exposes_contents else text

    return Changes(message=changed, event_id=_as_it_is, body=changed)


def legacy_changes(core: Core, asked: Asked, *, in_session: bool) -> Changes:
    """For clients with sessions: what the server asks, and its events, get ids that say whose they are."""

    def expose(server: str, uri: str) -> str:
        return _exposed(core, asked)(server, uri)

    def contents(text: str) -> str:
        return _with_contents(core, asked, text) if asked.exposes_contents else text

    return Changes(
        message=lambda text: contents(from_legacy_server(asked.server, text, expose)),
        event_id=lambda event_id: f"{asked.server}/{event_id}",
        body=contents if asked.exposes_contents else None,
        in_session=in_session,
    )


def _with_contents(core: Core, asked: Asked, text: str) -> str:
    return with_exposed_contents(asked.server, text, exposed_as_asked(asked.uri, _exposed(core, asked)))


def _exposed(core: Core, asked: Asked) -> Callable[[str, str], str]:
    return core.known.ownership(asked.asker(), asked.view).exposed


def _as_it_is(event_id: str) -> str:
    return event_id
