"""What has to be translated between the eras, as the official TypeScript client and MCP Inspector see it.

The Python client has the same tests in `tests/adapter/test_cells.py`. Here the way is the whole one: client, gateway,
adapter, and a server of either era or of both, over stdio and over HTTP.
"""

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suite import node
from tests.conformance.ways import Way, way_to
from tests.npm import installed as npm_installed

NODE_FOLDER = Path(__file__).parent / "node"
INSPECTOR = NODE_FOLDER / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
WAYS = [way for way in Way if way not in {Way.DIRECT, Way.GATEWAY}]
ERAS = {"legacy": "2025-11-25", "modern": "2026-07-28"}

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]


@cache
def installed() -> None:
    """Have npm install what package-lock.json pins, once."""
    npm_installed(NODE_FOLDER)


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.value)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The server behind gateway and adapter."""
    installed()
    with way_to(request.param) as found:
        yield found


def run(*command: str) -> dict[str, Any]:
    finished = subprocess.run(
        [*node(), *command], cwd=NODE_FOLDER, check=False, capture_output=True, text=True, timeout=90
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"
    seen: dict[str, Any] = json.loads(finished.stdout)
    return seen


@pytest.mark.parametrize("era", ERAS)
def test_the_typescript_client_loses_nothing_in_either_era(url: str, era: str):
    seen = run("translations.mjs", url, era)
    assert (seen["era"], seen["version"]) == (era, ERAS[era])
    assert (seen["elicited"], seen["sampled"]) == ("Hello, Ada!", "The model said: Paris")
    assert (seen["rooted"], seen["several"]) == ("The client has 2 root(s).", "All inputs received.")
    assert sorted(seen["asked"]) == sorted(2 * ["What is your name?", "roots"] + ["sampling 100", "sampling 50"])
    assert seen["progress"] == [0, 50, 100]
    assert seen["lines"] == (["info", "warning"] if era == "modern" else ["info", "info", "info"])
    assert seen["notices"] == ["tools", "prompts", "test://watched-resource"]
    assert "givenUp" in seen
    assert seen["closed"] is True


@pytest.mark.parametrize("era", ERAS)
def test_inspector_lists_and_calls_in_either_era(url: str, era: str, tmp_path: Path):
    entry = {"type": "streamable-http", "url": url, "protocolEra": era}
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"server": entry}}), encoding="utf-8")
    inspector = [str(INSPECTOR), "--cli", "--config", str(config), "--server", "server", "--method"]
    tools = run(*inspector, "tools/list")["tools"]
    assert "test_echo" in {tool["name"] for tool in tools}
    called = run(*inspector, "tools/call", "--tool-name", "test_echo", "--tool-arg", "text=hi")
    assert called["content"] == [{"type": "text", "text": "hi"}]
    read = run(*inspector, "resources/read", "--uri", "test://static-text")
    assert read["contents"][0]["uri"] == "test://static-text"
