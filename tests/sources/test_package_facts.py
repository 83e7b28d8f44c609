"""What is read about a package, what is remembered of it, and what becomes of answers that are late, cut or hostile."""

import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from reconciler.core.releases import Release
from reconciler.core.types import PackageReference, Registry
from reconciler.errors import Unavailable
from reconciler.sources.packages import PackageCatalog, fetch, session
from reconciler.sources.packages.cache import AnswerCache, cache_folder, fresh_for
from reconciler.sources.packages.npm import web_address
from reconciler.sources.packages.npm_settings import NpmSettings
from tests.sources.local_registry import SIMPLE_JSON, LocalRegistry, local_registry, simple_file, wheel

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm tells its settings and is not here")

VERSION = {
    "bin": {"tool-mcp": "cli.js"},
    "engines": {"node": ">=20"},
    "deprecated": "use other",
    "mcpName": "io.github.acme/tool",
    "repository": {"type": "git", "url": "git+https://github.com/acme/tool.git"},
    "dist": {"tarball": "http://x/tool-1.0.0.tgz", "integrity": "sha512-AAAA", "shasum": "00"},
}
FULL = {
    "dist-tags": {"latest": "1.1.0"},
    "time": {
        "created": "2025-01-02T00:00:00Z",
        "1.0.0": "2025-01-02T03:04:05.000Z",
        "modified": "2026-01-01T00:00:00Z",
    },
    "versions": {"1.0.0": VERSION, "1.1.0": VERSION},
}
SHORT = {key: value for key, value in FULL.items() if key != "time"} | {"modified": "2025-03-01T00:00:00Z"}


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as local:
        yield local


@pytest.fixture
def clients(registry: LocalRegistry, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "npm_config_registry": registry.url,
        "UV_DEFAULT_INDEX": f"{registry.url}/simple",
    }


def catalog_of(clients: dict[str, str]) -> PackageCatalog:
    """A catalog that knows the settings of its clients and need not ask them."""
    npm_settings = NpmSettings(registry=clients["npm_config_registry"])
    return PackageCatalog(clients, npm=npm_settings, indexes=(clients["UV_DEFAULT_INDEX"],))


async def facts_of(
    clients: dict[str, str], reference: PackageReference, *, complete: bool = False, known: bool = True
) -> Release:
    async with catalog_of(clients) if known else PackageCatalog(clients) as catalog:
        release = await catalog.release(reference, complete=complete)
    assert release is not None
    return release


def npm(name: str = "tool", version: str = "1.0.0") -> PackageReference:
    return PackageReference(registry=Registry.NPM, name=name, version=version)


def pypi(version: str = "1.0.0") -> PackageReference:
    return PackageReference(registry=Registry.PYPI, name="tool", version=version)


def put_project(registry: LocalRegistry, content: bytes, **facts: object) -> None:
    page = {
        "meta": {"api-version": "1.1"},
        "name": "tool",
        "versions": ["0.9", "1.0.0"],
        "files": [
            simple_file("tool-0.9.tar.gz", b"old", **{"upload-time": "2024-05-06T07:08:09Z"}),
            simple_file("tool-1.0.0-py3-none-any.whl", content, **facts),
        ],
    }
    registry.put("/simple/tool/", page, media_type=SIMPLE_JSON)
    registry.put("/simple/tool/tool-1.0.0-py3-none-any.whl", content, media_type="application/zip")


async def test_a_packument_tells_all_facts(registry: LocalRegistry, clients: dict[str, str]) -> None:
    registry.put("/tool", FULL)
    release = await facts_of(clients, npm())
    assert release.published_at == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert release.package_since == datetime(2025, 1, 2, tzinfo=UTC)
    assert (release.executables, release.runtime, release.deprecated) == ({"tool-mcp": "cli.js"}, ">=20", "use other")
    assert (release.files, release.newest) == ({"tool-1.0.0.tgz": "sha512-AAAA"}, "1.1.0")
    assert (release.registry_name, release.links.repository) == ("io.github.acme/tool", "https://github.com/acme/tool")


@pytest.mark.parametrize(("complete", "calls"), [(False, 1), (True, 1)], ids=["short form", "full form"])
async def test_the_full_form_is_asked_for_only_where_it_is_needed(
    registry: LocalRegistry, clients: dict[str, str], complete: bool, calls: int
) -> None:
    registry.put("/tool", SHORT)
    release = await facts_of(clients, npm(), complete=complete)
    assert release.package_since == datetime(2025, 3, 1, tzinfo=UTC)
    assert len(registry.calls) == calls
    assert ("install" in registry.calls[0].headers["accept"]) is not complete


async def test_a_package_that_may_be_new_is_asked_about_in_full(
    registry: LocalRegistry, clients: dict[str, str]
) -> None:
    registry.put("/tool", SHORT | {"modified": "2999-01-01T00:00:00Z"})
    await facts_of(clients, npm())
    assert [call.headers["accept"] for call in registry.calls][1:] == ["application/json"]


