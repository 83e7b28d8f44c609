"""The package registries: real ones for what exists, a local one for every way in which a registry can fail."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.types import PackageReference, Registry
from reconciler.errors import SourceError, Unavailable
from reconciler.sources.packages import PackageCatalog
from reconciler.sources.packages.npm_settings import NpmSettings, read_npm_settings
from reconciler.sources.packages.uv_settings import read_indexes
from tests.sources.local_registry import SIMPLE_JSON, LocalRegistry, local_registry

PACKUMENT = {
    "name": "tool",
    "dist-tags": {"latest": "1.2.0"},
    "versions": {
        "1.0.0": {"version": "1.0.0", "bin": {"tool": "cli.js", "setup": "setup.js"}},
        "1.2.0": {"version": "1.2.0", "bin": "cli.js"},
        "2.0.0": {"version": "2.0.0"},
        "3.0.0": {"version": "3.0.0", "bin": {"setup": "setup.js", "serve": "serve.js"}},
        "3.1.0": {"version": "3.1.0", "bin": {"one": "cli.js", "two": "cli.js"}},
        "3.2.0": {"version": "3.2.0", "directories": {"bin": "bin"}},
    },
}
PROJECT = {
    "meta": {"api-version": "1.1"},
    "name": "tool",
    "versions": ["1.0.0", "1.1.0"],
    "files": [
        {"filename": "tool-1.0.0-py3-none-any.whl", "url": "tool-1.0.0-py3-none-any.whl", "hashes": {}},
        {"filename": "tool-1.1.0.tar.gz", "url": "x.tar.gz", "hashes": {}, "yanked": "broken"},
    ],
}
SIMPLE_HTML = (
    '<html><body><a href="tool-1.0.0-py3-none-any.whl">tool-1.0.0-py3-none-any.whl</a>'
    '<a href="tool-1.1.0.tar.gz" data-yanked="broken">tool-1.1.0.tar.gz</a></body></html>'
)


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as local:
        yield local


@pytest.fixture
def catalog(registry: LocalRegistry, clients: dict[str, str]) -> PackageCatalog:
    """A catalog that knows that its clients are configured for the local registry."""
    return PackageCatalog(clients, npm=NpmSettings(registry=registry.url), indexes=(f"{registry.url}/simple",))


@pytest.fixture
def clients(registry: LocalRegistry, tmp_path: Path) -> dict[str, str]:
    """The environment of clients that know the local registry alone, with a home and a cache of their own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "npm_config_registry": registry.url,
        "UV_DEFAULT_INDEX": f"{registry.url}/simple",
    }


def npm(version: str = "", name: str = "tool") -> PackageReference:
    return PackageReference(registry=Registry.NPM, name=name, version=version)


def pypi(version: str = "", name: str = "tool") -> PackageReference:
    return PackageReference(registry=Registry.PYPI, name=name, version=version)


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm tells its settings and is not here")


@pytest.mark.parametrize(
    ("reference", "entrypoint"),
    [
        (npm("1.0.0"), ""),
        (npm("1.0.0"), "setup"),
        (npm("1.2.0"), "tool"),
        (npm(), ""),
        (npm("3.1.0"), ""),
        (npm("3.2.0"), ""),
    ],
    ids=["version", "entrypoint", "bare bin", "newest", "two names of one file", "folder of executables"],
)
async def test_an_npm_package_that_can_start_passes(
    catalog: PackageCatalog, registry: LocalRegistry, reference: PackageReference, entrypoint: str
) -> None:
    registry.put("/tool", PACKUMENT)
    async with catalog:
        await catalog.check(reference, entrypoint=entrypoint)
    assert {call.headers.get("authorization") for call in registry.calls} == {None}


@pytest.mark.parametrize(
    ("reference", "entrypoint", "code", "words"),
    [
        (npm("1.0.0", "absent"), "", "package-not-found", "absent"),
        (npm("1.0.1"), "", "version-not-found", "1.0.0"),
        (npm("2.0.0"), "", "no-executable", "library"),
        (npm("1.0.0"), "remove", "no-executable", "setup, tool"),
        (npm("3.0.0"), "", "no-executable", "serve, setup"),
    ],
    ids=["package", "version", "executable", "entrypoint", "several"],
)
async def test_an_npm_package_that_cannot_start_is_refused_with_its_cause(
    catalog: PackageCatalog,
    registry: LocalRegistry,
    reference: PackageReference,
    entrypoint: str,
    code: str,
    words: str,
) -> None:
    registry.put("/tool", PACKUMENT)
    async with catalog:
        with pytest.raises(SourceError) as refusal:
            await catalog.check(reference, entrypoint=entrypoint)
    assert refusal.value.problem.code == code
    assert words in str(refusal.value)


async def test_a_scoped_package_is_asked_for_by_its_whole_name(
    catalog: PackageCatalog, registry: LocalRegistry
) -> None:
    registry.put("/@acme%2Ftool", PACKUMENT)
    async with catalog:
        await catalog.check(npm("1.0.0", "@acme/tool"))


