"""Finding out which era a server speaks, with the traps that servers set."""

import sys

import httpx
import pytest

from tests.adapter.support import FAULTY, MODERN_RAW, LegacyClient, Start, modern_body, modern_headers, text_of


@pytest.mark.parametrize("way", ["exit", "silent", "old", "-32601", "-32602", "-32600", "-32000"])
async def test_a_legacy_server_is_recognised_whatever_it_says_to_the_probe(
    start: Start, http: httpx.AsyncClient, way: str
):
    adapter = start(sys.executable, FAULTY, "--on-probe", way, options=("--exec",))
    assert adapter.wait_for("ready")["detail"] is None
    client = await LegacyClient(adapter, http).initialize()
    assert text_of((await client.call(1, "echo", text="hi")).json()) == "hi"
    assert client.welcome["result"]["serverInfo"]["name"] == "faulty"
    assert bool(adapter.events("server-ended-on-probe")) == (way == "exit")


@pytest.mark.parametrize("arguments", [(), ("--slow",)], ids=["at once", "after the probe was given up"])
async def test_a_modern_server_is_recognised(start: Start, http: httpx.AsyncClient, arguments: tuple[str, ...]):
    adapter = start(sys.executable, MODERN_RAW, *arguments, options=("--exec",))
    adapter.wait_for("ready")
    body = modern_body("server/discover")
    discovered = (await http.post(adapter.url, json=body, headers=modern_headers(body))).json()["result"]
    assert (discovered["ttlMs"], discovered["cacheScope"]) == (60000, "public")
    assert discovered["capabilities"]["extensions"] == {"io.modelcontextprotocol/tasks": {}}


async def test_a_restarted_server_is_not_probed_again(start: Start, http: httpx.AsyncClient):
    adapter = start(sys.executable, FAULTY, "--on-probe", "exit", options=("--exec",))
    adapter.wait_for("ready")
    client = await LegacyClient(adapter, http).initialize()
    assert "error" in (await client.call(1, "crash")).json()
    assert text_of((await client.call(2, "echo", text="hi")).json()) == "hi"
    assert len(adapter.events("server-ended-on-probe")) == 1
