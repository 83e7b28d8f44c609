"""The response parser: the same answer however the bytes arrive, and no bytes that break it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.relay import RelayFault, RelayLimits, ResponseHead, UpstreamBroken
from gateway.relay.parser import ResponseParser


class Recorder:
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


def feed(pieces: list[bytes]) -> tuple[Recorder, ResponseParser, bool]:
    recorder, parser = Recorder(), ResponseParser(RelayLimits())
    parser.expect(recorder)
    for piece in pieces:
        try:
            parser.feed(piece)
        except UpstreamBroken:
            return recorder, parser, False
        if parser.is_complete:
            break
    return recorder, parser, True


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(bounds)]


bodies = st.lists(st.binary(min_size=1, max_size=50), max_size=8)
LINES = (
    b"HTTP/1.1 200 OK\r\n",
    b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"\r\n",
    b"1\r\n",
    b"0\r\n",
    b"x",
    b" ",
    b"\n",
)
cuts = st.lists(st.integers(0, 2000), max_size=12)


@given(bodies, cuts)
def test_a_chunked_answer_is_the_same_in_any_pieces(chunks, cut_at):
    data = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    data += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    recorder, parser, is_fine = feed(cut(data, cut_at))
    assert is_fine
    assert parser.is_complete
    assert parser.keeps_alive
    assert recorder.body == b"".join(chunks)
    assert recorder.heads[0].headers == ((b"content-type", b"text/event-stream"), (b"transfer-encoding", b"chunked"))


@given(st.binary(max_size=200), cuts)
def test_an_answer_of_known_length_is_the_same_in_any_pieces(body, cut_at):
    data = b"HTTP/1.1 404 Not Found\r\nX-One: a \r\ncontent-length: %d\r\n\r\n" % len(body) + body
    recorder, parser, is_fine = feed(cut(data, cut_at))
    assert is_fine
    assert parser.is_complete
    assert recorder.body == body
    assert recorder.heads[0].status == 404
    assert recorder.heads[0].value(b"x-one") == b"a"


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_no_bytes_break_the_parser(pieces):
    recorder, parser, is_fine = feed([piece for piece in pieces if piece])
    assert not (is_fine and parser.is_complete and not recorder.heads)


@given(st.lists(st.sampled_from(LINES), max_size=14))
def test_no_arrangement_of_http_gives_two_answers(pieces):
    recorder, parser, is_fine = feed(pieces)
    assert len(recorder.heads) <= 1
    if is_fine and parser.is_complete:
        names = [name for name, _ in recorder.heads[0].headers]
        assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
