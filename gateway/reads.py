"""Reads answered from memory: lists and resources of modern servers, for as long as the servers themselves allow it.

MCP 2026-07-28, "Caching": a complete result of `server/discover`, a list or `resources/read` may carry `ttlMs` and
`cacheScope`. A public one may be given to any caller under the same tool policy, a private one only to the principal
that read it. Such a read wakes no machine. It is judged like a server would judge it, headers against body, before it
is answered; whatever is not in perfect order goes to the server. `ttlMs` of an answer is what is left of it.

A notice of change that passes on a stream through this gateway makes it forget that server's reads at once; other
replicas forget them when their time is over. Number and size of what is kept are bounded.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from gateway.access import ANONYMOUS, ToolPolicy
from gateway.decision import Forward
from gateway.problems import Answer
from gateway.protocol.headers import check_modern_request
from gateway.protocol.messages import InvalidMessage, Message, MessageKind, decode_line, read_message
from gateway.protocol.revisions import META_CLIENT_CAPABILITIES
from gateway.protocol.scan import MalformedJson, object_members

READS = frozenset(
    {"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
_NOTICES = (b"list_changed", b"resources/updated")
_MAX_READS = 2000
_MAX_BYTES = 64 * 1024 * 1024
MAX_READ_BYTES = 1024 * 1024
_MAX_SHAPES = 4096
_MAX_TTL_MS = 3_600_000
_HOPELESS_S = 30.0
_ID = rb'("[\x20\x21\x23-\x5b\x5d-\x7e]{0,64}"|-?[0-9]{1,18})'
_ID_FIRST = re.compile(rb'\{"jsonrpc":"2\.0","id":' + _ID + rb",")
_ID_LAST = re.compile(rb',"id":' + _ID + rb"\}\Z")

Shape = tuple[str, tuple[int, ...], bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class ReadKey:
    """What two reads have in common that may get the same answer, but for whose they are."""

    server: str
    method: str
    params: str
    capabilities: str
    policy: ToolPolicy | None
    generation: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    server: str
    before_ttl: bytes
    after_ttl: bytes
    fresh_until_s: float

    @property
    def size(self) -> int:
        return len(self.before_ttl) + len(self.after_ttl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A request that may be answered from memory, judged and found in order."""

    key: ReadKey
    principal: str
    raw_id: str
    public_place: str
    """Where an answer is kept that anybody under the same policy may have."""
    own_place: str
    """Where one is kept that only this principal may have."""


