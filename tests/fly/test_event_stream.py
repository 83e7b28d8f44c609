import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.fly.event_stream import EventStream

STREAMS = [
    pytest.param(b"data: a\n\n", ["a"], id="one"),
    pytest.param(b"data:a\r\n\r\ndata: b\r\n\r\n", ["a", "b"], id="carriage returns"),
    pytest.param(b"data: a\ndata: b\n\n", ["a\nb"], id="several lines of one event"),
    pytest.param(b": waiting\n\nid: 1\ndata:\n\nretry: 500\n\nevent: message\ndata: a\n\n", ["a"], id="priming"),
    pytest.param(b"data: a\n", ["a"], id="without its last blank line"),
    pytest.param(b"data: a", ["a"], id="without a line end"),
    pytest.param(b"", [], id="nothing"),
]


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_the_data_of_every_event_comes_out(stream, events):
    reader = EventStream()
    assert [*reader.feed(stream), *reader.close()] == events


@given(
    messages=st.lists(st.dictionaries(st.text(), st.text()), max_size=4),
    ending=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_it_does_not_matter_where_the_stream_is_cut(messages, ending, cuts):
    lines = [line for message in messages for line in (": ping", "id: 1", f"data: {json.dumps(message)}", "")]
    stream = "".join(line + ending for line in lines).encode()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = EventStream()
    found = [data for start, end in pairwise(places) for data in reader.feed(stream[start:end])]
    assert [json.loads(data) for data in [*found, *reader.close()]] == messages
