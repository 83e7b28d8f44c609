"""Entries of the MCP registry: read, refused with the place of the fault, and turned into what a manifest can say."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from reconciler.errors import SourceError, Unavailable
from reconciler.sources.mcp_registry.client import MCPRegistry
from reconciler.sources.mcp_registry.documents import ServerDocument, document_of, read_document
from reconciler.sources.mcp_registry.drafts import draft_of, server_name
from reconciler.sources.packages.cache import AnswerCache
from reconciler.sources.packages.session import Session
from tests.sources.local_registry import LocalRegistry, local_registry

STDIO = {"type": "stdio"}
NAME = "io.github.acme/weather"


def server(**fields: object) -> dict[str, object]:
    return {"name": NAME, "description": "Weather.", "version": "1.0.0", **fields}


def package(**fields: object) -> dict[str, object]:
    return {"registryType": "npm", "identifier": "@acme/weather", "version": "1.2.3", "transport": STDIO, **fields}


def document(**fields: object) -> ServerDocument:
    return document_of(server(**fields), "the test")


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        pytest.param({"description": "x", "version": "1.0.0"}, "name", id="no name"),
        pytest.param(server(name="weather"), "name", id="a name without a namespace"),
        pytest.param(server(name="a b/c"), "name", id="a name with a space"),
        pytest.param(server(description="x" * 101), "description", id="a long description"),
        pytest.param(server(version="latest"), "version", id="latest is no version"),
        pytest.param(server(packages=[package(version="latest")]), "packages.0.version", id="a package at latest"),
        pytest.param(server(packages=[package(version="^1.2.3")]), "packages.0.version", id="a range"),
        pytest.param(
            server(packages=[package(transport={"type": "carrier-pigeon"})]), "packages.0.transport", id="transport"
        ),
        pytest.param(
            server(packages=[package(packageArguments=[{"type": "positional", "isRepeated": False}])]),
            "packages.0.packageArguments.0",
            id="an argument without value and hint",
        ),
        pytest.param(server(remotes=[{"type": "streamable-http"}]), "remotes.0", id="a remote without an address"),
        pytest.param([1], "the document", id="a list"),
    ],
)
def test_what_breaks_the_schema_is_refused_with_its_place(raw: object, place: str) -> None:
    with pytest.raises(SourceError) as refused:
        read_document(json.dumps(raw).encode(), "server.json")
    assert refused.value.problem.code == "bad-server-json"
    assert f" {place}" in refused.value.problem.message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[" * 100_000, b" " * 1_048_577],
    ids=["empty", "cut off", "no text", "deep", "large"],
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError) as refused:
        read_document(content, "server.json")
    assert refused.value.problem.code == "bad-server-json"


def test_a_package_becomes_an_entry_with_its_questions() -> None:
    draft = draft_of(
        document(
            packages=[
                package(
                    runtimeHint="npx",
                    runtimeArguments=[{"type": "named", "name": "-y", "value": ""}],
                    packageArguments=[
                        {"type": "positional", "valueHint": "config_path", "isRequired": True},
                        {"type": "named", "name": "--port", "value": "8080"},
                        {"type": "named", "name": "--level", "default": "info"},
                    ],
                    environmentVariables=[
                        {"name": "API_KEY", "isSecret": True, "isRequired": True},
                        {"name": "REGION", "default": "eu", "isRequired": True, "choices": ["eu", "us"]},
                        {
                            "name": "AUTH",
                            "value": "Bearer {token}",
                            "variables": {"token": {"isSecret": True, "isRequired": True}},
                        },
                    ],
                )
            ]
        )
    )
    assert draft.name == "weather"
    assert draft.source == ("package", "npm:@acme/weather@1.2.3")
    assert [(each.name, each.needs_answer, each.about.is_secret) for each in draft.questions] == [
        ("config_path", True, False),
        ("--level", False, False),
        ("API_KEY", True, True),
        ("REGION", False, False),
        ("token", True, True),
    ]
    answers = {"config_path": "/etc/a {b}", "API_KEY": "k", "token": "t"}
    assert [(flag.name, flag.piece.filled(answers)) for flag in draft.arguments] == [
        ("", "/etc/a {b}"),
        ("--port", "8080"),
        ("--level", None),
    ]
    assert [(name, piece.filled(answers), piece.is_secret) for name, piece in draft.variables] == [
        ("API_KEY", "k", True),
        ("REGION", "eu", False),
        ("AUTH", "Bearer t", True),
    ]
    assert "the adapter starts the package" in draft.notes[0]


def test_a_package_that_speaks_through_standard_input_comes_first() -> None:
    packages = [
        {
            "registryType": "oci",
            "identifier": "ghcr.io/acme/weather:1.2.3",
            "transport": {"type": "streamable-http", "url": "http://localhost:3000/mcp"},
        },
        package(
            registryType="pypi",
            identifier="weather",
            transport={"type": "streamable-http", "url": "http://127.0.0.1:9000/mcp"},
        ),
        package(),
    ]
    remotes = [{"type": "streamable-http", "url": "https://weather.example/mcp"}]
    both = document(packages=packages, remotes=remotes)
    assert draft_of(both).source == ("package", "npm:@acme/weather@1.2.3")
    assert (draft_of(both, "pypi").port, draft_of(both, "pypi").path) == (9000, "/mcp")
    assert draft_of(both, "oci").source == ("image", "ghcr.io/acme/weather:1.2.3")
    assert draft_of(both, "remote").source == ("remote", "https://weather.example/mcp")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        pytest.param({}, "nothing", id="nothing at all"),
        pytest.param({"packages": [package(registryType="mcpb")]}, "mcpb", id="a bundle"),
        pytest.param(
            {"packages": [package(registryType="oci", identifier="acme/weather")]},
            "standard input",
            id="an image on stdio",
        ),
        pytest.param(
            {"packages": [package(transport={"type": "sse", "url": "http://localhost/sse"})]}, "SSE", id="SSE"
        ),
        pytest.param(
            {"packages": [package(transport={"type": "streamable-http", "url": "https://elsewhere.example/mcp"})]},
            "own machine",
            id="somewhere else",
        ),
        pytest.param(
            {
                "packages": [
                    package(
                        packageArguments=[{"type": "named", "name": "--token", "isSecret": True, "isRequired": True}]
                    )
                ]
            },
            "--token",
            id="a secret on the command line",
        ),
        pytest.param({"remotes": [{"type": "sse", "url": "https://weather.example/sse"}]}, "SSE", id="remote SSE"),
        pytest.param(
            {"remotes": [{"type": "streamable-http", "url": "https://{tenant}.example/mcp"}]},
            "fill in",
            id="a template",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(fields: dict[str, object], word: str) -> None:
    with pytest.raises(SourceError) as refused:
        draft_of(document(**fields))
    assert refused.value.problem.code == "not-runnable"
    assert word in refused.value.problem.message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("io.github.acme/my_Server", "my-server"),
        ("a/--x--", "x"),
        ("a/123", "server"),
        ("a/" + "long-" * 20, "long-long-long-long-long-long-long-long"),
    ],
)
def test_a_manifest_takes_the_name(name: str, expected: str) -> None:
    assert server_name(name) == expected


@pytest.fixture
def local() -> Iterator[LocalRegistry]:
    with local_registry() as registry:
        yield registry


@pytest.fixture
async def registry(local: LocalRegistry, tmp_path: Path) -> AsyncIterator[MCPRegistry]:
    def now() -> datetime:
        return datetime(2026, 11, 1, tzinfo=UTC)

    async with httpx.AsyncClient() as client:
        yield MCPRegistry(Session(client, AnswerCache(tmp_path, now), now), local.url)


def listed(status: str = "active", **fields: object) -> dict[str, object]:
    meta = {"io.modelcontextprotocol.registry/official": {"status": status, "publishedAt": "2026-10-01T00:00:00Z"}}
    return {"server": server(**fields), "_meta": meta}


async def test_one_server_is_found_by_its_name(local: LocalRegistry, registry: MCPRegistry) -> None:
    local.put("/v0.1/servers/io.github.acme%2Fweather/versions/latest", listed())
    found = await registry.find(NAME)
    assert (found.document.name, found.status, found.published_at) == (NAME, "active", "2026-10-01T00:00:00Z")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(None, "server-not-listed", id="not there"),
        pytest.param(listed(status="deleted"), "server-deleted", id="deleted"),
        pytest.param(listed(version="latest"), "bad-server-json", id="malformed"),
        pytest.param(["?"], "bad-server-json", id="something else"),
    ],
)
async def test_what_cannot_be_taken_from_the_registry_is_told_apart(
    local: LocalRegistry, registry: MCPRegistry, answer: object, code: str
) -> None:
    if answer is not None:
        local.put("/v0.1/servers/io.github.acme%2Fweather/versions/latest", answer)
    with pytest.raises(SourceError) as refused:
        await registry.find(NAME)
    assert refused.value.problem.code == code


async def test_a_registry_that_is_down_is_not_one_without_the_server(
    local: LocalRegistry, registry: MCPRegistry
) -> None:
    local.put("/v0.1/servers/io.github.acme%2Fweather/versions/latest", {}, status=503)
    with pytest.raises(Unavailable) as refused:
        await registry.find(NAME)
    assert refused.value.problem.code == "registry-unavailable"


async def test_a_search_leaves_out_what_is_deleted_or_malformed(local: LocalRegistry, registry: MCPRegistry) -> None:
    entries = [
        listed(),
        listed(status="deleted", name="io.github.acme/gone"),
        {"server": {"name": "?"}},
        listed(status="deprecated", name="a/old"),
    ]
    local.put("/v0.1/servers?search=two+words&version=latest&limit=5", {"servers": entries, "metadata": {"count": 4}})
    found = await registry.search("two words", 5)
    assert [(each.document.name, each.status) for each in found] == [(NAME, "active"), ("a/old", "deprecated")]


async def test_an_address_that_speaks_another_api_is_named(local: LocalRegistry, registry: MCPRegistry) -> None:
    local.put("/v0.1/servers?search=x&version=latest&limit=5", {"hello": "world"})
    with pytest.raises(SourceError) as refused:
        await registry.search("x", 5)
    assert refused.value.problem.code == "bad-registry-answer"
