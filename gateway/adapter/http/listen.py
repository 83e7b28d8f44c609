"""`subscriptions/listen` of a modern client on a legacy server: its change notices, filtered and tagged for one stream.

Source: "Subscriptions" of revision 2026-07-28. The acknowledgement comes first and names what will be delivered; each
notice names the stream; the end of the stream is a result. Resources are subscribed to at the server for as long as a
stream watches them.
"""

import json
from collections.abc import Mapping

import anyio

from gateway.adapter.child import CannotWrite
from gateway.adapter.handshake import UpstreamLost, ask
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.moderncall import end_of_listen
from gateway.adapter.http.outbox import Outbox, Reply
from gateway.adapter.upstream import Live
from gateway.protocol.errors import METHOD_NOT_FOUND, Refusal
from gateway.protocol.messages import InvalidMessage, Message, read_meta
from gateway.protocol.revisions import META_SUBSCRIPTION_ID
from gateway.protocol.scan import MalformedJson, compose, json_array, json_object

_FLAGS = {
    "toolsListChanged": ("tools", "notifications/tools/list_changed"),
    "promptsListChanged": ("prompts", "notifications/prompts/list_changed"),
    "resourcesListChanged": ("resources", "notifications/resources/list_changed"),
}
_UPDATED = "notifications/resources/updated"
_MAX_URIS = 1_000
_SUBSCRIBE_S = 10.0


class Listen:
    """One stream. Made with `open`, ended with `close`."""

    __slots__ = ("_methods", "_outbox", "_raw_id", "_voice")

    def __init__(self, message: Message, outbox: Outbox, voice: CommonVoice) -> None:
        assert message.raw_id is not None
        self._raw_id = message.raw_id
        self._outbox = outbox
        self._voice = voice
        self._methods: tuple[str, ...] = ()

    async def open(self, message: Message, live: Live) -> Refusal | None:
        """Subscribe and acknowledge; a server without anything to listen to refuses."""
        if not can_be_heard(live.handshake.capabilities):
            return Refusal(code=METHOD_NOT_FOUND, message="the server announces no changes")
        wanted = json_object(message.params.get("notifications"))
        honoured = self._flags(wanted, live)
        self._voice.listens.add(self)
        uris = await self._subscribe(wanted, live)
        if uris:
            honoured["resourceSubscriptions"] = uris
        self._say("notifications/subscriptions/acknowledged", f'"notifications":{json.dumps(honoured)},')
        return None

    def hear(self, message: Message) -> None:
        """See `Hearer`."""
        uri = message.params.get("uri")
        if message.method == _UPDATED:
            wanted = isinstance(uri, str) and self._voice.uris.concerns(self, uri)
        else:
            wanted = message.method in self._methods
        if wanted:
            self._outbox.offer(Reply(body=tagged(message, self._raw_id).encode()))

    def close(self) -> None:
        """End the stream in the regular way."""
        self._outbox.offer(Reply(body=end_of_listen(self._raw_id), final=True))

    def _flags(self, wanted: Mapping[str, object], live: Live) -> dict[str, object]:
        honoured: dict[str, object] = {}
        for flag, (capability, method) in _FLAGS.items():
            if wanted.get(flag) is True and declares(live.handshake.capabilities, capability, "listChanged"):
                honoured[flag] = True
                self._methods = (*self._methods, method)
        return honoured

    async def _subscribe(self, wanted: Mapping[str, object], live: Live) -> list[str]:
        if not declares(live.handshake.capabilities, "resources", "subscribe"):
            return []
        given = [uri for uri in json_array(wanted.get("resourceSubscriptions")) if isinstance(uri, str)][:_MAX_URIS]
        return [uri for uri in dict.fromkeys(given) if await self._watch(uri, live)]

    async def _watch(self, uri: str, live: Live) -> bool:
        """Whether the server agrees to tell about a resource."""
        if not self._voice.uris.add(self, uri):
            return True
        try:
            with anyio.fail_after(_SUBSCRIBE_S):
                answer = await ask(live.connection, "resources/subscribe", json.dumps({"uri": uri}))
        except (UpstreamLost, CannotWrite, TimeoutError, MalformedJson, InvalidMessage):
            agreed = False
        else:
            agreed = "result" in answer.members
        if not agreed:
            self._voice.uris.remove(self, uri)
        return agreed

    def _say(self, method: str, raw_params: str) -> None:
        meta = f'"_meta":{{"{META_SUBSCRIPTION_ID}":{self._raw_id}}}'
        text = f'{{"jsonrpc":"2.0","method":"{method}","params":{{{raw_params}{meta}}}}}'
        self._outbox.offer(Reply(body=text.encode()))


def declares(capabilities: Mapping[str, object], name: str, flag: str) -> bool:
    """Whether a server declared a flag of one of its capabilities."""
    return json_object(capabilities.get(name)).get(flag) is True


def can_be_heard(capabilities: Mapping[str, object]) -> bool:
    """Whether a server announces any change at all."""
    lists = any(declares(capabilities, name, "listChanged") for name, _ in _FLAGS.values())
    return lists or declares(capabilities, "resources", "subscribe")


def tagged(notice: Message, raw_id: str) -> str:
    """A notice with the id of the stream that it goes to."""
    params, meta = read_meta(notice)
    plain = {key: place for key, place in params.items() if key != "_meta"}
    kept = {key: place for key, place in meta.items() if key != META_SUBSCRIPTION_ID}
    raw_meta = compose(notice.text, kept, {META_SUBSCRIPTION_ID: raw_id})
    raw_params = compose(notice.text, plain, {"_meta": raw_meta})
    return f'{{"jsonrpc":"2.0","method":{json.dumps(notice.method)},"params":{raw_params}}}'
