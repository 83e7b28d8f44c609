"""The log of an app: nothing lost, nothing twice, nothing endless."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.logbook import CUT_MARK, LINE_LIMIT, LINES_KEPT, LineSplitter, LogBook, Origin

ORIGIN = Origin(app="acme-time", instance="m1", region="local")


async def test_following_by_token_gives_every_line_once_and_in_order(bench):
    made = await bench.make_machine("--lines", "350", "--exit", "0")
    await bench.wait(made, "stopped")
    seen, token = [], made["events"][0]["timestamp"] * 1_000_000
    while True:
        page = await bench.logs(next_token=str(token), instance=made["id"])
        if not page["data"]:
            break
        assert len(page["data"]) <= 100
        seen += [line["attributes"]["message"] for line in page["data"]]
        token = page["meta"]["next_token"]
    assert [line for line in seen if line.startswith("line ")] == [f"line {number}" for number in range(350)]
    assert "Main child exited normally with code: 0" in seen


async def test_without_a_token_the_newest_page_comes_oldest_first(bench):
    made = await bench.make_machine("--lines", "350", "--exit", "0")
    await bench.wait(made, "stopped")
    page = await bench.logs()
    messages = [line["attributes"]["message"] for line in page["data"]]
    assert len(messages) == 100
    assert "line 349" in messages
    assert messages.index("line 348") < messages.index("line 349")
    assert page["meta"]["next_token"] == page["data"][-1]["id"]


async def test_a_follower_that_begins_before_the_first_line_misses_none(bench):
    token = (await bench.logs())["meta"]["next_token"]
    made = await bench.make_machine("--print", "the very first", "--exit", "0")
    await bench.wait(made, "stopped")
    messages = [line["attributes"]["message"] for line in (await bench.logs(next_token=token))["data"]]
    assert messages[0] == "the very first"


async def test_a_missing_app_and_a_wrong_token_are_both_401(bench):
    url = bench.engine.api_url
    assert (await bench.api.get(f"{url}/api/v1/apps/none/logs")).status_code == 401
    stranger = {"authorization": "Bearer other"}
    assert (await bench.api.get(f"{url}/api/v1/apps/acme-time/logs", headers=stranger)).status_code == 401


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), min_size=1), st.data())
def test_lines_come_out_as_they_went_in_however_the_stream_was_cut(lines, data):
    stream = "\n".join(lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    seen: list[str] = []
    splitter = LineSplitter(seen.append)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        splitter.feed(stream[start:end])
    splitter.close()
    assert seen == lines


def test_a_line_without_end_is_cut_and_the_next_one_is_whole():
    seen: list[str] = []
    splitter = LineSplitter(seen.append)
    for _ in range(100):
        splitter.feed(b"x" * 10_000)
    splitter.feed(b"\nnext\n")
    assert seen == ["x" * LINE_LIMIT + CUT_MARK, "next"]


def test_every_line_has_a_time_of_its_own_although_the_clock_stands_still(stepped_clock):
    book = LogBook(stepped_clock)
    for number in range(LINES_KEPT + 10):
        book.write(ORIGIN, str(number))
    everything = book.after("acme-time", 0, lambda _: True, LINES_KEPT * 2)
    assert [line.message for line in everything] == [str(number) for number in range(10, LINES_KEPT + 10)]
    assert len({line.at_ns for line in everything}) == LINES_KEPT
    middle = everything[100].at_ns
    assert book.after("acme-time", middle, lambda _: True, 1)[0].message == "111"
