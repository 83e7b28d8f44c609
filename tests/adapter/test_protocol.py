"""The shared rules: scanning against `json`, ids of responses, headers, eras."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.errors import Refusal
from gateway.protocol.headers import BadHeaderValue, decode_header_value, encode_header_value
from gateway.protocol.messages import InvalidMessage, MessageKind, peek_response, read_message, read_meta
from gateway.protocol.revisions import Era, era_of_post, era_of_stream, negotiate
from gateway.protocol.scan import MalformedJson, array_items, compose, splice, whole_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", "\t:\r\n")])


@given(OBJECTS, SEPARATORS, st.booleans())
def test_members_are_those_that_json_reads(value: dict[str, Any], separators: tuple[str, str], ascii_only: bool):
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    members = whole_object(text)
    assert {key: member.value for key, member in members.items()} == value
    assert {key: json.loads(text[member.start : member.end]) for key, member in members.items()} == value
    assert json.loads(compose(text, members, {})) == value


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\u"', max_size=60))
def test_what_json_refuses_is_refused_and_the_other_way_round(text: str):
    try:
        expected = json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    except ValueError:
        expected = None
    if isinstance(expected, dict):
        assert {key: member.value for key, member in whole_object(text).items()} == expected
    else:
        with pytest.raises(MalformedJson):
            whole_object(text)


@given(OBJECTS.filter(bool), st.data())
def test_splicing_changes_one_member_and_nothing_else(value: dict[str, Any], data: st.DataObject):
    text = json.dumps(value)
    key = data.draw(st.sampled_from(sorted(value)))
    changed = splice(text, {whole_object(text)[key]: '"new"'})
    assert json.loads(changed) == {**value, key: "new"}


@given(st.lists(VALUES, max_size=5))
def test_the_items_of_an_array_are_those_that_json_reads(values: list[Any]):
    assert [json.loads(item) for item in array_items(json.dumps(values, indent=1))] == values


@given(OBJECTS, st.integers(), st.permutations(["jsonrpc", "id", "result"]), SEPARATORS)
def test_the_id_of_a_response_is_found_in_every_layout(
    result: dict[str, Any], number: int, order: list[str], separators: tuple[str, str]
):
    message = {"jsonrpc": "2.0", "id": number, "result": result}
    line = json.dumps({key: message[key] for key in order}, separators=separators, ensure_ascii=False).encode()
    found = peek_response(line)
    if found is not None:
        assert found.value == number
        changed = line[: found.start] + b'"client"' + line[found.end :]
        assert json.loads(changed) == {**message, "id": "client"}
    common = order in (["jsonrpc", "id", "result"], ["id", "jsonrpc", "result"], ["result", "jsonrpc", "id"])
    assert found is not None or not common


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', id="request"),
        pytest.param(b'{"jsonrpc":"2.0","method":"x","params":{"id":1,"result":{}}}', id="notification"),
        pytest.param(b'{"result":{"a":{"jsonrpc":"2.0","id":1}}}', id="id inside the result"),
        pytest.param(b'{"result":"\\",\\"jsonrpc\\":\\"2.0\\",\\"id\\":1}"}', id="id inside a text"),
    ],
)
def test_an_id_that_is_not_the_response_s_own_is_not_taken(line: bytes):
    assert peek_response(line) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"a"}', MessageKind.REQUEST),
        ('{"jsonrpc":"2.0","method":"a","params":{}}', MessageKind.NOTIFICATION),
        ('{"jsonrpc":"2.0","id":"x","result":{}}', MessageKind.RESPONSE),
        ('{"jsonrpc":"2.0","id":1,"error":{}}', MessageKind.RESPONSE),
    ],
)
def test_a_message_is_known_by_its_members(text: str, kind: MessageKind):
    assert read_message(text).kind is kind


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1,"method":"a"}',
        '{"jsonrpc":"1.0","id":1,"method":"a"}',
        '{"jsonrpc":"2.0","id":1.5,"method":"a"}',
        '{"jsonrpc":"2.0","id":true,"method":"a"}',
        '{"jsonrpc":"2.0","id":null,"method":"a"}',
        '{"jsonrpc":"2.0","id":1,"method":""}',
        '{"jsonrpc":"2.0","id":1,"method":7}',
        '{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}',
        '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
        '{"jsonrpc":"2.0","result":{}}',
    ],
)
def test_what_is_no_message_is_refused(text: str):
    with pytest.raises(InvalidMessage):
        read_message(text)


def test_places_of_meta_refer_to_the_whole_text():
    message = read_message('{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1,"_meta":{"progressToken":"p"}}}')
    _, meta = read_meta(message)
    changed = splice(message.text, {meta["progressToken"]: "7"})
    assert json.loads(changed)["params"] == {"x": 1, "_meta": {"progressToken": 7}}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_header_value_comes_back_and_is_printable(value: str):
    encoded = encode_header_value(value)
    assert encoded.isascii()
    assert encoded == "" or encoded.isprintable()
    assert decode_header_value(encoded) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [("Grüße", "=?base64?R3LDvMOfZQ==?="), ("us west 1", "us west 1"), ("", ""), (" x", "=?base64?IHg=?=")],
)
def test_header_values_are_encoded_as_the_specification_shows(value: str, encoded: str):
    assert encode_header_value(value) == encoded


def test_the_marker_is_case_sensitive_and_bad_base64_is_refused():
    assert decode_header_value("=?BASE64?R3I=?=") == "=?BASE64?R3I=?="
    with pytest.raises(BadHeaderValue):
        decode_header_value("=?base64?!?=")


@pytest.mark.parametrize(
    ("version", "session", "method", "meta", "era"),
    [
        ("2026-07-28", False, "tools/list", True, Era.MODERN),
        ("2026-07-28", True, "tools/list", True, Era.MODERN),
        ("2025-11-25", True, "tools/list", False, Era.LEGACY),
        ("2025-11-25", False, "tools/list", True, Era.LEGACY),
        ("1900-01-01", False, "tools/list", False, Era.MODERN),
        (None, False, "initialize", False, Era.LEGACY),
        (None, True, "tools/list", False, Era.LEGACY),
        (None, False, "tools/list", True, Era.MODERN),
        (None, False, "tools/list", False, Era.LEGACY),
    ],
)
def test_the_era_of_a_post(version: str | None, session: bool, method: str, meta: bool, era: Era):
    assert era_of_post(version_header=version, session_header=session, method=method, meta_version=meta) is era


@pytest.mark.parametrize(
    ("version", "session", "era"),
    [("2025-06-18", False, Era.LEGACY), (None, True, Era.LEGACY), (None, False, Era.MODERN), ("x", True, Era.MODERN)],
)
def test_the_era_of_a_stream(version: str | None, session: bool, era: Era):
    assert era_of_stream(version_header=version, session_header=session) is era


@pytest.mark.parametrize(
    ("requested", "offered", "granted"),
    [
        ("2025-03-26", "2025-11-25", "2025-03-26"),
        ("2025-11-25", "2024-11-05", "2024-11-05"),
        ("1999-01-01", "2025-11-25", "2025-11-25"),
        (None, "2025-06-18", "2025-06-18"),
    ],
)
def test_a_shared_server_grants_at_most_what_it_speaks(requested: object, offered: str, granted: str):
    assert negotiate(requested=requested, offered=offered) == granted


def test_an_error_keeps_the_id_as_written_and_has_its_status():
    refusal = Refusal(code=-32601, message="ü", data={"a": 1})
    assert json.loads(refusal.body('"x"')) == {
        "jsonrpc": "2.0",
        "id": "x",
        "error": {"code": -32601, "message": "ü", "data": {"a": 1}},
    }
    assert (refusal.status, Refusal(code=-32603, message="").status) == (404, 200)
