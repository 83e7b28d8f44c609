"""Everything that `catwalk validate` says about packages and locks, word for word, against a registry of our own."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.cli.validation import Validation, validate_directory
from reconciler.cli.validation_formats import FORMATS
from reconciler.cli.validation_packages import PackageSource
from reconciler.core.lock import lock_text
from reconciler.core.locked import LockedProgram
from reconciler.sources.packages import PackageCatalog
from reconciler.sources.packages.npm_settings import NpmSettings
from tests.sources.local_registry import SIMPLE_JSON, LocalRegistry, local_registry, simple_file, wheel

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "reconciler" / "sources" / "packages" / "README.md"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
ONE, TWO = "sha512-" + "A" * 86 + "==", "sha512-" + "B" * 86 + "=="
LOCKED = LockedProgram(program="npm:tool", version="1.0.0", files={"tool-1.0.0.tgz": ONE})

Prepare = Callable[[LocalRegistry], None]


@dataclass(frozen=True)
class Case:
    """One manifest, and all that is said about it. The server's lines start in line 5."""

    id: str
    server: str
    said: str
    prepare: Prepare = lambda _: None
    head: str = ""
    locked: dict[str, LockedProgram] | None = None
    resolves: bool = False
    code: str = field(init=False)

    def __post_init__(self) -> None:
        found = re.search(r"\[([a-z-]+)\]", self.said)
        object.__setattr__(self, "code", found[1] if found else "")


def npm(**facts: object) -> Prepare:
    """Version 1.0.0 of `tool`, from long ago, with what a test changes about it."""
    since = facts.pop("since", "2024-01-01T00:00:00Z")
    name = facts.pop("name", "tool")
    version = {"bin": {"tool": "cli.js"}, "dist": {"tarball": "http://x/tool-1.0.0.tgz", "integrity": ONE}} | facts
    packument = {
        "dist-tags": {"latest": "1.0.0"},
        "time": {"created": since, "1.0.0": since},
        "versions": {"1.0.0": version},
    }
    return lambda registry: registry.put(f"/{name}", packument) and None


def pypi(name: str = "tool", *, requires: tuple[str, ...] = (), **facts: object) -> Prepare:
    """Version 1.0.0 of a PyPI project with one wheel, from long ago."""

    def prepare(registry: LocalRegistry) -> None:
        file, content = (
            f"{name}-1.0.0-py3-none-any.whl",
            wheel(name, "1.0.0", scripts=f"{name} = x:y", requires=requires),
        )
        known = {"upload-time": "2024-01-01T00:00:00Z", "size": len(content)} | facts
        page = {
            "meta": {"api-version": "1.1"},
            "name": name,
            "versions": ["1.0.0"],
            "files": [simple_file(file, content, **known)],
        }
        registry.put(f"/simple/{name}/", page, media_type=SIMPLE_JSON)
        registry.put(f"/simple/{name}/{file}", content, media_type="application/zip")

    return prepare


def both(first: Prepare, second: Prepare) -> Prepare:
    def prepare(registry: LocalRegistry) -> None:
        first(registry)
        second(registry)

    return prepare


def answers(status: int) -> Prepare:
    return lambda registry: registry.put("/tool", "no", status=status) and None