@pytest.mark.parametrize(
    "version", ["1.0.0", "1.0", "", "1.1.0"], ids=["exact", "shorter", "newest", "yanked but pinned"]
)
@pytest.mark.parametrize("form", ["json", "old json", "html"])
async def test_a_pypi_package_that_exists_passes(
    catalog: PackageCatalog, registry: LocalRegistry, version: str, form: str
) -> None:
    old = {"files": PROJECT["files"]}
    forms = {"json": (PROJECT, SIMPLE_JSON), "old json": (old, SIMPLE_JSON), "html": (SIMPLE_HTML, "text/html")}
    body, media_type = forms[form]
    registry.put("/simple/tool/", body, media_type=media_type)
    async with catalog:
        await catalog.check(pypi(version))
        await catalog.check(pypi(version, "Tool"))
    assert registry.paths[0] == "/simple/tool/"


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        (pypi("1.0.0", "absent"), "package-not-found"),
        (pypi("3.0"), "version-not-found"),
    ],
    ids=["package", "version"],
)
async def test_a_pypi_package_that_does_not_exist_is_refused(
    catalog: PackageCatalog, registry: LocalRegistry, reference: PackageReference, code: str
) -> None:
    registry.put("/simple/tool/", PROJECT, media_type=SIMPLE_JSON)
    async with catalog:
        with pytest.raises(SourceError) as refusal:
            await catalog.check(reference)
    assert refusal.value.problem.code == code


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_registry_that_does_not_answer_is_never_taken_for_not_found(
    catalog: PackageCatalog, registry: LocalRegistry, status: int
) -> None:
    registry.put("/simple/tool/", "no", status=status)
    async with catalog:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await catalog.check(pypi("1.0.0"))


async def test_a_registry_that_is_down_is_unavailable(clients: dict[str, str]) -> None:
    async with PackageCatalog(clients | {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}) as catalog:
        with pytest.raises(Unavailable, match="does not answer"):
            await catalog.check(pypi("1.0.0"))


async def test_a_page_that_is_no_index_is_unavailable(catalog: PackageCatalog, registry: LocalRegistry) -> None:
    registry.put("/simple/tool/", "{", media_type=SIMPLE_JSON)
    async with catalog:
        with pytest.raises(Unavailable, match="no index"):
            await catalog.check(pypi("1.0.0"))


async def test_credentials_of_an_index_never_reach_an_error(clients: dict[str, str]) -> None:
    index = "http://user:canary-password@127.0.0.1:9/simple"
    async with PackageCatalog(clients | {"UV_DEFAULT_INDEX": index}) as catalog:
        with pytest.raises(Unavailable) as refusal:
            await catalog.check(pypi("1.0.0"))
    assert "canary-password" not in str(refusal.value)


async def test_extra_indexes_of_uv_are_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"PATH": "/usr/bin", "UV_DEFAULT_INDEX": "http://main/simple", "UV_INDEX": "http://extra/simple"}
    assert await read_indexes(environment) == ("http://extra/simple", "http://main/simple")


@needs_npm
async def test_tokens_and_scopes_of_npm_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "npmrc"
    lines = ["@acme:registry=http://127.0.0.1:9/private/", "//127.0.0.1:9/private/:_authToken=${TOKEN}"]
    file.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("NPM_CONFIG_USERCONFIG", str(file))
    monkeypatch.setenv("TOKEN", "canary-token")
    settings = await read_npm_settings(dict(os.environ))
    assert settings is not None
    assert settings.registry_of("@acme/tool") == "http://127.0.0.1:9/private"
    assert settings.registry_of("tool") != "http://127.0.0.1:9/private"
    assert settings.authorization("http://127.0.0.1:9/private") == {"Authorization": "Bearer canary-token"}
    assert settings.authorization("http://127.0.0.1:9/privateer") == {}
    assert "canary-token" not in repr(settings)


async def test_without_npm_nothing_is_known_about_npm_packages(tmp_path: Path) -> None:
    assert await read_npm_settings({"PATH": str(tmp_path)}) is None


def test_the_longest_fitting_token_wins() -> None:
    settings = NpmSettings(registry="http://r", tokens={"//r": "Bearer short", "//r/team": "Basic long"})
    assert settings.authorization("http://r/team/x") == {"Authorization": "Basic long"}


@pytest.mark.registry
async def test_the_real_registries_know_the_reference_servers(tmp_path: Path) -> None:
    async with PackageCatalog(dict(os.environ) | {"XDG_CACHE_HOME": str(tmp_path)}) as catalog:
        time = await catalog.check(pypi("2026.10.19", "mcp-server-time"))
        memory = await catalog.check(npm("2026.8.31", "@modelcontextprotocol/server-memory"))
        with pytest.raises(SourceError):
            await catalog.check(pypi("1.0", "catwalk-live-there-is-no-such-package"))
    assert time is not None
    assert time.executables == {"mcp-server-time": "mcp_server_time:main"}
    assert time.registry_name == "io.github.modelcontextprotocol/server-time"
    assert all(digest.startswith("sha256:") for digest in time.files.values())
    if memory is not None:  # There is an npm that says where its registry is.
        assert memory.executables is not None
        assert all(digest.startswith("sha512-") for digest in memory.files.values())