@pytest.mark.parametrize("padding", [0, 100_000], ids=["short wheel", "long wheel"])
async def test_the_end_of_a_wheel_tells_its_scripts(
    registry: LocalRegistry, clients: dict[str, str], padding: int
) -> None:
    content = wheel(
        "tool",
        "1.0.0",
        scripts="tool-mcp = tool:main",
        description="<!-- mcp-name: io.github.acme/tool -->",
        padding=padding,
    )
    put_project(registry, content, **{"upload-time": "2025-05-06T07:08:09Z", "requires-python": ">=3.12"})
    release = await facts_of(clients, pypi())
    assert release.executables == {"tool-mcp": "tool:main"}
    assert release.registry_name == "io.github.acme/tool"
    assert release.links.changelog == "https://example.org/tool/changes"
    assert release.published_at == datetime(2025, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert release.package_since == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (release.runtime, release.newest, list(release.files)) == (
        ">=3.12",
        "1.0.0",
        ["tool-1.0.0-py3-none-any.whl"],
    )


async def test_a_library_without_scripts_is_known_as_one(registry: LocalRegistry, clients: dict[str, str]) -> None:
    put_project(registry, wheel("tool", "1.0.0"))
    assert (await facts_of(clients, pypi())).executables == {}


async def test_an_index_without_ranges_sends_the_whole_wheel(registry: LocalRegistry, clients: dict[str, str]) -> None:
    put_project(registry, wheel("tool", "1.0.0", scripts="tool = tool:main", padding=100_000))
    registry.answers["/simple/tool/tool-1.0.0-py3-none-any.whl"].ranges = False
    assert (await facts_of(clients, pypi())).executables == {"tool": "tool:main"}


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all" * 100], ids=["empty", "short", "other"])
async def test_a_broken_wheel_leaves_its_scripts_unknown(
    registry: LocalRegistry, clients: dict[str, str], content: bytes
) -> None:
    put_project(registry, content)
    async with catalog_of(clients) as catalog:
        release = await catalog.check(pypi())
        assert release is not None
        assert release.executables is None
        assert [problem.code for problem in catalog.outdated] == ["registry-unavailable"]


@pytest.mark.parametrize(("reason", "said"), [(True, "-"), ("broken build", "broken build")])
async def test_a_yanked_version_is_known_as_one(
    registry: LocalRegistry, clients: dict[str, str], reason: object, said: str
) -> None:
    put_project(registry, wheel("tool", "1.0.0"), yanked=reason)
    release = await facts_of(clients, pypi())
    assert (release.yanked, release.newest) == (said, "0.9")


async def test_a_fresh_answer_is_not_asked_for_again(registry: LocalRegistry, clients: dict[str, str]) -> None:
    registry.put("/tool", FULL, headers={"Cache-Control": "public, max-age=300"})
    first = await facts_of(clients, npm())
    assert await facts_of(clients, npm()) == first
    assert len(registry.calls) == 1


async def test_an_old_answer_is_asked_for_by_its_etag(registry: LocalRegistry, clients: dict[str, str]) -> None:
    registry.put("/tool", FULL, headers={"Cache-Control": "max-age=0", "ETag": '"one"'})
    first = await facts_of(clients, npm())
    assert await facts_of(clients, npm()) == first
    assert [call.headers.get("if-none-match") for call in registry.calls] == [None, '"one"']
    registry.put("/tool", FULL | {"dist-tags": {"latest": "1.0.0"}}, headers={"ETag": '"two"'})
    assert (await facts_of(clients, npm())).newest == "1.0.0"


async def test_what_may_not_be_stored_is_not(registry: LocalRegistry, clients: dict[str, str]) -> None:
    registry.put("/tool", FULL, headers={"Cache-Control": "no-store"})
    await facts_of(clients, npm())
    await facts_of(clients, npm())
    assert len(registry.calls) == 2


async def test_an_earlier_answer_stands_in_for_a_registry_that_is_down(
    registry: LocalRegistry, clients: dict[str, str]
) -> None:
    registry.put("/tool", FULL, headers={"Cache-Control": "max-age=0"})
    first = await facts_of(clients, npm())
    registry.put("/tool", "down", status=503)
    async with catalog_of(clients) as catalog:
        assert await catalog.release(npm()) == first
        assert [problem.code for problem in catalog.outdated] == ["registry-unavailable"]


@needs_npm
async def test_a_private_registry_gets_the_credentials_of_npm(
    registry: LocalRegistry, clients: dict[str, str], tmp_path: Path
) -> None:
    address = registry.url.removeprefix("http:")
    lines = [f"@acme:registry={registry.url}/private/", f"{address}/private/:_authToken=${{TOKEN}}"]
    (tmp_path / ".npmrc").write_text("\n".join(lines), encoding="utf-8")
    registry.put("/private/@acme%2Ftool", FULL, authorization="Bearer canary-token")
    clients |= {"TOKEN": "canary-token"}
    assert (await facts_of(clients, npm("@acme/tool"), known=False)).newest == "1.1.0"
    for file in (tmp_path / ".cache").rglob("*"):
        assert file.is_dir() or b"canary" not in file.read_bytes()
    with pytest.raises(Unavailable) as refusal:
        await facts_of(clients | {"TOKEN": "wrong"}, npm("@acme/tool", "1.1.0"), known=False)
    assert refusal.value.problem.code == "registry-refused"


@pytest.mark.parametrize("where", ["address", "netrc"])
async def test_a_private_index_gets_the_credentials_of_uv(
    registry: LocalRegistry, clients: dict[str, str], tmp_path: Path, where: str
) -> None:
    put_project(registry, wheel("tool", "1.0.0", scripts="tool = tool:main"))
    for answer in registry.answers.values():
        answer.authorization = "Basic dXNlcjpjYW5hcnk="  # user:canary
    if where == "address":
        clients |= {"UV_DEFAULT_INDEX": registry.url.replace("//", "//user:canary@") + "/simple"}
    else:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password canary\n", encoding="utf-8")
    assert (await facts_of(clients, pypi(), known=False)).executables == {"tool": "tool:main"}
    for file in (tmp_path / ".cache").rglob("*"):
        assert file.is_dir() or b"canary" not in file.read_bytes()


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_have_a_code_of_their_own(
    registry: LocalRegistry, clients: dict[str, str], status: int
) -> None:
    registry.put("/simple/tool/", "no", status=status)
    with pytest.raises(Unavailable) as refusal:
        await facts_of(clients, pypi())
    assert refusal.value.problem.code == "registry-refused"


async def test_a_truncated_answer_is_no_answer(registry: LocalRegistry, clients: dict[str, str]) -> None:
    put_project(registry, wheel("tool", "1.0.0"))
    registry.answers["/simple/tool/"].truncated = True
    with pytest.raises(Unavailable, match="does not answer"):
        await facts_of(clients, pypi())
    assert registry.paths == ["/simple/tool/"] * fetch.ATTEMPTS


async def test_an_answer_above_the_limit_is_cut_off(
    registry: LocalRegistry, clients: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.put("/simple/tool/", "x" * 10_000, media_type=SIMPLE_JSON)
    monkeypatch.setattr(fetch.Request.__init__, "__kwdefaults__", {"most_bytes": 1_000, "auth": None})
    with pytest.raises(Unavailable, match="more than 1000 bytes"):
        await facts_of(clients, pypi())


async def test_a_registry_that_never_answers_costs_its_timeout_and_is_then_left_alone(
    registry: LocalRegistry, clients: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.05)
    registry.put("/simple/tool/", "late", hold=threading.Event())
    with anyio.fail_after(30):
        async with catalog_of(clients) as catalog:
            for number in range(session.FAILURES_IN_A_ROW + 3):
                with pytest.raises(Unavailable) as refusal:
                    await catalog.release(pypi(f"1.{number}"))
                assert refusal.value.problem.code == "registry-unavailable"
    assert len(registry.calls) == fetch.ATTEMPTS * session.FAILURES_IN_A_ROW


async def test_questions_for_one_package_at_the_same_time_are_one_question(
    registry: LocalRegistry, clients: dict[str, str]
) -> None:
    put_project(registry, wheel("tool", "1.0.0"))
    async with catalog_of(clients) as catalog, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(catalog.release, pypi())
    assert registry.paths.count("/simple/tool/") == 1


def test_a_cache_that_cannot_be_used_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    for folder in (None, tmp_path / "file" / "below"):
        cache = AnswerCache(folder, lambda: datetime(2026, 1, 1, tzinfo=UTC))
        cache.put("key", facts=1, fresh_for=timedelta(hours=1))
        cache.tidy()
        assert cache.get("key") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"facts": 1}'], ids=["empty", "cut", "list", "part"])
def test_a_damaged_entry_of_the_cache_is_none(tmp_path: Path, text: str) -> None:
    cache = AnswerCache(tmp_path, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    cache.put("key", facts=1, fresh_for=timedelta(hours=1))
    (entry,) = tmp_path.iterdir()
    assert cache.get("key") is not None
    entry.write_text(text, encoding="utf-8")
    assert cache.get("key") is None


@pytest.mark.parametrize(
    ("header", "lasting"),
    [
        ("", timedelta(minutes=5)),
        ("public, max-age=600", timedelta(minutes=10)),
        ("max-age=999999999", timedelta(hours=1)),
        ("no-cache", timedelta()),
        ("private, no-store", None),
    ],
)
def test_how_long_an_answer_is_fresh(header: str, lasting: timedelta | None) -> None:
    assert fresh_for(header) == lasting


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/catwalk/registries"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/catwalk/registries"),
        ({}, None),
    ],
)
def test_where_answers_are_kept(environment: dict[str, str], folder: str | None) -> None:
    assert cache_folder(environment) == (Path(folder) if folder else None)


@pytest.mark.parametrize(
    ("written", "page"),
    [
        ("git+https://github.com/acme/tool.git", "https://github.com/acme/tool"),
        ("git@github.com:acme/tool.git", "https://github.com/acme/tool"),
        ("github:acme/tool", "https://github.com/acme/tool"),
        ("git://github.com/acme/tool.git", "https://github.com/acme/tool"),
        ("javascript:alert(1)", ""),
    ],
)
def test_the_page_of_a_repository(written: str, page: str) -> None:
    assert web_address(written) == page