CASES = [
    Case("clean", "package: npm:tool@1.0.0", "", npm()),
    Case(
        "no package",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: error: there is no package tool on npm [package-not-found]\n"
        "  fix: check the spelling, and that it is not a package of pypi",
    ),
    Case(
        "no version",
        "package: npm:tool@1.0.1",
        "catwalk.yaml:5:14: error: npm:tool has no version 1.0.1 [version-not-found]\n  fix: the nearest are 1.0.0",
        npm(),
    ),
    Case(
        "library",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: error: npm:tool@1.0.0 has no executable: its package.json names no bin [no-executable]\n"
        "  fix: it is a library, not a server; look for the package that runs it",
        npm(bin={}),
    ),
    Case(
        "wrong entrypoint",
        "entrypoint: serve\n    package: npm:tool@1.0.0",
        "catwalk.yaml:6:14: error: npm:tool@1.0.0 has no executable serve [no-executable]\n  fix: it has tool",
        npm(),
    ),
    Case(
        "old runtime",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: error: npm:tool@1.0.0 needs engines.node <=12, which no runner has [runtime-unavailable]\n"
        "  fix: choose a version for one of: Node 18, 20, 22, 23, 24, 25, 26",
        npm(engines={"node": "<=12"}),
    ),
    Case(
        "old Python",
        "package: pypi:tool@1.0.0",
        "catwalk.yaml:5:14: error: pypi:tool@1.0.0 needs requires-python <3, which no runner has "
        "[runtime-unavailable]\n"
        "  fix: choose a version for one of: Python 3.8 to 3.15",
        pypi(**{"requires-python": "<3"}),
    ),
    Case(
        "missing variable",
        "package: npm:@modelcontextprotocol/server-brave-search@1.0.0",
        "catwalk.yaml:5:14: error: npm:@modelcontextprotocol/server-brave-search does not start without BRAVE_API_KEY "
        "[missing-variable]\n"
        "  fix: run `catwalk secrets set time BRAVE_API_KEY`, or give it in `env` if it is no secret",
        npm(name="@modelcontextprotocol%2Fserver-brave-search"),
    ),
    Case(
        "dependency is gone",
        "package: pypi:tool@1.0.0",
        "catwalk.yaml:5:14: error: the dependencies of pypi:tool@1.0.0 cannot be had: Because there is no version of "
        "part==7 and all versions of tool depend on part==7, we can conclude that all versions of tool cannot be used "
        "[cannot-be-resolved]\n"
        "  fix: choose another version, or another day with `resolve_as_of`",
        both(pypi(requires=("part==7",)), pypi("part")),
        resolves=True,
    ),
    Case(
        "look-alike",
        "package: npm:playwrigth-mcp@1.0.0",
        "catwalk.yaml:5:14: warning: npm:playwrigth-mcp looks like the well-known npm:@playwright/mcp and is another "
        "package [package-lookalike]\n"
        "  fix: write `npm:@playwright/mcp` if that is meant; else see who publishes this one",
        npm(name="playwrigth-mcp"),
    ),
    Case(
        "young look-alike",
        "package: npm:playwright-mcp@1.0.0",
        "catwalk.yaml:5:14: error: npm:playwright-mcp looks like the well-known npm:@playwright/mcp and is another "
        "package, and is younger than 30 days [package-lookalike]\n"
        "  fix: write `npm:@playwright/mcp` if that is meant; else see who publishes this one",
        npm(name="playwright-mcp", since="2026-11-20T00:00:00Z"),
    ),
    Case(
        "young",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: warning: npm:tool exists for fewer than 30 days [package-young]\n"
        "  fix: see who publishes it and what others say about it before it gets your credentials",
        npm(since="2026-11-20T00:00:00Z"),
    ),
    Case(
        "deprecated",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: warning: npm:tool@1.0.0 is deprecated: use tool2 [package-deprecated]\n"
        "  fix: choose what its author recommends instead",
        npm(deprecated="use tool2"),
    ),
    Case(
        "yanked",
        "package: pypi:tool@1.0.0",
        "catwalk.yaml:5:14: warning: pypi:tool@1.0.0 was withdrawn by its author: it leaks [version-yanked]\n"
        "  fix: choose another version; the newest is 1.0.0",
        pypi(yanked="it leaks"),
    ),
    Case(
        "lock is older than the manifest",
        "package: npm:tool@1.0.0",
        "catwalk.lock:4:3: error: catwalk.lock has npm:tool 0.9.0, the manifest npm:tool@1.0.0 [lock-outdated]\n"
        "  fix: run `catwalk lock` and commit both files",
        npm(),
        locked={"time": LockedProgram(program="npm:tool", version="0.9.0", files={"x": TWO})},
    ),
    Case(
        "another content",
        "package: npm:tool@1.0.0",
        "catwalk.lock:4:3: error: the registry serves tool-1.0.0.tgz of npm:tool@1.0.0 with another content than "
        "catwalk.lock records [integrity-mismatch]\n"
        "  fix: somebody replaced a published file: ask its publisher before you run `catwalk lock` again",
        npm(dist={"tarball": "http://x/tool-1.0.0.tgz", "integrity": TWO}),
        locked={"time": LOCKED},
    ),
    Case(
        "not in the lock",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: warning: npm:tool@1.0.0 does not stand in catwalk.lock [not-locked]\n"
        "  fix: run `catwalk lock` and commit the file",
        npm(),
        locked={"other": LOCKED},
    ),
    Case(
        "lock required",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:6:14: error: npm:tool@1.0.0 does not stand in catwalk.lock [not-locked]\n"
        "  fix: run `catwalk lock` and commit the file",
        npm(),
        head="policy: {pinned: required}\n",
    ),
    Case("locked", "package: npm:tool", "", npm(), locked={"time": LOCKED}),
    Case(
        "registry is down",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: warning: the package registry at 127.0.0.1 does not answer: status 503 "
        "[registry-unavailable]\n"
        "  fix: nothing is known about the package now; it is asked again later",
        answers(503),
    ),
    Case(
        "registry refuses",
        "package: npm:tool@1.0.0",
        "catwalk.yaml:5:14: warning: the package registry at 127.0.0.1 answers 401 [registry-refused]\n"
        "  fix: check the registry's address and credentials in the settings of npm or uv",
        answers(401),
    ),
]


