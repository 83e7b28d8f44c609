"""The audit as page and as JSON: what is asked for, page by page, and only for whom it is."""

from collections.abc import AsyncIterator

import pytest
from litestar.testing import AsyncTestClient

from reconciler.web.audit import AuditReader
from tests.web.conftest import CALL, SampleAudit, kept


@pytest.fixture
def desk() -> SampleAudit:
    return SampleAudit()


@pytest.fixture
async def pages(make_application, view, desk) -> AsyncIterator[AsyncTestClient]:
    async with AsyncTestClient(make_application(view, audit=desk), base_url="http://127.0.0.1") as client:
        yield client


async def test_every_kind_of_deed_is_told_in_words_and_escaped(pages):
    page = await pages.get("/audit")
    assert page.status_code == 200
    for words in ("called", "tried from its page", "agreed to a removal", "sign-in at the pages", "nobody known"):
        assert words in page.text
    assert "&lt;b&gt;forecast&lt;/b&gt;" in page.text
    assert "<b>forecast" not in page.text
    assert "1.2 s" in page.text
    assert 'href="/servers/time"' in page.text


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"server": "time"}, [5, 3]),
        ({"who": "ben"}, [4]),
        ({"result": "refused"}, [3, 1]),
        ({"kind": "prune"}, [2]),
        ({"kind": "call", "result": "ok"}, [5]),
        ({"before": 3}, [2, 1]),
    ],
    ids=["all", "server", "who", "result", "kind", "two", "before"],
)
async def test_lines_are_asked_for_by_what_they_tell(pages, asked, numbers):
    found = (await pages.get("/api/audit", params=asked)).json()
    assert [line["number"] for line in found["lines"]] == numbers
    page = (await pages.get("/audit", params=asked)).text
    assert [number for number in range(9, 0, -1) if f'id="line-{number}"' in page] == numbers


async def test_a_form_with_empty_fields_asks_for_everything_and_nonsense_for_no_less(pages):
    page = await pages.get("/audit?kind=&result=nonsense&server=&who=")
    assert page.text.count('id="line-') == 5
    assert (await pages.get("/api/audit?kind=nonsense")).status_code == 400


async def test_pages_follow_each_other_and_keep_what_was_asked_for(pages, desk):
    desk.kept = kept([CALL] * 120)
    first = await pages.get("/audit?server=time")
    assert first.text.count('id="line-') == 50
    assert 'href="/audit?server=time&amp;before=71"' in first.text
    last = await pages.get("/audit?server=time&before=21")
    assert last.text.count('id="line-') == 20
    assert ">Older<" not in last.text
    assert 'href="/audit?server=time"' in last.text


async def test_whoever_may_not_do_everything_sees_their_own_lines_alone(pages, desk):
    desk.who_reads = AuditReader(sees_all=False, name="anna")
    found = (await pages.get("/api/audit?who=ben")).json()
    assert {line["who"] for line in found["lines"]} == {"anna"}
    assert not found["sees_all"]
    assert "done in your name" in (await pages.get("/audit")).text


async def test_whoever_is_not_known_sees_nothing(pages, desk):
    desk.who_reads = None
    assert (await pages.get("/audit")).status_code == 403
    refused = await pages.get("/api/audit")
    assert (refused.status_code, refused.json()["code"]) == (403, "audit-not-yours")


async def test_an_empty_audit_says_what_will_appear(pages, desk):
    desk.kept = []
    assert "Nothing was done yet" in (await pages.get("/audit")).text
    assert "Nothing fits" in (await pages.get("/audit?who=nobody")).text


async def test_where_nothing_is_written_down_the_page_says_so(make_application, view):
    async with AsyncTestClient(make_application(view, audit=None), base_url="http://127.0.0.1") as client:
        assert (await client.get("/audit")).status_code == 503