class ReadMemory:
    """What one gateway remembers. `clock` counts seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stored: dict[str, _Stored] = {}
        self._bytes = 0
        self._shapes: dict[Shape, Read] = {}
        self._hopeless: dict[tuple[str, str], float] = {}

    def judge(self, forward: Forward, body: bytes, generation: tuple[int, ...]) -> Read | None:
        """The read in a request; None where it is none, or is not in the order in which others may answer it."""
        if forward.has_sessions or forward.method != "POST" or not _accepts_json(forward):
            return None
        try:
            message = read_message(decode_line(body))
        except (MalformedJson, InvalidMessage):
            return None
        if message.kind is not MessageKind.REQUEST or message.method not in READS or message.raw_id is None:
            return None
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in forward.headers]
        if check_modern_request(message, headers) is not None or _is_retry(message):
            return None
        key = ReadKey(
            server=forward.upstream.server,
            method=message.method,
            params=json.dumps({k: v for k, v in message.params.items() if k != "_meta"}, sort_keys=True),
            capabilities=json.dumps(message.meta.get(META_CLIENT_CAPABILITIES), sort_keys=True),
            policy=forward.grant.tools,
            generation=generation,
        )
        # Texts, because their hash is computed once, and every read of a client that asks again is looked up by it.
        place, principal = repr(key), forward.grant.principal
        return Read(
            key=key,
            principal=principal,
            raw_id=message.raw_id,
            public_place=place,
            own_place=f"{place} {principal}",
        )

    def find(self, read: Read) -> Answer | None:
        """The answer, if it is here and fresh."""
        body = self._answer(read, read.raw_id.encode("utf-8"))
        if body is None:
            return None
        headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
        return Answer(status=200, headers=headers, body=body)

    def find_again(self, caller: tuple[str, tuple[int, ...]], opening: bytes, body: bytes) -> bytes | None:
        """The body of the answer to a request that differs from an earlier, judged one in nothing but its id, or None.

        `caller` is the principal and the generation of the rules.
        """
        match = _ID_FIRST.match(body) or _ID_LAST.search(body, max(0, len(body) - 100))
        if match is None:
            return None
        read = self._shapes.get((*caller, opening, body[: match.start(1)], body[match.end(1) :]))
        return self._answer(read, match[1]) if read is not None else None

    def learn_shape(self, read: Read, opening: bytes, body: bytes) -> None:
        """Remember that requests like this one are in order."""
        match = _ID_FIRST.match(body) or _ID_LAST.search(body, max(0, len(body) - 100))
        if match is None or match[1] != read.raw_id.encode("utf-8"):
            return
        if len(self._shapes) >= _MAX_SHAPES:
            del self._shapes[next(iter(self._shapes))]
        self._shapes[read.principal, read.key.generation, opening, body[: match.start(1)], body[match.end(1) :]] = read

    def store(self, read: Read, body: bytes) -> None:
        """Keep an answer of the server for as long as it says itself, or note that it says nothing."""
        stored, is_public = _parse(read.key.server, body, self._clock())
        if stored is None or (not is_public and read.principal == ANONYMOUS):
            self._hopeless[read.key.server, read.key.method] = self._clock() + _HOPELESS_S
            return
        self._hopeless.pop((read.key.server, read.key.method), None)
        place = read.public_place if is_public else read.own_place
        self._drop(place)
        while self._stored and (len(self._stored) >= _MAX_READS or self._bytes + stored.size > _MAX_BYTES):
            self._drop(next(iter(self._stored)))
        self._stored[place] = stored
        self._bytes += stored.size

    def is_hopeless(self, server: str, method: str) -> bool:
        """Whether the server has lately not allowed that its answers to this method are kept."""
        until_s = self._hopeless.get((server, method))
        return until_s is not None and self._clock() < until_s

    def notice(self, server: str, piece: bytes) -> None:
        """A piece of an event stream of the server passes: if it tells of a change, what was read is old."""
        if self._stored and any(notice in piece for notice in _NOTICES):
            for place in [place for place, stored in self._stored.items() if stored.server == server]:
                self._drop(place)

    def _answer(self, read: Read, raw_id: bytes) -> bytes | None:
        now_s, known = self._clock(), self._stored
        stored = known.get(read.public_place) or known.get(read.own_place)
        if stored is None or stored.fresh_until_s <= now_s:
            return None
        left_ms = int((stored.fresh_until_s - now_s) * 1000)
        return b'{"jsonrpc":"2.0","id":%b,"result":%b%d%b}' % (raw_id, stored.before_ttl, left_ms, stored.after_ttl)

    def _drop(self, place: str) -> None:
        dropped = self._stored.pop(place, None)
        if dropped is not None:
            self._bytes -= dropped.size


def _accepts_json(forward: Forward) -> bool:
    headers = dict(forward.headers)
    accept = headers.get(b"accept", b"")
    is_json = headers.get(b"content-type", b"").split(b";")[0].strip().lower() == b"application/json"
    return is_json and b"application/json" in accept and b"text/event-stream" in accept


def _is_retry(message: Message) -> bool:
    return "inputResponses" in message.params or "requestState" in message.params


def _parse(server: str, body: bytes, now_s: float) -> tuple[_Stored | None, bool]:
    """What may be kept of an answer, and whether anybody may have it."""
    try:
        text = decode_line(body)
        result = read_message(text).members.get("result")
        value = result.value if result is not None else None
        if result is None or not isinstance(value, dict) or len(body) > MAX_READ_BYTES:
            return None, False
        members, end = object_members(text, result.start)
    except (MalformedJson, InvalidMessage):
        return None, False
    values = cast("dict[str, object]", value)
    ttl_ms, scope = values.get("ttlMs"), values.get("cacheScope")
    is_complete = values.get("resultType", "complete") == "complete" and scope in {"public", "private"}
    if not is_complete or isinstance(ttl_ms, bool) or not isinstance(ttl_ms, int) or ttl_ms <= 0:
        return None, False
    place = members["ttlMs"]
    stored = _Stored(
        server=server,
        before_ttl=text[result.start : place.start].encode("utf-8"),
        after_ttl=text[place.end : end].encode("utf-8"),
        fresh_until_s=now_s + min(ttl_ms, _MAX_TTL_MS) / 1000,
    )
    return stored, scope == "public"
