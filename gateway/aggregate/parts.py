"""One server's part of a merged list, read from its answer, and the merged list. Pure.

Items keep their text but for the name; a list that cannot be understood is a missing part, never an empty one. The
order is that of the servers' names, and within a server its own. The merged list may be kept for as long as the part
that may be kept the shortest, and shared as widely as the part that may be shared the least (MCP 2026-07-28,
"Caching").
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from gateway.protocol.messages import InvalidMessage, Message, decode_line, read_message
from gateway.protocol.scan import MalformedJson, array_items, json_array, json_object, object_members, splice

META_UNAVAILABLE = "catwalk.dev/unavailable"
"""In `_meta` of a merged list: the servers whose part is missing or old, and why."""
_SHOWN_CHARACTERS = 200


class Listing(Enum):
    """A list: its method, the member of the result that has the items, and the member by which an item is called."""

    TOOLS = ("tools/list", "tools", "name")
    PROMPTS = ("prompts/list", "prompts", "name")
    RESOURCES = ("resources/list", "resources", "uri")
    TEMPLATES = ("resources/templates/list", "resourceTemplates", "uriTemplate")

    @property
    def notice(self) -> str:
        """The notification that it has changed."""
        kind = "resources" if self is Listing.TEMPLATES else self.method.removesuffix("/list")
        return f"notifications/{kind}/list_changed"

    def __init__(self, method: str, member: str, key: str) -> None:
        self.method = method
        self.member = member
        self.key = key


LISTINGS: Mapping[str, Listing] = {each.method: each for each in Listing}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of a list: what its server calls it, and its text."""

    key: str
    text: str

    def renamed(self, member: str, name: str) -> str:
        """The text with another name."""
        if name == self.key:
            return self.text
        members, _ = object_members(self.text)
        return splice(self.text, {members[member]: json.dumps(name)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one server gave of a list."""

    server: str
    items: tuple[Item, ...] = ()
    next_cursor: str | None = None
    ttl_ms: int = 0
    is_public: bool = False
    note: str = ""
    """Why it may be old; empty where it is not."""

    def joined(self, later: "Part") -> "Part":
        """This part with the page that follows it."""
        return replace(
            later,
            items=self.items + later.items,
            ttl_ms=min(self.ttl_ms, later.ttl_ms),
            is_public=self.is_public and later.is_public,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A server that gave nothing, and why."""

    server: str
    cause: str


class UnreadablePart(ValueError):
    """An answer to a list that is none."""


def read_part(server: str, listing: Listing, result: Message) -> Part:
    """The part in a server's answer. Raises UnreadablePart."""
    try:
        members, _ = object_members(result.text, result.members["result"].start)
        place = members[listing.member]
    except (MalformedJson, KeyError) as error:
        raise UnreadablePart(f"its answer has no {listing.member}") from error
    if result.text[place.start : place.start + 1] != "[":
        raise UnreadablePart(f"its answer has no list of {listing.member}")
    values, texts = json_array(place.value), array_items(result.text[place.start : place.end])
    keys = [json_object(value).get(listing.key) for value in values]
    items = [Item(key=key, text=text) for key, text in zip(keys, texts, strict=True) if isinstance(key, str)]
    found = {name: member.value for name, member in members.items()}
    cursor, ttl_ms = found.get("nextCursor"), found.get("ttlMs")
    return Part(
        server=server,
        items=tuple(items),
        next_cursor=cursor if isinstance(cursor, str) else None,
        ttl_ms=max(0, ttl_ms) if isinstance(ttl_ms, int) and not isinstance(ttl_ms, bool) else 0,
        is_public=found.get("cacheScope") == "public",
    )


def read_answer(text: str) -> Message:
    """A response. Raises UnreadablePart."""
    try:
        message = read_message(text)
    except (MalformedJson, InvalidMessage) as error:
        raise UnreadablePart(_cause(text)) from error
    if message.method:
        raise UnreadablePart("its answer is no response")
    return message


def _cause(text: str) -> str:
    """An error without an id comes from the way to the server, and says why."""
    try:
        error = json_object(json_object(json.loads(text)).get("error"))
    except (ValueError, RecursionError):
        error = {}
    message = error.get("message")
    return message[:_SHOWN_CHARACTERS] if isinstance(message, str) else "its answer is no JSON-RPC message"


def decoded(body: bytes) -> str:
    """A body as text. Raises UnreadablePart."""
    try:
        return decode_line(body)
    except MalformedJson as error:
        raise UnreadablePart("its answer is no text") from error


Rename = Callable[[str, str], str]
"""From server and key to what the item is called here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A merged list, or a page of it."""

    listing: Listing
    texts: tuple[str, ...]
    next_place: tuple[str, str] | None
    """The server that is not through, and its cursor."""
    ttl_ms: int
    is_public: bool
    notes: Mapping[str, str]

    def result(self, next_cursor: str | None, *, is_modern: bool) -> str:
        """The result, as JSON text."""
        members = {self.listing.member: f"[{','.join(self.texts)}]"}
        if is_modern:
            scope = "public" if self.is_public else "private"
            members |= {"resultType": '"complete"', "ttlMs": str(self.ttl_ms), "cacheScope": f'"{scope}"'}
        if next_cursor is not None:
            members["nextCursor"] = json.dumps(next_cursor)
        if self.notes:
            members["_meta"] = json.dumps({META_UNAVAILABLE: self.notes})
        return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members.items()) + "}"


def merged(listing: Listing, parts: Sequence[Part | Missing], rename: Rename) -> Page:
    """The parts in their order, as one page. It ends with the first part that is not whole; those after it are left for
    the pages that follow. Of two items with one name the first is listed, which is the one that a call reaches.
    """
    texts: dict[str, str] = {}
    used: list[Part] = []
    next_place: tuple[str, str] | None = None
    for part in parts:
        if isinstance(part, Missing):
            continue
        used.append(part)
        for item in part.items:
            name = rename(part.server, item.key)
            texts.setdefault(name, item.renamed(listing.key, name))
        if part.next_cursor is not None:
            next_place = (part.server, part.next_cursor)
            break
    missing = {part.server: part.cause for part in parts if isinstance(part, Missing)}
    return Page(
        listing=listing,
        texts=tuple(texts.values()),
        next_place=next_place,
        ttl_ms=0 if missing else min((part.ttl_ms for part in used), default=0),
        is_public=not missing and bool(used) and all(part.is_public for part in used),
        notes=missing | {part.server: part.note for part in used if part.note},
    )
