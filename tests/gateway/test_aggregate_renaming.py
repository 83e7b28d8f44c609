"""A name put into a body in place: never anywhere else than where a full reading would put it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.aggregate.callers import View
from gateway.aggregate.core import Core, with_string
from gateway.aggregate.names import Names
from gateway.aggregate.routing import Destination
from gateway.aggregate.sessions import Session
from gateway.calls import read_members
from gateway.edge.carriage import CommonHead
from gateway.edge.directing import direct_in_session, direct_stateless
from gateway.edge.renaming import renamed
from gateway.protocol.messages import read_message
from gateway.routing import RouteTable
from gateway.settings import GatewaySettings
from tests.gateway.aggregates import META, MODERN
from tests.gateway.conftest import SESSION_KEY, upstream_at

SERVERS = ("alpha", "beta")
EXPOSED, OWN = "alpha__now", "now"
VIEW = View(principal="ada", servers=SERVERS, names=Names(SERVERS), generation=(0, 0, None), expires_at_s=None)
SESSION = Session(key=b"k", opening={"protocolVersion": "2025-11-25"})


async def _nobody(*_: object) -> None:
    """No server is asked here."""


CORE = Core.of(
    GatewaySettings(session_key=SESSION_KEY), RouteTable([upstream_at(1, name) for name in SERVERS]), _nobody
)
HEAD = CommonHead(
    block=b"",
    view=VIEW,
    headers=[],
    body_size=0,
    version=MODERN,
    method="tools/call",
    name=EXPOSED,
    place=Destination(server="alpha", name=OWN),
)
NAMES = st.sampled_from([EXPOSED, OWN, "beta__now", "alpha__", 'alpha__n"ow', "alpha__nöw", ""])
LEAVES = NAMES | st.integers() | st.booleans() | st.none()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "uri", 'x"name', "y"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def bodies(draw) -> bytes:
    """Requests in any order of members, written in one of several ways."""
    params = {"name": draw(NAMES), "arguments": draw(VALUES), "_meta": META | {"name": draw(VALUES)}}
    order = draw(st.permutations(sorted(params)))
    message = {"jsonrpc": "2.0", "id": draw(st.integers()), "method": "tools/call", "more": draw(VALUES)}
    message["params"] = {name: params[name] for name in order}
    members = {name: message[name] for name in draw(st.permutations(sorted(message)))}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    return json.dumps(members, separators=separators, ensure_ascii=draw(st.booleans())).encode()


@given(bodies())
@example(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name" :"now","arguments":{"name":"alpha__now"}}}')
def test_a_name_is_put_where_a_full_reading_puts_it(body):
    for directed in (direct_stateless(CORE, HEAD, body), direct_in_session(CORE, HEAD, SESSION, body)):
        if directed is not None:
            message = read_message(body.decode())
            target = VIEW.names.target(str(message.params["name"]))
            assert target is not None
            assert (directed.place.server, directed.place.name) == (target.server, target.name)
            expected = with_string(message, ("name",), target.name)
            assert json.loads(directed.body) == json.loads(expected)
            assert directed.members.call == read_members(expected.encode()).call


@pytest.mark.parametrize("gap", ["", " "], ids=["compact", "with a space"])
def test_what_clients_send_is_put_in_place(gap):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": EXPOSED, "_meta": META}}
    body = json.dumps(message, separators=("," + gap, ":" + gap)).encode()
    for directed in (direct_stateless(CORE, HEAD, body), direct_in_session(CORE, HEAD, SESSION, body)):
        assert directed is not None
        assert directed.body == body.replace(EXPOSED.encode(), OWN.encode())


@pytest.mark.parametrize(
    ("params", "changed"),
    [
        pytest.param(b'"name":"a"', b'"name":"b"', id="once"),
        pytest.param(b'"name"\n:"a"', b'"name"\n:"b"', id="once, with an unusual gap"),
        pytest.param(b'"name":"a","x":"a"', b'"name":"b","x":"a"', id="as another value too"),
        pytest.param(b'"name":"a","x":{"name":"a"}', None, id="as another name too"),
        pytest.param(b'"name" :"a","x":{"name":"a"}', None, id="as another name, and itself with an unusual gap"),
        pytest.param(b'"name":"\\u0061","x":{"name":"a"}', None, id="with an escape, and as another name"),
        pytest.param(b'"name":"a","x":"\\u0061"', b'"name":"b","x":"\\u0061"', id="with escapes elsewhere"),
    ],
)
def test_a_value_is_replaced_where_its_place_is_clear(params, changed):
    body = b'{"method":"tools/call","params":{%b}}'
    assert renamed(body % params, "name", "a", "b") == (None if changed is None else body % changed)


@pytest.mark.parametrize(("old", "new"), [("a\\b", "b"), ("ä", "b"), ("a", "ä"), ('"', "b")])
def test_what_is_not_plain_is_left_alone(old, new):
    body = json.dumps({"params": {"name": old}}, ensure_ascii=False).encode()
    assert renamed(body, "name", old, new) is None
