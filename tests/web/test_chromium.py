"""The pages in a real browser: no complaint, no foreign request, room on a phone, and content that stays fresh."""

from dataclasses import replace

import anyio
import pytest

from reconciler.core.types import ServerState
from reconciler.loop.ports import LogLine
from reconciler.web.view import FleetEvent, FleetEventKind
from tests.web.conftest import NOW

PAGES = ("/", "/servers/weather", "/revisions/a1b2c3d")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_pages_load_without_complaint_and_ask_nobody_else(address, browser, width, dark):
    for path in PAGES:
        await browser.look(address + path, width=width, dark=dark)
        assert browser.complaints() == []
        assert all(url.startswith((address, "data:")) for url in browser.requested())
        assert await browser.evaluate("document.documentElement.scrollWidth") <= width


async def test_pages_are_complete_without_javascript(address, browser):
    await browser.look(address + "/", script=False)
    assert await browser.evaluate("document.querySelectorAll('tbody tr[id]').length") == 9
    assert not [url for url in browser.requested() if "/api/" in url]


async def test_the_keyboard_reaches_content_and_shows_where_it_is(address, browser):
    await browser.look(address + "/")
    await browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await browser.evaluate("document.activeElement.textContent") == "Skip to content"
    assert await browser.evaluate(outline) == "solid"


async def test_a_change_appears_without_loading_the_page_again(address, browser, view):
    await browser.look(address + "/")
    await browser.evaluate("window.untouched = true")
    with anyio.fail_after(10):
        await view.listening.wait()
    view.verdicts = tuple(replace(one, state=ServerState.READY, cause=None, detail="") for one in view.verdicts)
    await view.tell(FleetEvent(kind=FleetEventKind.SERVER_CHANGED, server="weather", state=ServerState.READY))
    shown = """new Promise((resolve) => {
      const main = document.getElementById("content");
      const ready = () => main.querySelectorAll("td .tone-good").length >= 9;
      if (ready()) { resolve(true); }
      new MutationObserver(() => { if (ready()) { resolve(true); } }).observe(main, { childList: true });
    })"""
    assert await browser.evaluate(shown) is True
    assert await browser.evaluate("window.untouched") is True
    assert browser.complaints() == []


async def test_a_line_appears_in_the_log_as_it_is_written(address, browser, view):
    await browser.look(address + "/servers/weather")
    await view.say(LogLine(at=NOW, machine_id="m", level="error", message="out of tea <b>now</b>"))
    shown = """new Promise((resolve) => {
      const list = document.querySelector("[data-tail] ol");
      const last = () => list.lastElementChild.querySelector(".message").textContent;
      const found = () => last().startsWith("out of tea");
      const note = () => document.querySelector("[data-tail-note]").textContent;
      const tell = () => resolve([last(), list.lastElementChild.className, note()]);
      if (found()) { tell(); }
      new MutationObserver(() => { if (found()) { tell(); } }).observe(list, { childList: true });
    })"""
    assert await browser.evaluate(shown) == ["out of tea <b>now</b>", "level-error", "live"]
    assert await browser.evaluate("document.querySelectorAll('[data-tail] li').length") == 17
    assert browser.complaints() == []
