"""The pages as HTML: what they say, that they are accessible, and that nothing on them is inline or foreign."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.testing import AsyncTestClient

from reconciler.core.types import ServerState
from tests.web.conftest import OLD_COMMIT

PAGES = (
    "/",
    "/?state=failed&name=nothing",
    "/servers/weather",
    "/servers/github",
    "/revisions/a1b2c3d",
    "/revisions/feedc0f",
    "/servers/nobody",
    "/audit",
    "/audit?who=nobody",
)
VOID = frozenset({"meta", "link", "img", "br", "wbr", "input", "hr", "path", "circle", "rect"})


class Outline(HTMLParser):
    """Reads a page strictly enough to notice what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def outline(html: str) -> Outline:
    reader = Outline()
    reader.feed(html)
    return reader


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_well_formed_and_hold_nothing_inline_or_foreign(client, path):
    page = outline((await client.get(path)).text)
    assert (page.faults, page.open) == ([], [])
    for tag, attributes in page.elements:
        assert tag != "style"
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        if tag == "script":
            assert attributes["src"].startswith("/assets/")
        for name in ("src", "href"):
            leads_away = tag == "a" and attributes.get("rel") == "noreferrer"
            assert leads_away or (attributes.get(name) or "/")[0] in "/#"


@pytest.mark.parametrize("path", PAGES)
async def test_pages_forbid_everything_but_their_own_files(client, path):
    policy = (await client.get(path)).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", PAGES)
async def test_tables_name_their_headers_and_ids_are_unique(client, path):
    page = outline((await client.get(path)).text)
    headers = [attributes for tag, attributes in page.elements if tag == "th"]
    assert all(attributes.get("scope") in {"col", "row"} for attributes in headers)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [tag for tag, _ in page.elements].count("h1") == 1


@pytest.mark.parametrize("state", list(ServerState))
async def test_every_state_is_told_in_words_and_by_a_shape(client, state):
    html = (await client.get("/")).text
    badge = html.split(f"</svg>\n{state.value}</span>")
    assert len(badge) >= 2, "the word stands beside its shape"


async def test_the_dashboard_tells_the_refused_revision_with_file_line_and_column(client):
    html = (await client.get("/")).text
    assert "servers/catwalk.yaml:12:5" in html
    assert "unknown key `pakage`" in html
    assert "did you mean `package`?" in html


async def test_text_from_outside_is_escaped(client):
    assert "Add &lt;b&gt;a server&lt;/b&gt; &amp; more" in (await client.get("/revisions/feedc0f")).text
    assert "<script>alert" not in (await client.get("/servers/weather")).text


async def test_a_server_page_gives_the_client_configuration(client):
    html = (await client.get("/servers/time")).text
    assert "&#34;mcpServers&#34;: {" in html
    assert "http://127.0.0.1:8080" in html


async def test_a_server_page_stands_when_its_log_cannot_be_read(client, view):
    view.logs_down = True
    answer = await client.get("/servers/time")
    assert answer.status_code == 200
    assert "the log service does not answer" in answer.text


async def test_a_revision_page_tells_names_of_secrets_and_reasons(client):
    html = (await client.get("/revisions/a1b2c3d")).text
    assert "set the secrets of acme-memory: DEMO_TOKEN" in html
    assert "no machine exists" in html
    assert "ams has no room" in html
    assert "when machine time-1-0a1b2c3d is healthy" in html
    assert "catwalk apply --confirm-prune 7e7e" in html


@pytest.mark.parametrize("path", ["/servers/nobody", "/revisions/0123456", "/revisions/main", "/no/such/page"])
async def test_unknown_things_get_a_page(client, path):
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "To the fleet" in answer.text


