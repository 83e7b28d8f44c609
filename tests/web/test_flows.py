"""What people do with the pages, in a real browser: find what fails, read why, try a tool, follow a commit.

Pictures of every page, on a phone and on a desk, in light and dark, are kept in the folder that SCREENSHOTS names.
"""

import os
from pathlib import Path

import pytest
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler

from tests.web.conftest import OLD_COMMIT, serving

PAGES = {
    "fleet": "/",
    "filtered": "/?label=env%3Dprod",
    "nothing": "/?state=failed&name=nobody",
    "server": "/servers/weather",
    "held": "/servers/github",
    "tools": "/servers/weather/tools",
    "revision": f"/revisions/{OLD_COMMIT}",
    "refused": "/revisions/feedc0f",
    "audit": "/audit",
    "missing": "/servers/nobody",
}
REACHABLE = """[...document.querySelectorAll("a[href], button, select, input, summary")]"""
TEXT = "document.querySelector({!r}).textContent.replace(/\\s+/g, ' ').trim()"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def test_a_failure_is_found_understood_and_followed_to_its_commit_and_back(address, browser):
    await browser.look(address + "/")
    await browser.follow("a.count[href='/?state=failed']")
    assert await browser.evaluate("[...document.querySelectorAll('tbody tr[id^=server]')].map((row) => row.id)") == [
        "server-weather"
    ]
    assert "crash-loop" in str(await browser.evaluate(TEXT.format("#server-weather .why")))
    await browser.follow("#open-weather")
    assert "Cannot find module" in str(await browser.evaluate(TEXT.format(".verdict")))
    assert "Cannot find module" in str(await browser.evaluate(TEXT.format("#log-lines")))
    await browser.follow(".facts-grid a[href^='/revisions/']")
    commit = "document.querySelector('a[rel=noreferrer]').href"
    assert await browser.evaluate(commit) == f"https://github.com/acme/fleet/commit/{OLD_COMMIT}"
    await browser.follow("#open-weather")
    await browser.follow(".crumbs a")
    assert await browser.evaluate("location.pathname + location.search") == "/"
    assert browser.complaints() == []


async def test_a_tool_is_tried_with_the_keyboard_alone(address, browser):
    await browser.look(address + "/servers/weather/tools")
    await browser.evaluate("document.querySelector('#arguments-1').focus()")
    await browser.call("Input.insertText", text=" ")
    await browser.press("Tab", code=9)
    assert await browser.evaluate("document.activeElement.textContent") == "Call forecast"
    browser.events.clear()
    await browser.press("Enter", code=13, text="\r")
    await browser.until("Page.loadEventFired")
    assert await browser.evaluate(TEXT.format(".tool .verdict")) == "It answered."
    assert "forecast of {'city': ''}" in str(await browser.evaluate(TEXT.format(".tool .verdict + pre")))
    assert browser.complaints() == []


async def test_the_filter_works_without_javascript_and_says_what_is_asked_for(address, browser):
    await browser.look(address + "/", script=False)
    await browser.look(address + "/?name=&state=&owner=&label=env%3Dprod", script=False)
    await browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert await browser.evaluate("document.querySelector('select[name=label]').value") == "env=prod"
    assert await browser.evaluate("document.querySelectorAll('tbody tr[id^=server]').length") == 2


async def test_every_link_and_field_is_reached_by_tab_in_the_order_of_the_page(address, browser):
    await browser.look(address + "/audit")
    wanted = int(str(await browser.evaluate(f"{REACHABLE}.length")))
    reached = list[object]()
    for _ in range(wanted):
        await browser.press("Tab", code=9)
        reached.append(await browser.evaluate(f"{REACHABLE}.indexOf(document.activeElement)"))
    assert reached == list(range(wanted))


async def test_whoever_is_not_signed_in_sees_how_to(view, browser):
    def guard(_connection: ASGIConnection, _handler: BaseRouteHandler) -> None:
        raise NotAuthorizedException("a token of this gateway is needed")

    async with serving(view, guards=[guard]) as address:
        await browser.look(address + "/")
        assert await browser.evaluate("document.querySelector('h1').textContent") == "Unauthorized"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_pictures_of_every_page_are_kept_and_nothing_hangs_over(address, browser, pictures, width, dark):
    for name, path in PAGES.items():
        await browser.look(address + path, width=width, dark=dark)
        file = pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png"
        await browser.picture(file)
        assert file.stat().st_size > 5_000
        assert await browser.evaluate("document.documentElement.scrollWidth") <= width, path
        assert [text for text in browser.complaints() if "404" not in text] == [], path
