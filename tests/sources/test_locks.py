"""Reading `catwalk.lock` beside its manifest, and what a person is told when a merge has spoilt it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.lock import lock_text
from reconciler.core.locked import LockDuty, LockedProgram
from reconciler.core.moments import moment_of
from reconciler.errors import InvalidManifests
from reconciler.sources.layout import select
from reconciler.sources.locks import read_lock
from reconciler.sources.manifests import read_manifests

HEAD = "apiVersion: catwalk.dev/v1\nfleet: acme\n"
INTEGRITY = "sha512-" + "A" * 86 + "=="
SHA256 = "sha256:" + "0" * 64
ENTRY = LockedProgram(
    program="pypi:mcp-server-time",
    version="2026.10.19",
    files={"mcp_server_time-2026.10.19-py3-none-any.whl": SHA256},
    executable="mcp-server-time",
    published_at=moment_of("2026-10-19T06:48:51Z"),
    resolved_at=moment_of("2026-11-24T00:00:00Z"),
)


def files(server: str, *, locked: dict[str, LockedProgram] | None = None, folder: str = "") -> dict[str, bytes]:
    manifest = f"{HEAD}servers:\n  time: {{package: '{server}'}}\n".encode()
    lock = {} if locked is None else {f"{folder}catwalk.lock": lock_text(locked).encode()}
    return {f"{folder}catwalk.yaml": manifest} | lock


@given(
    st.dictionaries(
        st.from_regex(r"[a-z](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True),
        st.builds(
            LockedProgram,
            program=st.sampled_from(["npm:a", "npm:@a/b", "pypi:c", "git:https://h/r//x", "image:ghcr.io/a/b"]),
            version=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12),
            files=st.dictionaries(st.text("ab-.", min_size=1, max_size=6), st.sampled_from([INTEGRITY, SHA256])),
            executable=st.text("ab", max_size=3),
            resolved_at=st.none() | st.just(moment_of("2026-11-24T00:00:00Z")),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read(entries: dict[str, LockedProgram]) -> None:
    assert read_lock("catwalk.lock", lock_text(entries).encode()) == entries


def test_a_lock_gives_a_package_its_version() -> None:
    (spec,) = read_manifests(files("pypi:mcp-server-time", locked={"time": ENTRY})).specs
    assert str(spec.package) == "pypi:mcp-server-time@2026.10.19"
    assert (spec.locked, spec.lock_duty) == (ENTRY, LockDuty.EXPECTED)


def test_a_locked_package_is_not_told_to_be_unpinned() -> None:
    assert [problem.code for problem in read_manifests(files("pypi:mcp-server-time")).warnings] == ["unpinned-package"]
    assert read_manifests(files("pypi:mcp-server-time", locked={"time": ENTRY})).warnings == ()


def test_a_lock_belongs_to_the_manifest_beside_it_alone() -> None:
    fleet = files("pypi:mcp-server-time@2026.10.19") | files("npm:x@1.0.0", locked={"time": ENTRY}, folder="team/")
    other = fleet.pop("team/catwalk.yaml").replace(b"time:", b"clock:")
    specs = {spec.name: spec for spec in read_manifests(fleet | {"team/catwalk.yaml": other}).specs}
    assert specs["time"].locked is None
    assert (specs["clock"].locked, specs["clock"].lock_duty) == (None, LockDuty.EXPECTED)


def test_a_policy_that_wants_everything_pinned_wants_a_lock() -> None:
    manifest = f"{HEAD}policy: {{pinned: required}}\nservers:\n  time: {{package: 'npm:x@1.0.0'}}\n".encode()
    (spec,) = read_manifests({"catwalk.yaml": manifest}).specs
    assert spec.lock_duty is LockDuty.REQUIRED


def test_locks_are_read_beside_manifests_alone() -> None:
    assert select(["catwalk.lock", "a/catwalk.lock", "a/catwalk.yaml"]) == ("a/catwalk.yaml", "a/catwalk.lock")


def test_an_environment_has_a_lock_of_its_own_or_that_of_its_manifest() -> None:
    staging = replace(ENTRY, version="2026.1.1")
    fleet = files("pypi:mcp-server-time", locked={"time": ENTRY}) | {"catwalk.staging.yaml": b"fleet: acme-staging\n"}
    own = {"catwalk.staging.lock": lock_text({"time": staging}).encode()}
    assert [spec.locked for spec in read_manifests(fleet, "staging").specs] == [ENTRY]
    assert [spec.locked for spec in read_manifests(fleet | own, "staging").specs] == [staging]
    assert [spec.locked for spec in read_manifests(fleet | own).specs] == [ENTRY]
    assert "catwalk.staging.lock" in select(fleet | own)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no lock"),
        ("lockVersion: 2\nservers: {}\n", 1, "version 1"),
        ("lockVersion: 1\n", 1, "servers"),
        ("lockVersion: 1\nservers:\n  a: {program: 'npm:a'}\n", 3, "version"),
        ("lockVersion: 1\nservers:\n  a: {program: 'what', version: '1'}\n", 3, "program"),
        ("lockVersion: 1\nservers:\n  a: {program: 'npm:a', version: 1}\n", 3, "text"),
        ("lockVersion: 1\nservers:\n  a:\n    program: 'npm:a'\n    version: '1'\n    sha: x\n", 6, "key"),
        ("lockVersion: 1\nservers:\n  a:\n    program: 'npm:a'\n    version: '1'\n    files: {x: md5}\n", 6, "digest"),
        ("lockVersion: 1\n<<<<<<< ours\nservers: {}\n", 2, ""),
        ("lockVersion: 1\nservers:\n  a: {program: 'npm:a', version: '1'}\n  a: {}\n", 4, "again"),
    ],
    ids=["empty", "newer", "no servers", "no version", "program", "number", "key", "digest", "conflict", "twice"],
)
def test_a_spoilt_lock_stops_the_manifest_with_the_place(text: str, line: int, words: str) -> None:
    with pytest.raises(InvalidManifests) as refusal:
        read_manifests(files("npm:a@1.0.0") | {"catwalk.lock": text.encode()})
    problems = refusal.value.problems
    assert any(words in problem.message and problem.location.line == line for problem in problems if problem.location)
    assert all(problem.location and problem.location.file == "catwalk.lock" for problem in problems)
