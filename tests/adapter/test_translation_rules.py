"""The decisions of translation, without a server: headers that repeat arguments, states, levels, places for calls."""

import json
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.inbound import (
    find_invalid_x_mcp_header,
    mcp_param_headers,
    validate_mcp_param_headers,
    x_mcp_header_map,
)

from gateway.adapter.http.common import WatchedUris
from gateway.adapter.http.gate import CallGate, TooManyCalls
from gateway.adapter.http.lanes import askable_part
from gateway.adapter.http.levels import passes, rank
from gateway.adapter.http.parking import ParkingLot
from gateway.adapter.http.requeststate import Binding, InvalidState, StateSeal, binding_of
from gateway.adapter.http.shapes import to_modern_reply
from gateway.adapter.http.tenants import Limit, NoRoom, Tenancy, Tenant
from gateway.protocol.affinity import machine_of_state
from gateway.protocol.messages import read_message
from gateway.protocol.parameters import (
    MisusedHeader,
    check_parameter_headers,
    parameter_headers,
    write_parameter_headers,
)

TYPES = st.sampled_from(["string", "integer", "boolean"])
ARGUMENTS = st.one_of(st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.text(max_size=12), st.floats(-9, 9))


@given(st.dictionaries(st.sampled_from("abc"), st.tuples(TYPES, ARGUMENTS)), st.booleans())
def test_what_the_official_client_writes_is_accepted(given_arguments: dict[str, tuple[str, Any]], nested: bool):
    properties = {key: {"type": kind, "x-mcp-header": f"H-{key}"} for key, (kind, _) in given_arguments.items()}
    arguments: dict[str, Any] = {key: value for key, (_, value) in given_arguments.items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if nested:
        schema, arguments = {"type": "object", "properties": {"n": schema}}, {"n": arguments}
    headers = mcp_param_headers(x_mcp_header_map(schema), arguments)
    wanted = parameter_headers(schema)
    assert (
        check_parameter_headers(wanted, arguments, [(name.lower(), value) for name, value in headers.items()]) is None
    )
    written = write_parameter_headers(wanted, arguments)
    assert validate_mcp_param_headers(schema, arguments, dict(written)) is None


@given(st.text(max_size=12), st.text(max_size=12))
def test_another_value_is_refused(argument: str, other: str):
    wanted = parameter_headers({"properties": {"a": {"type": "string", "x-mcp-header": "A"}}})
    [(name, value)] = write_parameter_headers(wanted, {"a": other})
    refused = check_parameter_headers(wanted, {"a": argument}, [(name, value)])
    assert (refused is None) == (argument == other)


def annotated(kind: object = "string", name: object = "Region") -> dict[str, object]:
    return {"type": kind, "x-mcp-header": name}


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"properties": {"a": annotated(name="")}}, id="no name"),
        pytest.param({"properties": {"a": annotated(name="a b")}}, id="no token"),
        pytest.param({"properties": {"a": annotated(name=7)}}, id="no text"),
        pytest.param({"properties": {"a": annotated(kind="number")}}, id="number"),
        pytest.param({"properties": {"a": annotated(kind=["string"])}}, id="several types"),
        pytest.param({"properties": {"a": annotated(), "b": annotated(name="REGION")}}, id="twice"),
        pytest.param({"properties": {"a": {"items": annotated()}}}, id="in items"),
        pytest.param({"anyOf": [{"properties": {"a": annotated()}}]}, id="in anyOf"),
        pytest.param({"$defs": {"d": annotated()}}, id="in a definition"),
        pytest.param(annotated(), id="at the root"),
    ],
)
def test_a_tool_that_misuses_the_keyword_wants_no_header(schema: dict[str, object]):
    with pytest.raises(MisusedHeader):
        parameter_headers(schema)
    assert find_invalid_x_mcp_header(schema) is not None


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"properties": {"x-mcp-header": {"type": "string"}}}, id="a property of that name"),
        pytest.param({"properties": {"a": {"default": {"x-mcp-header": "A"}}}}, id="in a default"),
        pytest.param({"properties": {"a": {"enum": [{"x-mcp-header": "A"}]}}}, id="in an enumeration"),
        pytest.param(None, id="no schema"),
        pytest.param([], id="an array"),
    ],
)
def test_what_only_looks_like_the_keyword_wants_no_header(schema: object):
    assert parameter_headers(schema) == ()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


