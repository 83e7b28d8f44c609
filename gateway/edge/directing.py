"""A body of the common address as its server gets it: whose it is, with the name that this server knows. No I/O.

A body is read once, with its new name in place. What is not one clear request of the expected kind is nobody's, and
left to the ASGI application to judge.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from gateway.aggregate.answering import READ
from gateway.aggregate.callers import View
from gateway.aggregate.core import Core
from gateway.aggregate.known import Asker
from gateway.aggregate.routing import Destination
from gateway.aggregate.sessions import Session
from gateway.calls import Members, pairs_of, read_members
from gateway.edge.carriage import CommonHead
from gateway.edge.renaming import names_in, renamed
from gateway.protocol.revisions import LOG_LEVELS, META_CLIENT_CAPABILITIES, META_LOG_LEVEL, META_VERSION
from gateway.protocol.scan import json_object

_KEYS = {"tools/call": "name", "prompts/get": "name", READ: "uri"}
_NAMED = _KEYS.keys() - {READ}
_TASKS = b"io.modelcontextprotocol/tasks"
_VERSION = "2.0"


class Directed(NamedTuple):
    """A request on its way to one server."""

    place: Destination
    written: str
    """The name or URI as the client wrote it."""
    body: bytes
    members: Members

    @property
    def is_read(self) -> bool:
        """Whether it asks for a resource."""
        return self.members.call.method == READ


def direct_stateless(core: Core, head: CommonHead, body: bytes) -> Directed | None:
    """The request of a client without a session, in agreement with its head."""
    key, place = _KEYS.get(head.method), _stateless_place(core, head, body)
    directed = _put(body, place, key, head.name) if key is not None and place is not None else None
    if directed is None or directed.members.call.method != head.method or _TASKS in body:
        return None
    return directed if _has_good_meta(head, directed.members) else None


def direct_in_session(core: Core, head: CommonHead, session: Session, body: bytes) -> Directed | None:
    """The request of a client with a session."""
    place, name = _named_place(head.view, body)
    directed = _put(body, place, "name", name) if place is not None else None
    if directed is not None and directed.members.call.method in _NAMED:
        return directed
    members = read_members(body)
    if members is None or members.call.method not in _KEYS:
        return None
    if members.call.method != READ:
        return _as_it_is(head.view, body, members)
    owner = core.router.owned(head.view, lambda: Asker.of(head.view, session.capabilities), members.call.name)
    return _put(body, owner, "uri", members.call.name) if owner is not None else None


def stateless_asker(view: View, body: bytes) -> Asker:
    """Who asks, as the body says it."""
    params = json_object(json_object(json.loads(body)).get("params"))
    return Asker.of(view, json_object(params.get("_meta")).get(META_CLIENT_CAPABILITIES))


def raw_id(members: Members) -> str:
    """The request's id, as JSON text."""
    return json.dumps(members.top["id"])


def _stateless_place(core: Core, head: CommonHead, body: bytes) -> Destination | None:
    if head.method == READ:
        return core.router.owned(head.view, _asker_in(head.view, body), head.name)
    return head.place


def _asker_in(view: View, body: bytes) -> Callable[[], Asker]:
    def asker() -> Asker:
        return stateless_asker(view, body) if read_members(body) is not None else Asker.of(view, None)

    return asker


def _named_place(view: View, body: bytes) -> tuple[Destination | None, str]:
    """Where it goes by the one name in it that names a server, and that name."""
    if view.names.is_bare:
        return None, ""
    targets = {name: view.names.target(name) for name in names_in(body)}
    found = [(name, target) for name, target in targets.items() if target is not None and target.is_certain]
    if len(found) != 1:
        return None, ""
    name, target = found[0]
    return Destination(server=target.server, name=target.name), name


def _put(body: bytes, place: Destination, key: str, written: str) -> Directed | None:
    """The request with its server's own name, if that is what the body then asks for."""
    changed = renamed(body, key, written, place.name)
    members = read_members(changed) if changed is not None else None
    if changed is None or members is None or not _is_request(members) or members.params.get(key) != place.name:
        return None
    return Directed(place, written, changed, members)


def _as_it_is(view: View, body: bytes, members: Members) -> Directed | None:
    """The request of a client that sees the names of its only server."""
    if not view.names.is_bare or not _is_request(members) or not members.call.name:
        return None
    name = members.call.name
    return Directed(Destination(server=view.servers[0], name=name), name, body, members)


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
