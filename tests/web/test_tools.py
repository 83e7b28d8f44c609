"""The page of a server's tools: what they take, a form that tries them, and forms of other sites refused."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from litestar.testing import AsyncTestClient

from reconciler.core.digests import JSON
from reconciler.errors import CatwalkError, Refused, Unavailable
from reconciler.web.tools import LARGEST_ARGUMENTS, ToolAnswer, ToolFacts, example_arguments

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["c", "f"]},
        "days": {"type": "integer", "default": 3},
        "hourly": {"type": "boolean"},
    },
    "required": ["city", "unit", "days"],
}
SAME_SITE = {"Origin": "http://127.0.0.1"}


@dataclass
class SampleDesk:
    """Answers what a test says, and remembers who asked for what."""

    fault: CatwalkError | None = None
    asked: list[tuple[str, Mapping[str, JSON], str]] = field(default_factory=list)

    async def tools(self, server: str, authorization: str) -> Sequence[ToolFacts]:  # noqa: ARG002 - The desk's shape.
        if self.fault is not None:
            raise self.fault
        return (ToolFacts(name="forecast", title="Weather", description="Tells <b>it</b>.", schema=SCHEMA),)

    async def call(
        self,
        server: str,  # noqa: ARG002 - The desk's shape.
        tool: str,
        arguments: Mapping[str, JSON],
        authorization: str,
    ) -> ToolAnswer:
        self.asked.append((tool, arguments, authorization))
        if tool != "forecast":
            raise Refused("tool-refused", f"there is no tool {tool}")
        return ToolAnswer(result={"content": [{"type": "text", "text": "rain & <i>wind</i>"}]}, is_error=False)


@pytest.fixture
def desk() -> SampleDesk:
    return SampleDesk()


@pytest.fixture
async def pages(make_application, view, desk) -> AsyncIterator[AsyncTestClient]:
    async with AsyncTestClient(make_application(view, tools=desk), base_url="http://127.0.0.1") as client:
        yield client


async def test_each_tool_is_shown_with_its_schema_and_arguments_to_begin_with(pages):
    page = await pages.get("/servers/weather/tools")
    assert page.status_code == 200
    assert "Tells &lt;b&gt;it&lt;/b&gt;." in page.text
    assert "&#34;unit&#34;: &#34;c&#34;" in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]


async def test_a_call_is_made_as_the_person_who_looks_and_its_answer_shown(pages, desk):
    form = {"tool": "forecast", "arguments": '{"city": "Oslo"}'}
    headers = SAME_SITE | {"Authorization": "Bearer mine"}
    page = await pages.post("/servers/weather/tools", data=form, headers=headers)
    assert desk.asked == [("forecast", {"city": "Oslo"}, "Bearer mine")]
    assert "It answered." in page.text
    assert "rain &amp; &lt;i&gt;wind&lt;/i&gt;" in page.text
    assert "&#34;Oslo&#34;" in page.text


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:9"}],
    ids=["no origin", "another site", "opaque", "another port"],
)
async def test_a_form_of_another_site_is_refused_and_calls_nothing(pages, desk, headers):
    form = {"tool": "forecast", "arguments": "{}"}
    answer = await pages.post("/servers/weather/tools", data=form, headers=headers)
    assert answer.status_code == 403
    assert desk.asked == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{", "no JSON"),
        ("[1]", "must be a JSON object"),
        (json.dumps({"a": "x" * LARGEST_ARGUMENTS}), "more than"),
        ("[" * 50_000, "no JSON"),
    ],
    ids=["broken", "a list", "large", "deep"],
)
async def test_arguments_that_are_none_are_explained_and_kept(pages, desk, arguments, words):
    form = {"tool": "forecast", "arguments": arguments}
    page = await pages.post("/servers/weather/tools", data=form, headers=SAME_SITE)
    assert page.status_code == 200
    assert words in page.text
    assert desk.asked == []


async def test_a_server_that_does_not_answer_is_said_to_and_the_page_stands(pages, desk):
    desk.fault = Unavailable("tool-no-answer", "weather gave no answer")
    page = await pages.get("/servers/weather/tools")
    assert (page.status_code, "weather gave no answer" in page.text) == (200, True)


async def test_a_server_that_nobody_knows_is_not_asked(pages, desk):
    assert (await pages.get("/servers/nobody/tools")).status_code == 404
    form = {"tool": "forecast", "arguments": "{}"}
    assert (await pages.post("/servers/nobody/tools", data=form, headers=SAME_SITE)).status_code == 404
    assert desk.asked == []


async def test_where_nobody_can_be_asked_the_page_says_so(client):
    assert "cannot be asked" in (await client.get("/servers/weather/tools")).text


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, {}),
        (SCHEMA, {"city": "", "unit": "c", "days": 3}),
        ({"properties": [], "required": {}}, {}),
        ({"properties": {"a": 1, "b": {"type": ["x"]}}, "required": ["a", "b", "c", 4]}, {"a": "", "b": ""}),
        ({"properties": {"a": {"type": "object"}, "b": {"enum": []}}, "required": ["a", "b"]}, {"a": {}, "b": ""}),
    ],
)
def test_arguments_to_begin_with_hold_what_is_required(schema, expected):
    assert json.loads(example_arguments(schema)) == expected
