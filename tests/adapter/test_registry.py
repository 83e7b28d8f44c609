"""Real packages from the registries, installed, run, called; and those that cannot be, each with its cause."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client

from tests.adapter.support import Adapter, Start

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]

TIME = "pypi:mcp-server-time@2026.10.19"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One package cache for all tests of the module."""
    return str(tmp_path_factory.mktemp("cache"))


async def first_tools(adapter: Adapter, mode: str = "legacy") -> set[str]:
    adapter.wait_for("ready", timeout_s=240)
    with anyio.fail_after(30):
        async with Client(adapter.url, mode=mode) as client:
            return {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize(
    ("package", "arguments", "tool"),
    [
        pytest.param(TIME, ["--local-timezone=Europe/Berlin"], "get_current_time", id="time"),
        pytest.param("npm:@modelcontextprotocol/server-memory@2026.8.31", [], "create_entities", id="memory"),
        pytest.param("npm:@modelcontextprotocol/server-everything@2026.8.31", [], "echo", id="everything"),
        pytest.param("pypi:mcp-server-sqlite@2025.4.25", [], "read_query", id="dependencies as of its publication"),
        pytest.param("npm:@modelcontextprotocol/server-memory", [], "create_entities", id="unpinned"),
    ],
)
async def test_a_real_server_is_installed_and_answers(
    start: Start, cache: str, tmp_path: Path, package: str, arguments: list[str], tool: str
):
    adapter = start(package, *arguments, options=("--cache-dir", cache, "--workdir", str(tmp_path / "home")))
    for mode in ("legacy", "2026-07-28"):
        assert tool in await first_tools(adapter, mode)
    assert adapter.stop() == 0


@pytest.mark.parametrize(
    ("package", "cause", "code", "shown"),
    [
        pytest.param("npm:@modelcontextprotocol/server-nonesuch@1.0.0", "package-not-found", 70, "nonesuch", id="npm"),
        pytest.param("pypi:mcp-server-nonesuch-zz@1.0.0", "package-not-found", 70, "nonesuch", id="pypi"),
        pytest.param("npm:@modelcontextprotocol/server-memory@9.9.9", "version-not-found", 71, "2026.8.31", id="npm 9"),
        pytest.param("pypi:mcp-server-time@2026.10.99", "version-not-found", 71, "2026.10.19", id="pypi 99"),
        pytest.param("npm:chalk@6.0.1", "no-executable", 72, "bin", id="a library"),
        pytest.param("pypi:postgres-mcp@0.3.0", "install-failed", 74, "pglast", id="a dependency is gone"),
        pytest.param(
            "npm:@modelcontextprotocol/server-brave-search@0.6.2",
            "missing-variable",
            75,
            "BRAVE_API_KEY",
            id="a variable is missing",
        ),
    ],
)
def test_a_server_that_cannot_run_says_why(start: Start, cache: str, package: str, cause: str, code: int, shown: str):
    adapter = start(package, options=("--cache-dir", cache, "--linger", "1"))
    body = adapter.wait_for("failed", timeout_s=240)
    assert (body["cause"], shown in body["detail"]) == (cause, True), body
    assert adapter.ends() == code


async def test_a_second_start_needs_no_network_and_no_installer(start: Start, cache: str):
    adapter = start(TIME, options=("--cache-dir", cache))
    await first_tools(adapter)
    adapter.stop()
    nowhere = dict.fromkeys(
        ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "npm_config_registry", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
    )
    again = start(TIME, options=("--cache-dir", cache), environment={**nowhere, "NO_PROXY": "127.0.0.1"})
    assert "get_current_time" in await first_tools(again)
    assert again.events("installer") == []


async def test_two_machines_install_a_package_once(start: Start, tmp_path: Path):
    adapters = [start(TIME, options=("--cache-dir", str(tmp_path / "cache"))) for _ in range(2)]
    for adapter in adapters:
        assert "get_current_time" in await first_tools(adapter)
    assert sorted(len(adapter.events("installing")) for adapter in adapters) == [0, 1]


@pytest.mark.parametrize("package", ["npm:@modelcontextprotocol/server-memory@2026.8.31", TIME], ids=["npm", "pypi"])
def test_an_unreachable_registry_is_told_from_a_missing_package(start: Start, tmp_path: Path, package: str):
    environment = {
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "npm_config_registry": "http://127.0.0.1:9/",
        "npm_config_fetch_retries": "0",
        "UV_HTTP_RETRIES": "0",
    }
    adapter = start(package, options=("--cache-dir", str(tmp_path), "--linger", "1"), environment=environment)
    assert adapter.wait_for("failed", timeout_s=120)["cause"] == "registry-unavailable"
    assert adapter.ends() == 82


async def test_node_comes_from_the_wheel_where_path_has_none(start: Start, cache: str, tmp_path: Path):
    """PATH keeps uv and the basic tools, but no Node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("uv", "sh", "env", "dirname"):
        found = [each for each in _on_path(name) if "shims" not in str(each)]
        (folder / name).symlink_to(found[0])
    adapter = start(
        "npm:@modelcontextprotocol/server-memory@2026.8.31",
        options=("--cache-dir", str(tmp_path / "cache")),
        environment={"PATH": str(folder)},
    )
    assert "create_entities" in await first_tools(adapter)
    assert "v24." in str(adapter.events("installing")[-1]["node"])


def _on_path(name: str) -> list[Path]:
    folders = [Path(each) for each in os.environ["PATH"].split(os.pathsep)]
    beside = Path(sys.executable).parent
    return [folder / name for folder in (beside, *folders) if (folder / name).exists()]
