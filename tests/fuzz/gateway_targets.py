"""What is fuzzed of the gateway and the adapter: one function of bytes for each reader of what others send.

A target passes for whatever it is given, or takes the one error that its reader documents; anything else that leaves it
is a fault. Where a second reader of the same thing exists (`h11`, `json`), what one takes the other must understand in
the same way. `tests/fuzz/test_gateway_targets.py` runs each with Hypothesis, `tests/fuzz/gateway_fuzz.py` with atheris.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType

import h11

from gateway.adapter.events import EventParser, EventTooLarge, ServerEvent
from gateway.adapter.http.requeststate import InvalidState, StateSeal, binding_of
from gateway.adapter.lines import LineSplitter
from gateway.calls import read_call
from gateway.edge.heads import read_plain_head
from gateway.protocol.messages import InvalidMessage, Message, decode_line, peek_response, read_message, read_meta
from gateway.protocol.scan import MalformedJson, array_items
from gateway.relay import RelayFault, RelayLimits, ResponseHead, UpstreamBroken
from gateway.relay.parser import ResponseParser
from gateway.sessions import BadCapsule, CapsuleSealer, PinnedSession

Target = Callable[[bytes], None]
SEALER = CapsuleSealer(b"k" * 32)
SEAL = StateSeal("machine", b"k" * 32, lambda: 0.0)
BINDING = binding_of("alice", "tools/call", {"name": "x"})


def request_head(data: bytes) -> None:
    """A head that the edge reads itself is one that h11 reads, and reads in the same way."""
    head = read_plain_head(data)
    if head is None:
        return
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(data)
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return  # h11 refuses more, such as a request without a Host; the gateway refuses that later.
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target) == (head.method, head.path)
    assert [(name, value) for name, value in event.headers] == [(name, value) for name, value in head.headers]


class _Recorder:
    def __init__(self) -> None:
        self.heads: list[ResponseHead] = []
        self.body = b""

    def started(self, flow: object) -> None: ...

    def head_received(self, head: ResponseHead) -> None:
        self.heads.append(head)

    def body_received(self, data: bytes) -> None:
        self.body += data

    def ended(self) -> None: ...

    def failed(self, fault: RelayFault) -> None: ...


def response(data: bytes) -> None:
    """An answer is the same in one piece and in two, or broken in both."""
    assert _read_response([data]) == _read_response([data[: len(data) // 2], data[len(data) // 2 :]])


def _read_response(pieces: list[bytes]) -> object:
    recorder, parser = _Recorder(), ResponseParser(RelayLimits())
    parser.expect(recorder)
    for piece in pieces:
        if not piece or parser.is_complete:
            continue
        try:
            parser.feed(piece)
        except UpstreamBroken:
            return "broken"
    if not parser.is_complete:
        return "incomplete"
    return recorder.heads[0].status, recorder.heads[0].headers, recorder.body


def message(data: bytes) -> None:
    """A message that is taken is one object for `json` too, with the same method, and carries another id."""
    try:
        text = decode_line(data)
        read = read_message(text)
    except (MalformedJson, InvalidMessage):
        return
    known = json.loads(text)
    assert known.get("method", "") == read.method
    read_meta(read)
    _check_id(read)


def _check_id(read: Message) -> None:
    if read.raw_id is not None:
        assert json.loads(read.with_id('"catwalk"'))["id"] == "catwalk"


def answer(data: bytes) -> None:
    """Where the id of an answer is found without reading it, that is where it stands."""
    place = peek_response(data)
    if place is None:
        return
    assert int(data[place.start : place.end]) == place.value
    with suppress(ValueError, RecursionError):
        known = json.loads(data)
        if isinstance(known, dict) and data.count(b'"id"') == 1 and data.count(b"\\u") == 0:
            assert known["id"] == place.value


def batch(data: bytes) -> None:
    """An array is taken apart, or refused."""
    with suppress(MalformedJson):
        array_items(decode_line(data))


def call(data: bytes) -> None:
    """What a body asks for is told of every body."""
    found = read_call(data)
    assert found.is_clear or not found.method or isinstance(found.method, str)


def events(data: bytes) -> None:
    """Events are the same in one piece and in many, or too large in both."""
    step = 1 + len(data) // 7
    pieces = [data[place : place + step] for place in range(0, len(data), step)]
    assert _read_events([data]) == _read_events(pieces)


def _read_events(pieces: list[bytes]) -> list[ServerEvent] | None:
    parser = EventParser(1024)
    try:
        return [event for piece in pieces for event in parser.feed(piece)]
    except EventTooLarge:
        return None


def lines(data: bytes) -> None:
    """Lines are the same in one piece and in many."""
    whole, parts = LineSplitter(300), LineSplitter(300)
    in_parts = [line for place in range(0, len(data), 3) for line in parts.feed(data[place : place + 3])]
    assert whole.feed(data) == in_parts
    assert whole.rest() == parts.rest()
    assert whole.oversized() == parts.oversized()


def capsule(data: bytes) -> None:
    """A capsule that was not made here opens nothing."""
    try:
        opened = SEALER.open(data, server="time")
    except BadCapsule:
        return
    assert SEALER.open(SEALER.seal(opened).encode(), server="time") == opened


def state(data: bytes) -> None:
    """A state that was not written here continues nothing."""
    with suppress(InvalidState):
        SEAL.read(data.decode("utf-8", "surrogateescape"), BINDING)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "request_head": request_head,
        "response": response,
        "message": message,
        "answer": answer,
        "batch": batch,
        "call": call,
        "events": events,
        "lines": lines,
        "capsule": capsule,
        "state": state,
    }
)


def seeds() -> Mapping[str, list[bytes]]:
    """What the search starts from: small inputs that reach far."""
    session = PinnedSession(server="time", session_id=b"abc", machine="m")
    request = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"t"}}}'
    reply = [
        b'{"jsonrpc":"2.0","id":7,"result":{"a":[1,2.5e3,null]}}',
        b'{"result":{"id":1},"jsonrpc":"2.0","id":7}',
        b'{"id":7,"error":{"code":-32601,"message":"\\u00e9"},"jsonrpc":"2.0"}',
    ]
    head = b"POST /servers/time/mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAccept: a, b\r\n\r\n"
    event = b": c\n\nid: p1-2\nretry: 10\ndata: {}\n\ndata: a\r\ndata: b\r\n\r\nevent: x\rdata: y\r\r"
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    return {
        "request_head": [head, b"GET /servers/a/mcp HTTP/1.1\r\nHost:  y \r\nConnection: keep-alive\r\n\r\n"],
        "response": [chunked, b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nX: y\r\n\r\nabc"],
        "message": [request, *reply, b'{"jsonrpc":"2.0","method":"notifications/initialized"}'],
        "answer": reply,
        "batch": [b"[" + request + b", 1, [2]]"],
        "call": [request, b'{"method":"resources/read","params":{"uri":"u","requestState":"cw1.m.x"}}'],
        "events": [event],
        "lines": [b"a\nb\r\n" + b"xy" * 200 + b"\nc"],
        "capsule": [SEALER.seal(session).encode()],
        "state": [SEAL.write("abc", BINDING, 60).encode()],
    }
