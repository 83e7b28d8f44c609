"""The rules of the house that no linter knows."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapter.causes import Cause as AdapterCause
from gateway.adapter.causes import exit_code
from reconciler.cli.main import SUBCOMMANDS, run
from reconciler.core.verdict import EXIT_CAUSES
from reconciler.settings import KNOWN_VARIABLES
from reconciler.sources.manifests import read_manifests

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FUNCTION = 50
LONGEST_MODULE = 400
LONGEST_README = 150
# Spelt in parts, because this file is tracked too.
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org")


def tracked(*patterns: str) -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("the house rules look at tracked files, and this is no git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] in {"schemas", "reconciler", "gateway"}]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def test_no_function_and_no_module_grows_too_long() -> None:
    long_functions = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules()
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]
    long_modules = [str(path.relative_to(ROOT)) for path in modules() if path.read_text().count("\n") > LONGEST_MODULE]
    assert not long_functions + long_modules


def test_no_tracked_file_names_the_host_of_a_package_registry() -> None:
    naming = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        for host in REGISTRY_HOSTS
        if host in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert not naming


def test_adapter_and_verdict_agree_on_the_exit_codes() -> None:
    assert {exit_code(cause): cause.value for cause in AdapterCause} == {
        code: cause.value for code, cause in EXIT_CAUSES.items()
    }


def test_the_readme_is_short_and_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") <= LONGEST_README
    assert "pip install uv && uv run catwalk up examples/quickstart" in readme
    assert "pip install uv && uv run pytest" in readme


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [name for name in SUBCOMMANDS if f"catwalk {name}" not in readme]


def test_links_of_the_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked("*.md")
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken


def test_every_setting_is_documented() -> None:
    settings = (ROOT / "reconciler" / "settings.py").read_text(encoding="utf-8")
    assert not [name for name in KNOWN_VARIABLES if f"`{name}`" not in settings]


def test_the_manifest_of_the_readme_is_valid_and_its_secret_has_its_place() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    manifests = read_manifests({"catwalk.yaml": block[1].encode()})
    assert [spec.name for spec in manifests.specs] == ["github", "time"]
    assert manifests.specs[0].secrets[0].file in block[1]


def test_the_example_is_valid_and_its_key_opens_it() -> None:
    example = ROOT / "examples" / "quickstart"
    assert run(["validate", "--offline", str(example)]) == 0
    manifests = read_manifests({"catwalk.yaml": (example / "catwalk.yaml").read_bytes()})
    assert {spec.name for spec in manifests.specs} == {"everything", "memory", "time"}


def test_no_message_sends_a_person_to_a_command_that_does_not_exist() -> None:
    named = {
        (str(path.relative_to(ROOT)), command)
        for path in [*modules(), *tracked("*.md")]
        for command in re.findall(r"`(?:uv run )?catwalk ([a-z]+)", path.read_text(encoding="utf-8"))
    }
    assert not [(file, command) for file, command in sorted(named) if command not in SUBCOMMANDS]
