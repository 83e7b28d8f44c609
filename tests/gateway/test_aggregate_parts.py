"""Merged lists, addresses of resources, and tokens: decisions without any I/O."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.aggregate.events import EventReader, rewritten
from gateway.aggregate.names import Names
from gateway.aggregate.parts import Item, Listing, Missing, Part, UnreadablePart, merged, read_answer, read_part
from gateway.aggregate.seals import BadToken, Purpose, Seals
from gateway.aggregate.speech import States, asked_id, asker, from_legacy_server
from gateway.aggregate.uris import Ownership, fits, unwritten
from gateway.protocol.messages import read_message

SEALS = Seals(b"k" * 32)


def part(server: str, *names: str, **values: object) -> Part:
    items = tuple(Item(key=name, text=json.dumps({"name": name})) for name in names)
    return Part(server=server, items=items, **values)


def names_of(page) -> list[str]:
    return [json.loads(text)["name"] for text in page.texts]


TOOL = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
PARTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.none() | st.lists(TOOL, max_size=5))


@given(PARTS)
def test_a_merged_list_has_everything_that_came_once_and_in_order(given_parts):
    servers = tuple(sorted(given_parts))
    parts = [
        Missing(server=server, cause="gone") if given_parts[server] is None else part(server, *given_parts[server])
        for server in servers
    ]
    page = merged(Listing.TOOLS, parts, Names(servers).exposed)
    expected = [f"{server}__{tool}" for server in servers for tool in dict.fromkeys(given_parts[server] or ())]
    assert names_of(page) == expected
    assert page.notes == {server: "gone" for server in servers if given_parts[server] is None}
    assert page.next_place is None


def test_a_page_ends_with_the_first_server_that_is_not_through():
    parts = [part("a", "x"), part("b", "y", next_cursor=""), part("c", "z")]
    page = merged(Listing.TOOLS, parts, Names(("a", "b", "c")).exposed)
    assert names_of(page) == ["a__x", "b__y"]
    assert page.next_place == ("b", "")


@pytest.mark.parametrize(
    ("parts", "ttl_ms", "is_public"),
    [
        ([part("a", ttl_ms=50, is_public=True), part("b", ttl_ms=20, is_public=True)], 20, True),
        ([part("a", ttl_ms=50, is_public=True), part("b", ttl_ms=20)], 20, False),
        ([part("a", ttl_ms=50, is_public=True), Missing(server="b", cause="slow")], 0, False),
        ([], 0, False),
    ],
    ids=["the shortest time", "the narrower scope", "not whole", "nothing"],
)
def test_a_merged_list_is_kept_as_its_strictest_part_allows(parts, ttl_ms, is_public):
    page = merged(Listing.TOOLS, parts, Names(("a", "b")).exposed)
    assert (page.ttl_ms, page.is_public) == (ttl_ms, is_public)


def test_an_item_keeps_its_text_but_for_the_name():
    text = '{"inputSchema":{"maximum": 1.10, "name":"x"}, "name" : "now","annotations":{}}'
    item = Item(key="now", text=text)
    assert item.renamed("name", "time__now") == text.replace('"now"', '"time__now"')
    assert item.renamed("name", "now") == text


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc":"2.0","id":1,"result":{"tools":{}}}',
        '{"jsonrpc":"2.0","id":1,"result":[]}',
        '{"jsonrpc":"2.0","id":1,"result":{}}',
    ],
)
def test_a_list_that_cannot_be_understood_is_a_missing_part(text):
    with pytest.raises(UnreadablePart):
        read_part("a", Listing.TOOLS, read_answer(text))


def test_an_error_from_the_way_to_a_server_says_its_cause():
    with pytest.raises(UnreadablePart, match="The server cannot be reached: a: refused"):
        read_answer(
            '{"jsonrpc":"2.0","id":null,"error":{"code":-33010,"message":"The server cannot be reached: a: refused"}}'
        )


URIS = {"alpha": ["shared://x", "alpha://a"], "beta": ["shared://x", "beta+odd://y"]}


def test_a_shared_address_belongs_to_the_first_server_and_others_say_whose_they_are():
    ownership = Ownership(URIS, {"beta": ["file:///{+path}", "beta://{id}/data{?q}"]})
    assert ownership.exposed("alpha", "shared://x") == "shared://x"
    assert ownership.exposed("beta", "shared://x") == "beta+shared://x"
    assert unwritten("beta+shared://x", ("alpha", "beta")) == ("beta", "shared://x")
    assert unwritten("git+ssh://x", ("alpha", "beta")) is None
    assert ownership.lister("beta+odd://y") == "beta"
    assert ownership.maker("file:///a/b.txt") == "beta"
    assert ownership.maker("gopher://a") is None


@pytest.mark.parametrize(
    ("template", "uri", "is_fitting"),
    [
        ("note://{id}", "note://7", True),
        ("note://{id}", "note://7/8", False),
        ("note://{+path}", "note://7/8", True),
        ("note://{id}/data{?q}", "note://7/data?q=1", True),
        ("note://{id}/data{?q}", "note://7/data", True),
        ("note.*://{id}", "noteXY://7", False),
        ("plain://x", "plain://x", True),
        ("x{+a}" * 10 + "y", "x" * 8000, False),
        ("x{+a}" * 10 + "y", "x" * 8000 + "y", True),
        ("a{x}", "b", False),
    ],
)
def test_addresses_are_compared_with_templates(template, uri, is_fitting):
    assert fits(template, uri) is is_fitting


@given(st.text(), st.text(), st.text(max_size=200))
def test_a_token_says_what_was_sealed_to_whom_it_was_given(principal, server, value):
    for purpose in Purpose:
        token = SEALS.seal(purpose, principal, (server, value))
        assert SEALS.open(purpose, principal, token) == (server, value)


@given(st.data())
def test_no_changed_token_is_opened(data):
    token = SEALS.seal(Purpose.CURSOR, "ada", ("tools/list", "time", "7"))
    place = data.draw(st.integers(0, len(token) - 1))
    changed = token[:place] + data.draw(st.sampled_from("AZaz09-_=+ é")) + token[place + 1 :]
    for candidate in (changed, token[:place], token + "A", data.draw(st.text())):
        if candidate != token:
            with pytest.raises(BadToken):
                SEALS.open(Purpose.CURSOR, "ada", candidate)


@pytest.mark.parametrize(("purpose", "principal"), [(Purpose.STATE, "ada"), (Purpose.CURSOR, "bob")])
def test_a_token_is_good_for_one_purpose_and_one_principal(purpose, principal):
    token = SEALS.seal(Purpose.CURSOR, "ada", ("a", "b"))
    with pytest.raises(BadToken):
        SEALS.open(purpose, principal, token)
    with pytest.raises(BadToken):
        Seals(b"j" * 32).open(Purpose.CURSOR, "ada", token)


@pytest.mark.parametrize("raw_id", ["3", '"a/b"', '"ü"', "-1"])
def test_an_answer_finds_the_server_that_asked(raw_id):
    asked = json.loads(asked_id("time", raw_id))
    answer = read_message(json.dumps({"jsonrpc": "2.0", "id": asked, "result": {"ok": True}}))
    server, text = asker(answer, ("notes", "time"))
    assert server == "time"
    assert json.loads(text) == {"jsonrpc": "2.0", "id": json.loads(raw_id), "result": {"ok": True}}


@pytest.mark.parametrize("value", [3, "time", "ghost/3", "time/", "time/x", "time/null", "time/true", "time/1.5"])
def test_an_answer_to_nothing_finds_nobody(value):
    answer = read_message(json.dumps({"jsonrpc": "2.0", "id": value, "result": {}}))
    assert asker(answer, ("notes", "time")) is None


def test_what_a_server_says_names_it_where_it_could_be_mistaken():
    def expose(server: str, uri: str) -> str:
        return f"{server}+{uri}"

    def said(**members: object) -> object:
        return json.loads(from_legacy_server("time", json.dumps({"jsonrpc": "2.0", **members}), expose))

    assert said(id=3, method="roots/list")["id"] == "time/3"
    cancelled = said(method="notifications/cancelled", params={"requestId": 3, "reason": "over"})
    assert cancelled["params"] == {"requestId": "time/3", "reason": "over"}
    updated = said(method="notifications/resources/updated", params={"uri": "a://b"})
    assert updated["params"] == {"uri": "time+a://b"}
    progress = {"method": "notifications/progress", "params": {"progressToken": 3, "progress": 1}}
    assert said(**progress) == {"jsonrpc": "2.0", **progress}
    assert from_legacy_server("time", '"method" but no message', expose) == '"method" but no message'


def test_the_state_of_a_call_comes_back_to_its_server_alone():
    states = States(seals=SEALS, principal="ada")
    result = {"resultType": "input_required", "requestState": "secret", "inputRequests": {}}
    wrapped = json.loads(states.wrapped("time", json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})))
    state = wrapped["result"]["requestState"]
    assert states.unwrapped(state) == ("time", "secret")
    with pytest.raises(BadToken):
        States(seals=SEALS, principal="bob").unwrapped(state)
    complete = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "requestState": "x"}})
    assert states.wrapped("time", complete) == complete


STREAM = (
    b": hello\n\n"
    b"id: p1-0\nretry: 100\ndata: \n\n"
    b'event: message\r\nid: p1-1\r\ndata: {"jsonrpc":"2.0",\r\ndata: "method":"x"}\r\n\r\n'
    b'data: {"last":true}\n\n'
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_is_read_alike_however_it_is_cut(cuts):
    places = [0, *sorted(cuts), len(STREAM)]
    reader = EventReader()
    pieces = [
        rewritten(reader, STREAM[start:end], lambda event: event.changed(data=event.data, event_id=event.event_id))
        for start, end in pairwise(places)
    ]
    assert b"".join(pieces) + reader.rest() == STREAM


def test_an_event_is_written_with_another_id_and_message():
    reader = EventReader()
    events = list(reader.feed(STREAM))
    assert [(event.event_id, event.data) for event in events] == [
        (None, ""),
        ("p1-0", ""),
        ("p1-1", '{"jsonrpc":"2.0",\n"method":"x"}'),
        (None, '{"last":true}'),
    ]
    assert events[1].changed(data="", event_id="time/p1-0") == b"id: time/p1-0\nretry: 100\ndata: \n\n"
    changed = events[2].changed(data="{}", event_id="time/p1-1")
    assert changed == b"id: time/p1-1\nevent: message\ndata: {}\n\n"
