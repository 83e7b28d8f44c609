"""Whether the dependencies of a package can be had, by uv against an index of our own and against the real one."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Registry
from reconciler.errors import SourceError, Unavailable
from reconciler.sources.packages import PackageCatalog
from reconciler.sources.packages.resolution import resolution_of
from tests.sources.local_registry import SIMPLE_JSON, LocalRegistry, local_registry, simple_file, wheel


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as local:
        yield local


@pytest.fixture
def catalog(registry: LocalRegistry, tmp_path: Path) -> PackageCatalog:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "UV_DEFAULT_INDEX": f"{registry.url}/simple",
        "UV_HTTP_RETRIES": "0",
    }
    return PackageCatalog(environment, indexes=(f"{registry.url}/simple",))


def put(registry: LocalRegistry, name: str, *requires: str) -> None:
    content = wheel(name, "1.0", requires=requires)
    file = f"{name}-1.0-py3-none-any.whl"
    page = {
        "meta": {"api-version": "1.1"},
        "name": name,
        "versions": ["1.0"],
        "files": [simple_file(file, content, size=len(content), **{"upload-time": "2025-01-01T00:00:00Z"})],
    }
    registry.put(f"/simple/{name}/", page, media_type=SIMPLE_JSON)
    registry.put(f"/simple/{name}/{file}", content, media_type="application/zip")


def release(name: str = "tool", *, registry: Registry = Registry.PYPI) -> Release:
    return Release(package=PackageReference(registry=registry, name=name, version="1.0"), runtime=">=3.10")


async def test_dependencies_that_exist_are_no_fault(registry: LocalRegistry, catalog: PackageCatalog) -> None:
    put(registry, "tool", "part>=1.0")
    put(registry, "part")
    async with catalog:
        await catalog.resolve(release())
        asked = len(registry.calls)
        await catalog.resolve(release())
    assert len(registry.calls) == asked


async def test_a_dependency_that_is_gone_is_named(registry: LocalRegistry, catalog: PackageCatalog) -> None:
    put(registry, "tool", "part==7.2.0")
    put(registry, "part")
    async with catalog:
        with pytest.raises(SourceError, match=r"part==7\.2\.0") as refusal:
            await catalog.resolve(release())
    assert refusal.value.problem.code == "cannot-be-resolved"


async def test_an_index_that_is_down_proves_nothing(registry: LocalRegistry, catalog: PackageCatalog) -> None:
    put(registry, "tool", "part")
    registry.put("/simple/part/", "down", status=503)
    async with catalog:
        with pytest.raises(Unavailable):
            await catalog.resolve(release())


async def test_npm_packages_are_left_to_npm(registry: LocalRegistry, catalog: PackageCatalog) -> None:
    async with catalog:
        await catalog.resolve(release(registry=Registry.NPM))
    assert registry.calls == []


@pytest.mark.parametrize(
    ("wanted", "published", "as_of"),
    [
        ("", datetime(2025, 4, 25, 8, tzinfo=UTC), datetime(2025, 4, 26, 8, tzinfo=UTC)),
        ("", None, None),
        ("latest", datetime(2025, 4, 25, tzinfo=UTC), None),
        ("2026-01-31", datetime(2025, 4, 25, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)),
    ],
    ids=["a day after publication", "unknown", "latest", "a date"],
)
def test_as_of_when_dependencies_are_resolved(wanted: str, published: datetime | None, as_of: datetime | None) -> None:
    facts = Release(package=release().package, published_at=published)
    assert resolution_of(facts, wanted).as_of == as_of


@pytest.mark.registry
async def test_the_real_index_knows_that_a_dependency_is_gone(tmp_path: Path) -> None:
    async with PackageCatalog(dict(os.environ) | {"XDG_CACHE_HOME": str(tmp_path)}) as catalog:
        found = await catalog.release(PackageReference(registry=Registry.PYPI, name="postgres-mcp", version="0.3.0"))
        assert found is not None
        with pytest.raises(SourceError, match="pglast"):
            await catalog.resolve(found)
