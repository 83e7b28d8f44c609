"""A legacy server that many clients share: who hears what it says, which resources they watch, how talkative it is.

Change notices go to every client, notices about a resource to those that subscribed. A log line goes to the one client
that runs calls; where it could belong to several it is dropped, because it may hold another client's data.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from gateway.adapter.http.calls import ClientCall, LegacyCall
from gateway.adapter.http.levels import ServerLevel, passes
from gateway.adapter.toolheaders import ToolHeaders
from gateway.adapter.upstream import Live, Upstream
from gateway.protocol.messages import Message
from gateway.protocol.revisions import Era

_REFUSAL = '"error":{"code":-32601,"message":"the client does not support this request"}'


class Hearer(Protocol):
    """A client that hears notices: a legacy session, or a listen stream of a modern client."""

    def hear(self, message: Message) -> None:
        """A change notice, or one about a resource."""
        ...


class WatchedUris:
    """Which clients subscribed to which resources; the server is asked once and let go once."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[Hearer]] = {}

    def add(self, hearer: Hearer, uri: str) -> bool:
        """Note a subscription; True when it is the first one of its resource."""
        watchers = self._watchers.setdefault(uri, set())
        watchers.add(hearer)
        return len(watchers) == 1

    def remove(self, hearer: Hearer, uri: str) -> bool:
        """End a subscription; True when nobody else holds one of its resource."""
        watchers = self._watchers.get(uri, set())
        watchers.discard(hearer)
        if not watchers:
            self._watchers.pop(uri, None)
        return not watchers

    def remove_all(self, hearer: Hearer) -> list[str]:
        """End all subscriptions of a client; returns the resources that nobody watches any more."""
        held = [uri for uri, watchers in self._watchers.items() if hearer in watchers]
        return [uri for uri in held if self.remove(hearer, uri)]

    def concerns(self, hearer: Hearer, uri: str) -> bool:
        """Whether a client watches a resource, or one that the resource is part of."""
        return any(uri.startswith(each) and hearer in watchers for each, watchers in self._watchers.items())

    @property
    def all(self) -> list[str]:
        """Every watched resource, in order."""
        return sorted(self._watchers)


class SharingSession(Hearer, Protocol):
    """A legacy session on the shared server."""

    @property
    def log_level(self) -> str | None:
        """The level that its client set."""
        ...

    def say(self, text: str, call: LegacyCall | None) -> None:
        """Give the client a message."""
        ...


@runtime_checkable
class ListenSink(Protocol):
    """A listen stream on a modern server."""

    own_id: int

    def ended_by_server(self) -> None:
        """The server ended the stream."""
        ...


class CommonVoice:
    """See the module. `upstream` is set right after construction."""

    upstream: Upstream

    def __init__(self) -> None:
        self.sessions: Callable[[], Iterable[SharingSession]] = list
        self.listens: set[Hearer] = set()
        self.uris = WatchedUris()
        self.level = ServerLevel()
        self.tools = ToolHeaders()

    def server_notification(self, message: Message) -> None:
        """Give a notification to the clients that it concerns."""
        if message.method == "notifications/message":
            self._log_line(message)
        elif message.method == "notifications/cancelled":
            self._end_listen(message)
        elif message.method.endswith(("/list_changed", "/updated")):
            self.tools.forget()
            for hearer in [*self.sessions(), *self.listens]:
                hearer.hear(message)

    def server_request(self, message: Message, about: int | None) -> None:  # noqa: ARG002 - nobody can be asked
        """Refuse: no client of a shared server declared that it can be asked."""
        live = self.upstream.current
        if live is not None:
            live.connection.reply(message, _REFUSAL)

    def let_go(self, hearer: Hearer) -> None:
        """A client is gone: unsubscribe from what nobody else watches."""
        self.listens.discard(hearer)
        live = self.upstream.current
        for uri in self.uris.remove_all(hearer):
            if live is not None:
                live.connection.request_unheard("resources/unsubscribe", {"uri": uri})

    def restore(self, live: Live) -> None:
        """Give a restarted server what its clients had set up in the one before."""
        self.level.forget()
        self.tools.forget()
        for session in self.sessions():
            if session.log_level is not None:
                self.level.want(live, session.log_level)
        for uri in self.uris.all:
            live.connection.request_unheard("resources/subscribe", {"uri": uri})

    def _end_listen(self, message: Message) -> None:
        """A modern server on stdio ends a listen stream with this notice, before its result or instead of it."""
        live = self.upstream.current
        if live is None or live.handshake.era is not Era.MODERN:
            return
        wanted = message.params.get("requestId")
        sink = live.connection.sink_of(wanted) if isinstance(wanted, int) else None
        if isinstance(sink, ListenSink):
            live.connection.forget(sink.own_id)
            sink.ended_by_server()

    def _log_line(self, message: Message) -> None:
        live = self.upstream.current
        pending = live.connection.pending if live else ()
        calls = [sink for sink in pending if isinstance(sink, ClientCall) and sink.client is not None]
        if calls:
            if len({call.client for call in calls}) == 1:
                wanting = next((call for call in reversed(calls) if call.wants_line(message)), None)
                if wanting is not None:
                    wanting.notification(message)
            return
        sessions = list(self.sessions())
        if len(sessions) == 1 and not self.listens and passes(message, sessions[0].log_level or "debug"):
            sessions[0].say(message.text, None)