async def test_unknown_addresses_answer_programs_with_json(client):
    answer = await client.get("/no/such/page", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-page")


async def test_an_empty_fleet_says_what_to_do(client, view):
    view.passes_done, view.verdicts = (), ()
    html = (await client.get("/")).text
    assert "No servers are declared" in html
    assert "The first pass is still running" in html


async def test_the_relay_of_the_gateway_keeps_its_address(client):
    assert (await client.get("/servers/time/mcp")).json() == {"relayed": "time"}


async def test_assets_may_be_kept_for_good_and_name_their_version(client):
    page = outline((await client.get("/")).text)
    sheet = next(attributes["href"] for tag, attributes in page.elements if attributes.get("rel") == "stylesheet")
    answer = await client.get(sheet)
    assert "?v=" in sheet
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("name", ["secret.txt", "..%2f__init__.py", "%2e%2e"])
async def test_no_other_file_can_be_had(client, name):
    assert (await client.get(f"/assets/{name}")).status_code == 404


@pytest.mark.parametrize(("path", "status"), [("/", 401), ("/api/fleet", 401), ("/assets/catwalk.css", 200)])
async def test_guards_stand_before_pages_and_api(view, make_application, path, status):
    def refuse(_connection: ASGIConnection, _handler: BaseRouteHandler) -> None:
        raise NotAuthorizedException

    async with AsyncTestClient(make_application(view, guards=[refuse])) as client:
        assert (await client.get(path)).status_code == status


async def test_a_server_page_tells_what_it_cost_what_sleeping_saved_and_its_wakes(client) -> None:
    page = (await client.get("/servers/time")).text
    assert "saved $0.49" in page
    assert "4 times, the last took 2 s" in page


async def test_a_revision_page_links_to_the_commit_at_its_host(client):
    html = (await client.get("/revisions/a1b2c3d")).text
    assert f'href="https://github.com/acme/fleet/commit/{OLD_COMMIT}" rel="noreferrer"' in html


def shown(html: str) -> list[str]:
    """The servers of the table, in its order."""
    return re.findall(r'<tr role="row" id="server-([a-z-]+)">', html)


async def test_trouble_comes_first_in_the_table(client):
    assert shown((await client.get("/")).text)[:3] == ["weather", "postgres", "github"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("state=idle", ["time"]),
        ("owner=Ada+%26+team", ["weather"]),
        ("label=env%3Dprod", ["weather", "time"]),
        ("label=env", ["weather", "notes", "time"]),
        ("label=en", []),
        ("name=POST", ["postgres"]),
        ("name=pypi", ["time"]),
        ("name=&state=&owner=&label=env%3Dprod", ["weather", "time"]),
        ("label=env%3Dprod&state=idle", ["time"]),
        ("state=nonsense", []),
    ],
)
async def test_the_table_is_filtered_by_a_plain_form(client, asked, expected):
    html = (await client.get(f"/?{asked}")).text
    assert shown(html) == expected
    assert {server["name"] for server in (await client.get(f"/api/fleet?{asked}")).json()["servers"]} == set(expected)
    assert ("No server fits" in html) is (not expected)


async def test_owner_and_labels_stand_beside_a_server_and_lead_to_its_likes(client):
    for path in ("/", "/servers/weather"):
        html = (await client.get(path)).text
        assert 'href="/?owner=Ada+%26+team"' in html or 'href="/?owner=Ada%20%26%20team"' in html
        assert ">env=prod</a>" in html
    assert "&lt;i&gt;Tells&lt;/i&gt;" in (await client.get("/servers/weather")).text
    server = (await client.get("/api/servers/weather")).json()["server"]
    assert (server["owner"], server["labels"]) == ("Ada & team", {"env": "prod", "team": "sky"})


async def test_a_large_fleet_comes_in_pages_that_keep_the_filter(client, view):
    names = [f"time-{first}{second}" for first in "abcde" for second in "abcdefghijklmnopqrstuvwx"]
    view.verdicts = tuple(replace(view.verdicts[1], server=name) for name in names)
    first = (await client.get("/?state=idle")).text
    assert len(shown(first)) == 40
    assert "1 to 40 of 120" in first
    assert 'href="/?state=idle&amp;page=2" rel="next"' in first
    last = (await client.get("/?state=idle&page=99")).text
    assert len(shown(last)) == 40
    assert 'rel="prev"' in last
    assert 'rel="next"' not in last
