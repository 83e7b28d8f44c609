"""What an editor with the YAML language server does with a manifest that names the published schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.__main__ import SCHEMA_FILE
from schemas.v1.document import json_schema
from tests.schemas.language_server import Editor, editor

pytestmark = [pytest.mark.registry, pytest.mark.timeout(240)]

MODELINE = f"# yaml-language-server: $schema={SCHEMA_FILE.as_uri()}\n"
HEAD = f"{MODELINE}apiVersion: catwalk.dev/v1\nfleet: acme\n"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with editor(tmp_path_factory.mktemp("editor")) as session:
        yield session


def keys(definition: str = "") -> set[str]:
    schema = json_schema()
    return set((schema["$defs"][definition] if definition else schema)["properties"])


GOOD = (
    f"{HEAD}servers:\n"
    "  time:\n    package: pypi:mcp-server-time@2026.10.19\n    vm: {memory_mb: 1024}\n"
    "  wiki:\n    git: {url: https://github.com/acme/wiki, commit: 8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e}\n"
    "  notes: {directory: ./notes, files: {~/.key: {secret: KEY}}, secrets: {KEY: }}\n"
)


def test_a_good_manifest_has_no_remarks(opened: Editor) -> None:
    assert opened.open(GOOD).diagnostics == []


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        ("    package: npm:x@1.0.0\n    arg: [x]\n", 6, "arg is not allowed"),
        ("    package: mcp-server-time\n", 5, "does not match the pattern"),
        ("    package: npm:x@1.0.0\n    vm: {memory_mb: lots}\n", 6, "Incorrect type"),
        ("    package: npm:x@1.0.0\n    scale: {idle: sleep}\n", 6, "Value is not accepted"),
        ("    package: npm:x@1.0.0\n    env: {PORT: 80}\n", 6, "Incorrect type"),
        ("    args: [x]\n", 5, 'Missing property "package"'),
        ("    git: {url: https://github.com/acme/wiki}\n", 5, 'Missing property "commit"'),
    ],
    ids=["unknown key", "package", "number", "choice", "variable", "no source", "no commit"],
)
def test_a_fault_is_marked_in_its_line(opened: Editor, lines: str, line: int, words: str) -> None:
    found = opened.open(f"{HEAD}servers:\n  time:\n{lines}").diagnostics
    assert any(words in each["message"] for each in found), found
    assert all(each["range"]["start"]["line"] in {line, 4, 5} for each in found)


@pytest.mark.parametrize(
    ("text", "definition"),
    [
        (f"{HEAD}|", ""),
        (f"{HEAD}servers:\n  time:\n    |", "Server"),
        (f"{HEAD}defaults:\n  vm:\n    |", "VirtualMachine"),
        (f"{HEAD}policy:\n  |", "Policy"),
    ],
    ids=["manifest", "server", "size", "policy"],
)
def test_every_key_of_a_place_is_proposed_with_its_explanation(opened: Editor, text: str, definition: str) -> None:
    proposed = opened.open(text.replace("|", "")).completions_at_end()
    wanted = keys(definition) - ({"apiVersion", "fleet"} if not definition else set())
    assert wanted <= proposed.keys()
    assert [name for name in wanted if len(proposed[name]) < 10] == []


def test_choices_are_proposed(opened: Editor) -> None:
    proposed = opened.open(f"{HEAD}defaults:\n  scale:\n    idle: ").completions_at_end()
    assert {"suspend", "stop"} <= {name.strip('"') for name in proposed}


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("memory_mb", "multiples of 256"),
        ("package", "npm:NAME@VERSION"),
        ("commit", "40 hexadecimal digits"),
        ("directory", "In place of a package"),
        ("files", "key files"),
    ],
)
def test_a_key_is_explained_with_an_example(opened: Editor, word: str, words: str) -> None:
    shown = opened.open(GOOD).hover(f"{word}:")
    assert words in shown
    assert "Example" in shown


def test_the_modeline_of_the_documentation_leads_to_the_schema() -> None:
    root = Path(__file__).parents[2]
    assert "$schema=./schemas/v1/catwalk.schema.json" in (root / "schemas" / "README.md").read_text(encoding="utf-8")
