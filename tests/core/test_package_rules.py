"""What is wrong with a package, decided from facts: look-alikes, runtimes, variables, withdrawn versions, the lock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.lock import lock_text, locked_name
from reconciler.core.lock_rules import effective_program, is_locked, lock_findings
from reconciler.core.locked import LockDuty, LockedProgram
from reconciler.core.lookalikes import edit_distance, lookalike_of
from reconciler.core.package_rules import PackageFacts, package_findings
from reconciler.core.problems import Location
from reconciler.core.programs import FolderProgram, GitProgram, ImageProgram
from reconciler.core.releases import Release
from reconciler.core.runtimes import fits
from reconciler.core.semver import satisfied_by_any
from reconciler.core.types import PackageReference, Registry, SecretDeclaration, ServerSpec
from reconciler.core.well_known import NAMES

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OLD = NOW - timedelta(days=400)
PLACE = Location(file="catwalk.yaml", line=4, column=14)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def npm(name: str = "acme-tool", version: str = "1.0.0") -> PackageReference:
    return PackageReference(registry=Registry.NPM, name=name, version=version)


def pypi(name: str = "acme-tool", version: str = "1.0.0") -> PackageReference:
    return PackageReference(registry=Registry.PYPI, name=name, version=version)


def spec(package: object = None, **fields: object) -> ServerSpec:
    stated = {"fleet": "acme", "name": "tool", "package": package or npm(), "program_location": PLACE} | fields
    return ServerSpec(**stated)  # type: ignore[arg-type]


def release(package: PackageReference | None = None, **facts: object) -> Release:
    known = {"package": package or npm(), "package_since": OLD, "executables": {"acme-tool": "cli.js"}} | facts
    return Release(**known)  # type: ignore[arg-type]


def found(server: ServerSpec, known: Release | None = None, **facts: object) -> list[tuple[str, bool]]:
    findings = package_findings(server, PackageFacts(release=known, **facts), NOW)  # type: ignore[arg-type]
    return [(finding.problem.code, finding.is_error) for finding in findings]


def test_nothing_is_wrong_with_a_package_that_is_well() -> None:
    assert found(spec(), release()) == []


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        ({"executables": {}}, ("no-executable", True)),
        ({"executables": {"one": "a.js", "two": "b.js"}}, ("no-executable", True)),
        ({"runtime": "<12"}, ("runtime-unavailable", True)),
        ({"deprecated": "use other"}, ("package-deprecated", False)),
        ({"yanked": "-"}, ("version-yanked", False)),
        ({"package_since": NOW - timedelta(days=3)}, ("package-young", False)),
    ],
    ids=["library", "several", "runtime", "deprecated", "yanked", "young"],
)
def test_each_fault_of_a_release_is_found(facts: dict[str, object], finding: tuple[str, bool]) -> None:
    assert found(spec(), release(**facts)) == [finding]


def test_a_command_of_the_manifest_needs_no_executable_of_the_package() -> None:
    assert found(spec(command=("node", "x.js")), release(executables={})) == []


def test_unknown_facts_are_no_faults() -> None:
    assert found(spec(), release(executables=None, package_since=None)) == []


def test_the_place_is_where_the_manifest_names_the_package() -> None:
    (finding,) = package_findings(spec(), PackageFacts(release=release(deprecated="no\nmore")), NOW)
    assert (finding.problem.location, finding.problem.server) == (PLACE, "tool")
    assert "no more" in finding.problem.message


def test_errors_come_before_advice() -> None:
    assert found(spec(), release(deprecated="x", executables={})) == [
        ("no-executable", True),
        ("package-deprecated", False),
    ]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ["SLACK_BOT_TOKEN", "SLACK_TEAM_ID"]),
        ({"environment": {"SLACK_TEAM_ID": "T1"}}, ["SLACK_BOT_TOKEN"]),
        (
            {
                "environment": {"SLACK_TEAM_ID": "T1"},
                "secrets": (SecretDeclaration(name="SLACK_BOT_TOKEN", file="x", inline=False),),
            },
            [],
        ),
    ],
    ids=["none", "one", "both"],
)
def test_a_well_known_server_needs_its_variables(given: dict[str, object], missing: list[str]) -> None:
    findings = package_findings(spec(npm("@modelcontextprotocol/server-slack"), **given), PackageFacts(), NOW)
    problems = [finding.problem for finding in findings]
    assert [problem.code for problem in problems] == ["missing-variable"] * len(missing)
    assert [problem.message.rsplit(" ", 1)[-1] for problem in problems] == missing


def test_the_official_registry_may_require_variables() -> None:
    assert found(spec(), release(), required_variables=("TOKEN",)) == [("missing-variable", True)]
    assert found(spec(environment={"TOKEN": "x"}), release(), required_variables=("TOKEN",)) == []


@pytest.mark.parametrize(
    ("package", "known"),
    [
        (npm("@modelcontextprotocol/server-github"), ""),
        (npm("@modelcontextprotocols/server-github"), "npm:@modelcontextprotocol/server-github"),
        (npm("@modelcontextprotocol/server-githbu"), ""),
        (npm("server-github"), "npm:@modelcontextprotocol/server-github"),
        (npm("playwright-mcp"), "npm:@playwright/mcp"),
        (npm("firecrwal-mcp"), "npm:firecrawl-mcp"),
        (npm("mcp-server-time"), "pypi:mcp-server-time"),
        (npm("mcp-server"), ""),
        (pypi("mcp-server-tiem"), "pypi:mcp-server-time"),
        (pypi("mcp_server_fetch"), ""),
        (pypi("mcp-server-gcp"), ""),
        (pypi("mcp-servr-git"), "pypi:mcp-server-git"),
        (pypi("office-wrod-mcp-server"), "pypi:office-word-mcp-server"),
        (pypi("requests"), ""),
    ],
    ids=lambda value: str(value).removesuffix("@1.0.0"),
)
def test_what_looks_like_a_well_known_server(package: PackageReference, known: str) -> None:
    assert lookalike_of(package) == known


def test_no_well_known_server_looks_like_another_one() -> None:
    for registry, names in NAMES.items():
        for name in names:
            assert not lookalike_of(PackageReference(registry=registry, name=name)), name


@pytest.mark.parametrize(("days", "is_error"), [(400, False), (3, True)], ids=["old", "young"])
def test_a_look_alike_is_refused_while_it_is_young(days: int, is_error: bool) -> None:
    package = pypi("mcp-server-tiem")
    known = release(package, package_since=NOW - timedelta(days=days), executables={"x": "y"})
    assert found(spec(package), known) == [("package-lookalike", is_error)]


@given(st.text(alphabet="abc", max_size=8), st.text(alphabet="abc", max_size=8))
def test_the_distance_of_two_words_is_symmetric_and_bounded(left: str, right: str) -> None:
    distance = edit_distance(left, right, 20)
    assert distance == edit_distance(right, left, 20)
    assert (distance == 0) == (left == right)
    assert abs(len(left) - len(right)) <= distance <= max(len(left), len(right))
    assert edit_distance(left, right, 2) == min(distance, 3)


@pytest.mark.parametrize(
    ("range_text", "version", "inside"),
    [
        ("", (1, 0, 0), True),
        ("*", (1, 0, 0), True),
        (">=18", (18, 0, 0), True),
        (">=18", (17, 9, 9), False),
        (">= 18.2 <20", (19, 0, 0), True),
        ("^22.22.3 || ^24.15.0 || >=26", (24, 14, 0), False),
        ("^22.22.3 || ^24.15.0 || >=26", (26, 1, 0), True),
        ("18.x", (18, 5, 1), True),
        ("~18.2", (18, 3, 0), False),
        ("14 - 16", (16, 20, 2), True),
        (">22", (22, 9, 0), False),
        ("<=20", (20, 99, 0), True),
        ("^0.3.1", (0, 4, 0), False),
        ("^0.0.3", (0, 0, 4), False),
        ("=20.1.2", (20, 1, 2), True),
        ("v20", (20, 3, 0), True),
        ("^*", (20, 3, 0), True),
        ("what is this", (1, 0, 0), True),
    ],
)
def test_ranges_of_npm(range_text: str, version: tuple[int, int, int], inside: bool) -> None:
    assert satisfied_by_any(range_text, [version]) is inside


@given(st.text(max_size=30))
def test_no_range_breaks_the_reader(range_text: str) -> None:
    assert satisfied_by_any(range_text, [(20, 0, 0)]) in {True, False}


@pytest.mark.parametrize(
    ("registry", "wanted", "fit"),
    [
        (Registry.NPM, ">=22.22.3 <23", True),
        (Registry.NPM, "<=16", False),
        (Registry.NPM, ">=30", False),
        (Registry.PYPI, ">=3.13,<3.15", True),
        (Registry.PYPI, "<3", False),
        (Registry.PYPI, "==3.12.4", True),
        (Registry.PYPI, "nonsense", True),
    ],
)
def test_what_the_runner_can_bring(registry: Registry, wanted: str, fit: bool) -> None:
    assert fits(registry, wanted) is fit


LOCKED = LockedProgram(program="npm:acme-tool", version="1.0.0", files={"acme-tool-1.0.0.tgz": "sha512-AAAA"})


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (npm("@acme/tool"), "npm:@acme/tool"),
        (pypi("Acme_Tool"), "pypi:acme-tool"),
        (GitProgram(url="https://h/r", commit=COMMIT, directory="s"), "git:https://h/r//s"),
        (ImageProgram(reference="ghcr.io/a/b@sha256:00"), "image:ghcr.io/a/b"),
        (FolderProgram(path="x", digest="d", archive=""), ""),
    ],
    ids=["npm", "pypi", "git", "image", "folder"],
)
def test_how_a_lock_calls_a_program(program: object, name: str) -> None:
    assert locked_name(program) == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("server", "known", "finding"),
    [
        (spec(locked=LOCKED), None, []),
        (spec(locked=LOCKED), release(files={"acme-tool-1.0.0.tgz": "sha512-AAAA"}), []),
        (spec(locked=LOCKED), release(files={"acme-tool-1.0.0.tgz": "sha512-BBBB"}), [("integrity-mismatch", True)]),
        (spec(locked=LOCKED), release(files={"other.tgz": "sha512-AAAA"}), [("integrity-mismatch", True)]),
        (spec(locked=LOCKED), release(), []),
        (spec(locked=replace(LOCKED, version="2.0.0")), None, [("lock-outdated", True)]),
        (spec(locked=replace(LOCKED, program="npm:other")), None, [("lock-outdated", True)]),
        (spec(), None, []),
        (spec(lock_duty=LockDuty.EXPECTED), None, [("not-locked", False)]),
        (spec(lock_duty=LockDuty.REQUIRED), None, [("not-locked", True)]),
        (spec(FolderProgram(path="x", digest="d", archive=""), lock_duty=LockDuty.REQUIRED), None, []),
    ],
    ids=[
        *("fits", "same content", "other content", "no file left", "no digests", "other version", "other package"),
        *("no lock", "expected", "required", "folder"),
    ],
)
def test_a_lock_against_manifest_and_registry(
    server: ServerSpec, known: Release | None, finding: list[tuple[str, bool]]
) -> None:
    assert [(each.problem.code, each.is_error) for each in lock_findings(server, known)] == finding


def test_files_that_are_added_to_a_version_later_are_no_change() -> None:
    known = release(files={"acme-tool-1.0.0.tgz": "sha512-AAAA", "acme-tool-1.0.0-arm.tgz": "sha512-CCCC"})
    assert list(lock_findings(spec(locked=LOCKED), known)) == []


def test_a_package_without_a_version_runs_what_the_lock_names() -> None:
    unpinned = npm(version="")
    assert effective_program(unpinned, LOCKED) == npm()
    assert effective_program(unpinned, replace(LOCKED, program="npm:other")) == unpinned
    assert effective_program(npm(version="3.0.0"), LOCKED) == npm(version="3.0.0")
    assert is_locked(unpinned, LOCKED)
    assert not is_locked(unpinned, None)


def test_a_lock_is_one_text_for_one_content() -> None:
    entries = {
        "b": LockedProgram(program="git:https://h/r", version=COMMIT, resolved_at=NOW),
        "a": replace(LOCKED, executable="acme-tool", published_at=OLD, files={"z": "sha256:1", "y": "sha256:2"}),
    }
    assert lock_text(entries) == (
        "# Made by `catwalk lock`: commit it beside its manifest, and do not edit it.\n"
        "lockVersion: 1\n"
        "servers:\n"
        "  a:\n"
        '    program: "npm:acme-tool"\n'
        '    version: "1.0.0"\n'
        '    executable: "acme-tool"\n'
        '    published: "2025-10-20T00:00:00Z"\n'
        "    files:\n"
        '      "y": "sha256:2"\n'
        '      "z": "sha256:1"\n'
        "  b:\n"
        '    program: "git:https://h/r"\n'
        f'    version: "{COMMIT}"\n'
        '    resolved: "2026-11-24T00:00:00Z"\n'
    )
    assert lock_text(dict(reversed(entries.items()))) == lock_text(entries)