BOUND = binding_of("alice", "tools/call", {"name": "t", "arguments": {"a": 1}})
CONTINUATION = "A" * 22


def test_a_state_expires_at_its_time():
    clock = Clock()
    seal = StateSeal("m-1", now_s=clock)
    state = seal.write(CONTINUATION, BOUND, 300)
    clock.now_s += 299
    assert seal.read(state, BOUND) == CONTINUATION
    clock.now_s += 2
    with pytest.raises(InvalidState):
        seal.read(state, BOUND)


@given(st.data())
def test_a_state_with_any_character_changed_is_refused(data: st.DataObject):
    seal = StateSeal("m-1", key=b"k" * 32, now_s=Clock())
    state = seal.write(CONTINUATION, BOUND, 300)
    place = data.draw(st.integers(0, len(state) - 1))
    other = data.draw(st.characters().filter(lambda each: each != state[place]))
    changed = state[:place] + other + state[place + 1 :]
    with pytest.raises(InvalidState):
        seal.read(changed, BOUND)


@pytest.mark.parametrize(
    "other",
    [
        binding_of("bob", "tools/call", {"name": "t", "arguments": {"a": 1}}),
        binding_of("alice", "prompts/get", {"name": "t", "arguments": {"a": 1}}),
        binding_of("alice", "tools/call", {"name": "t", "arguments": {"a": 2}}),
        Binding(principal="", digest=BOUND.digest),
    ],
    ids=["principal", "method", "arguments", "nobody"],
)
def test_a_state_holds_for_its_binding_only(other: Binding):
    seal = StateSeal("m-1", now_s=Clock())
    with pytest.raises(InvalidState):
        seal.read(seal.write(CONTINUATION, BOUND, 300), other)


def test_a_state_of_another_machine_is_refused():
    clock = Clock()
    with pytest.raises(InvalidState):
        StateSeal("m-1", now_s=clock).read(StateSeal("m-1", now_s=clock).write(CONTINUATION, BOUND, 300), BOUND)


def test_what_differs_in_a_retry_does_not_count_for_the_binding():
    retry = {"name": "t", "arguments": {"a": 1}, "requestState": "s", "inputResponses": {}, "_meta": {"x": 1}}
    assert binding_of("alice", "tools/call", retry) == BOUND


@pytest.mark.parametrize(
    ("machine", "read"), [("4d89", "4d89"), ("", None), ("a.b c", "a-b-c")], ids=["named", "none", "odd"]
)
def test_a_gateway_reads_the_machine_of_a_state(machine: str, read: str | None):
    assert machine_of_state(StateSeal(machine).write(CONTINUATION, BOUND, 300)) == read
    assert machine_of_state("of somebody else") is None


class Waiting:
    binding = BOUND

    def __init__(self) -> None:
        self.expired = anyio.Event()

    def expire(self) -> None:
        self.expired.set()


async def test_a_call_whose_client_does_not_come_back_is_given_up():
    lot, call = ParkingLot(StateSeal(""), lifetime_s=0.01), Waiting()
    state = lot.park(call)
    with anyio.fail_after(5):
        await call.expired.wait()
    assert len(lot) == 0
    with pytest.raises(InvalidState):
        lot.claim(state, BOUND)


async def test_no_more_calls_wait_than_there_are_places():
    lot = ParkingLot(StateSeal(""), places=1)
    call = Waiting()
    assert lot.park(call)
    assert lot.park(Waiting()) is None
    lot.forget(call)
    assert lot.park(Waiting())


@pytest.mark.parametrize(
    ("line", "asked", "heard"),
    [("error", "info", True), ("info", "info", True), ("debug", "info", False), ("error", None, False)],
)
def test_a_line_is_heard_at_its_level_and_above(line: str, asked: str | None, heard: bool):
    message = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": line, "data": 1}}
    assert passes(read_message(json.dumps(message)), asked) == heard


