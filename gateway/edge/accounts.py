"""What becomes of the answer to one call of the common address, and who keeps account of it; one class for each era."""

from collections.abc import Callable

from gateway.aggregate.answering import Asked, legacy_changes, modern_changes
from gateway.aggregate.callers import View
from gateway.aggregate.core import Core
from gateway.aggregate.known import Asker
from gateway.aggregate.passing import Changes
from gateway.aggregate.sessions import InnerSession, Session
from gateway.edge.directing import Directed, raw_id, stateless_asker

_STATE, _CONTENTS, _ANYTHING = b'"requestState"', b'"contents"', b""


class StatelessAnswering:
    """Implements `Answering` for a client without a session."""

    __slots__ = ("_core", "_directed", "_view", "in_session", "marker")

    def __init__(self, core: Core, view: View, directed: Directed) -> None:
        self._core = core
        self._view = view
        self._directed = directed
        self.in_session = False
        self.marker: bytes | None = _ANYTHING if directed.is_read and len(view.servers) > 1 else _STATE

    def changes(self) -> Changes:
        """A state is sealed, and contents get the client's URIs."""
        view, directed = self._view, self._directed
        return modern_changes(self._core, _asked(view, directed, lambda: stateless_asker(view, directed.body)))

    def began(self) -> None:
        """Streams of the caller listen to the server from now on."""
        self._core.attention.used(self._view.principal, self._directed.place.server)

    def ended(self) -> None:
        """Nobody keeps account."""

    def session_lost(self) -> None:
        """There is none."""


class SessionAnswering:
    """Implements `Answering` for a client with a session."""

    __slots__ = ("_core", "_directed", "_inner", "_request_id", "_session", "_view", "in_session", "marker")

    def __init__(self, core: Core, view: View, directed: Directed, session: Session, inner: InnerSession) -> None:
        self._core = core
        self._view = view
        self._directed = directed
        self._session = session
        self._inner = inner
        self._request_id = raw_id(directed.members)
        self.in_session = inner.capsule is not None
        self.marker = _CONTENTS if directed.is_read and len(view.servers) > 1 else None

    def changes(self) -> Changes:
        """What the server asks, and its events, get ids that say whose they are."""
        asked = _asked(self._view, self._directed, lambda: Asker.of(self._view, self._session.capabilities))
        return legacy_changes(self._core, asked, in_session=self.in_session)

    def began(self) -> None:
        """The client may cancel it by its id, and streams of the session listen to the server."""
        self._core.attention.used(self._session.key, self._directed.place.server)
        self._session.begin(self._request_id, self._directed.place.server)

    def ended(self) -> None:
        """There is nothing to cancel any more."""
        self._session.end(self._request_id, self._directed.place.server)

    def session_lost(self) -> None:
        """Whoever needs the server's session starts another."""
        self._session.forget(self._directed.place.server, self._inner)


def _asked(view: View, directed: Directed, asker: Callable[[], Asker]) -> Asked:
    method = directed.members.call.method
    return Asked(view=view, server=directed.place.server, method=method, uri=directed.written, asker=asker)
