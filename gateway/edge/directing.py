"""A body of the common address as its server gets it: whose it is, with the name that this server knows. No I/O.

A body is read, and then its new name put in place. What is not one clear request of the expected kind is nobody's, and
left to the ASGI application to judge.
"""

import json
from typing import NamedTuple

from gateway.aggregate.answering import READ
from gateway.aggregate.callers import View
from gateway.aggregate.core import Core
from gateway.aggregate.known import Asker
from gateway.aggregate.routing import Destination
from gateway.aggregate.sessions import Session
from gateway.calls import Members, pairs_of, read_members
from gateway.edge.carriage import CommonHead
from gateway.edge.renaming import renamed
from gateway.protocol.revisions import LOG_LEVELS, META_CLIENT_CAPABILITIES, META_LOG_LEVEL, META_VERSION
from gateway.protocol.scan import json_object

_KEYS = {"tools/call": "name", "prompts/get": "name", READ: "uri"}
_TASKS = b"io.modelcontextprotocol/tasks"
_VERSION = "2.0"


class Directed(NamedTuple):
    """A request on its way to one server."""

    place: Destination
    written: str
    """The name or URI as the client wrote it."""
    body: bytes
    members: Members
    """Of the body as the client wrote it, but for the call."""

    @property
    def is_read(self) -> bool:
        """Whether it asks for a resource."""
        return self.members.call.method == READ


def direct_stateless(core: Core, head: CommonHead, body: bytes) -> Directed | None:
    """The request of a client without a session, in agreement with its head."""
    key, members = _KEYS.get(head.method), read_members(body)
    if key is None or members is None or members.call.method != head.method or _TASKS in body:
        return None
    if members.params.get(key) != head.name or not _has_good_meta(head, members):
        return None
    place = head.place
    if head.method == READ:
        place = core.router.owned(head.view, lambda: stateless_asker(head.view, body), head.name)
    return _put(body, members, key, place) if place is not None else None


def direct_in_session(core: Core, head: CommonHead, session: Session, body: bytes) -> Directed | None:
    """The request of a client with a session."""
    members = read_members(body)
    key = _KEYS.get(members.call.method) if members is not None else None
    if members is None or key is None or members.params.get(key) != members.call.name:
        return None
    view, name = head.view, members.call.name
    if members.call.method == READ:
        place = core.router.owned(view, lambda: Asker.of(view, session.capabilities), name)
    else:
        place = certain_place(view, name)
    return _put(body, members, key, place) if place is not None else None


def certain_place(view: View, name: str) -> Destination | None:
    """Where a tool or a prompt is, if its name says so by itself."""
    target = view.names.target(name)
    is_certain = target is not None and target.is_certain
    return Destination(server=target.server, name=target.name) if target is not None and is_certain else None


def stateless_asker(view: View, body: bytes) -> Asker:
    """Who asks, as the body says it."""
    params = json_object(json_object(json.loads(body)).get("params"))
    return Asker.of(view, json_object(params.get("_meta")).get(META_CLIENT_CAPABILITIES))


def raw_id(members: Members) -> str:
    """The request's id, as JSON text."""
    return json.dumps(members.top["id"])


def _put(body: bytes, members: Members, key: str, place: Destination) -> Directed | None:
    """The request with its server's own name."""
    written = members.call.name
    changed = renamed(body, key, written, place.name) if _is_request(members) else None
    if changed is None:
        return None
    return Directed(place, written, changed, members._replace(call=members.call._replace(name=place.name)))


def _is_request(members: Members) -> bool:
    request_id = members.top.get("id")
    is_id = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return is_id and members.call.is_clear and members.top.get("jsonrpc") == _VERSION


def _has_good_meta(head: CommonHead, members: Members) -> bool:
    """Whether a stateless request says in its body what it must, and what its head says; and does not go on with
    another one, whose state would have to be opened.
    """
    meta = pairs_of(members.params.get("_meta"))
    if meta is None or "requestState" in members.params or meta.get(META_VERSION) != head.version:
        return False
    level = meta.get(META_LOG_LEVEL, LOG_LEVELS[0])
    return pairs_of(meta.get(META_CLIENT_CAPABILITIES)) is not None and level in LOG_LEVELS