@pytest.fixture
def registry() -> Iterator[LocalRegistry]:
    with local_registry() as local:
        yield local


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_what_is_said_about_a_package(
    registry: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    head = f"apiVersion: catwalk.dev/v1\nfleet: acme\n{case.head}"
    (fleet / "catwalk.yaml").write_text(f"{head}servers:\n  time:\n    {case.server}\n", encoding="utf-8")
    if case.locked is not None:
        (fleet / "catwalk.lock").write_text(lock_text(case.locked), encoding="utf-8")
    case.prepare(registry)
    monkeypatch.chdir(fleet)
    settings = NpmSettings(registry=registry.url)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_DEFAULT_INDEX": f"{registry.url}/simple"}
    async with PackageCatalog(environment, npm=settings, indexes=(f"{registry.url}/simple",)) as catalog:
        source = PackageSource(releases=catalog, resolves=case.resolves, now=lambda: NOW)
        findings = await validate_directory(Validation(directory=Path(), packages=source))
    assert FORMATS["text"](findings).splitlines()[:-1] == case.said.splitlines()


def documented() -> dict[str, str]:
    """The codes of the table in the room's README, with their severities."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def test_every_code_has_a_row_and_a_case() -> None:
    severities: dict[str, set[str]] = {}
    for case in CASES:
        for severity, code in re.findall(r": (error|warning): .*\[([a-z-]+)\]", case.said.replace(" \n", " ")):
            severities.setdefault(code, set()).add(severity)
    assert {code: set(words.split(", ")) for code, words in documented().items()} == severities


def test_every_code_of_the_program_has_a_row() -> None:
    core = ROOT / "reconciler" / "core"
    files = [core / name for name in ("package_rules.py", "lock_rules.py", "executables.py")]
    files += sorted((ROOT / "reconciler" / "sources" / "packages").glob("*.py"))
    raised = re.compile(
        r'(?:SourceError|Unavailable|_refusal|_advice)\(\s*(?:spec, )?"([a-z]+-[a-z-]+)"|code="([a-z]+-[a-z-]+)"'
    )
    codes = {one or two for file in files for one, two in raised.findall(file.read_text(encoding="utf-8"))}
    assert codes == set(documented())
