"""What the MCP registry says that a server needs: used where it answers, not missed where it does not."""

import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from reconciler.cli import validation_registry
from reconciler.cli.validation_registry import ListedVariables
from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Registry
from reconciler.sources.packages import PackageCatalog
from reconciler.sources.packages.cache import AnswerCache
from reconciler.sources.packages.npm_settings import NpmSettings
from reconciler.sources.packages.session import Session
from tests.sources.local_registry import LocalRegistry, local_registry

NAME = "io.github.acme/weather"
PATH = "/v0.1/servers/io.github.acme%2Fweather/versions/latest"
RELEASE = Release(
    package=PackageReference(registry=Registry.NPM, name="@acme/weather", version="1.0.0"), registry_name=NAME
)
VARIABLES = [
    {"name": "TOKEN", "isRequired": True, "isSecret": True},
    {"name": "UNITS", "isRequired": True, "default": "metric"},
    {"name": "HOST", "isRequired": True, "value": "weather.example"},
    {"name": "EXTRA"},
]


def entry(identifier: str = "@acme/weather") -> dict[str, object]:
    package = {
        "registryType": "npm",
        "identifier": identifier,
        "version": "1.0.0",
        "transport": {"type": "stdio"},
        "environmentVariables": VARIABLES,
    }
    return {"server": {"name": NAME, "description": "Weather.", "version": "1.0.0", "packages": [package]}}


@dataclass
class World:
    registry: LocalRegistry
    listed: ListedVariables


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as local:
        yield local


@pytest.fixture
async def world(registry: LocalRegistry, tmp_path: Path) -> AsyncIterator[World]:
    def now() -> datetime:
        return datetime(2026, 11, 24, tzinfo=UTC)

    async def name_of(release: Release) -> str:
        return release.registry_name

    async with httpx.AsyncClient() as client:
        session = Session(client, AnswerCache(tmp_path, now), now)
        yield World(registry, ListedVariables(session, registry.url, name_of))


async def test_required_variables_without_a_value_are_needed(world: World) -> None:
    world.registry.put(PATH, entry())
    assert await world.listed(RELEASE) == ("TOKEN",)
    assert await world.listed(RELEASE) == ("TOKEN",)
    assert world.registry.paths == [PATH]


async def test_another_package_of_the_entry_says_nothing_about_this_one(world: World) -> None:
    world.registry.put(PATH, entry("@acme/other"))
    assert await world.listed(RELEASE) == ()


@pytest.mark.parametrize("body", [{"server": {"name": "x"}}, [], "text"], ids=["malformed", "list", "text"])
async def test_an_entry_that_cannot_be_read_is_no_fault_of_the_manifest(world: World, body: object) -> None:
    world.registry.put(PATH, body)
    assert await world.listed(RELEASE) == ()


async def test_a_package_that_is_not_listed_needs_nothing_known(world: World) -> None:
    assert await world.listed(RELEASE) == ()
    assert await world.listed(Release(package=RELEASE.package)) == ()
    assert world.registry.paths == [PATH]


async def test_a_registry_that_is_down_is_asked_once_and_not_missed(world: World) -> None:
    world.registry.put(PATH, "down", status=503)
    assert await world.listed(RELEASE) == ()
    asked = len(world.registry.calls)
    assert await world.listed(RELEASE) == ()
    assert len(world.registry.calls) == asked


async def test_a_registry_that_is_slow_costs_its_budget_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_registry, "BUDGET_S", 0.05)
    world.registry.put(PATH, entry(), hold=threading.Event())
    assert await world.listed(RELEASE) == ()
    assert await world.listed(RELEASE) == ()
    assert len(world.registry.calls) <= 1


async def test_the_name_stands_in_the_full_description_of_a_version(registry: LocalRegistry, tmp_path: Path) -> None:
    registry.put("/@acme%2Fweather/1.0.0", {"mcpName": NAME})
    async with PackageCatalog({"HOME": str(tmp_path)}, npm=NpmSettings(registry=registry.url)) as catalog:
        unnamed = Release(package=RELEASE.package)
        assert await catalog.registry_name(unnamed) == NAME
        assert await catalog.registry_name(unnamed) == NAME
        assert await catalog.registry_name(RELEASE) == NAME
    assert registry.paths == ["/@acme%2Fweather/1.0.0"]