def test_an_unknown_level_ranks_behind_all():
    assert rank("loud") > rank("emergency") > rank("debug")


def test_a_server_learns_of_a_client_only_what_it_can_ask():
    declared = {"elicitation": {"form": {}}, "roots": {"listChanged": True}, "sampling": "yes", "extensions": {"x": {}}}
    assert askable_part(declared) == {"elicitation": {"form": {}}, "roots": {}}


class Hears:
    def hear(self, message: object) -> None:
        raise NotImplementedError


def test_a_resource_is_watched_from_the_first_client_to_the_last():
    uris, first, second = WatchedUris(), Hears(), Hears()
    assert [uris.add(first, "a"), uris.add(second, "a"), uris.add(first, "b")] == [True, False, True]
    assert uris.concerns(second, "a/part")
    assert not uris.concerns(second, "b")
    assert not uris.remove(first, "a")
    assert uris.remove_all(first) == ["b"]
    assert uris.remove_all(second) == ["a"]
    assert uris.all == []


class Idle:
    def __init__(self, principal: str, last_used_s: float, *, busy: bool = False) -> None:
        self.principal = principal
        self.last_used_s = last_used_s
        self.is_busy = busy


def tenancy(*tenants: Idle, total: int = 2, per_principal: int = 2) -> tuple[Tenancy, list[Tenant]]:
    evicted: list[Tenant] = []
    rooms: list[Tenancy] = []

    def close(tenant: Tenant) -> None:
        rooms[0].remove(tenant)
        evicted.append(tenant)

    rooms.append(Tenancy(Limit(total=total, per_principal=per_principal), close))
    for tenant in tenants:
        rooms[0].add(tenant)
    return rooms[0], evicted


def test_the_tenant_that_was_idle_longest_makes_room():
    old, older = Idle("a", 100.0), Idle("b", 50.0)
    kept, evicted = tenancy(old, older)
    kept.add(Idle("c", 200.0))
    assert evicted == [older]


def test_a_busy_tenant_never_makes_room():
    kept, evicted = tenancy(Idle("a", 1.0, busy=True), Idle("b", 1.0, busy=True))
    with pytest.raises(NoRoom):
        kept.add(Idle("c", 2.0))
    assert evicted == []


def test_nobody_is_nobody_s_principal():
    kept, _ = tenancy(total=5, per_principal=1)
    for _ in range(3):
        kept.add(Idle("", 1.0, busy=True))
    kept.add(Idle("a", 1.0, busy=True))
    with pytest.raises(NoRoom):
        kept.add(Idle("a", 1.0, busy=True))


def test_the_gate_counts_what_is_running_and_forgets_what_has_ended():
    gate = CallGate(total=2, per_principal=1)
    gate.enter("alice")
    with pytest.raises(TooManyCalls):
        gate.enter("alice")
    gate.enter("bob")
    with pytest.raises(TooManyCalls):
        gate.enter("carol")
    gate.leave("alice")
    gate.enter("carol")
    gate.leave("bob")
    gate.enter("alice")


def test_tools_that_run_only_as_legacy_tasks_are_not_offered():
    tools = [
        {"name": "a", "inputSchema": {}, "execution": {"taskSupport": "optional", "x": 1}},
        {"name": "b", "inputSchema": {}, "execution": {"taskSupport": "required"}},
        {"name": "c", "inputSchema": {}, "execution": {"taskSupport": "forbidden"}},
    ]
    answer = read_message(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "nextCursor": ""}}))
    result = json.loads(to_modern_reply(answer, "tools/list", "1", None).body)["result"]
    assert result["tools"] == [
        {"name": "a", "inputSchema": {}, "execution": {"x": 1}},
        {"name": "c", "inputSchema": {}},
    ]
    assert (result["nextCursor"], result["ttlMs"], result["cacheScope"]) == ("", 0, "private")
