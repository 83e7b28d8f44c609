"""Servers that are no packages: what the manifest says about them, and what it is told."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Problem
from reconciler.core.programs import FolderProgram, GitProgram, ImageProgram, PlacedFile
from reconciler.errors import InvalidManifests, SourceError
from reconciler.sources import folders
from reconciler.sources.git import WorktreeSource, discover
from reconciler.sources.manifests import read_manifests

HEAD = "apiVersion: catwalk.dev/v1\nfleet: acme\n"
COMMIT = "8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e"
DIGEST = "@sha256:" + "0" * 64
HTTP = "transport: {type: streamable-http, port: 3000}"


def manifest(*servers: str, policy: str = "") -> bytes:
    """Servers are called `a`, `b`, … and stand one a line from line 4 (5 with a policy)."""
    stated = f"policy: {policy}\n" if policy else ""
    lines = "".join(f"  {name}: {{{fields}}}\n" for name, fields in zip("abcdefgh", servers, strict=False))
    return f"{HEAD}{stated}servers:\n{lines}".encode()


def read(text: bytes, files: Mapping[str, bytes] | None = None) -> ManifestSet:
    return read_manifests({"catwalk.yaml": text, **(files or {})})


def refused(text: bytes, files: Mapping[str, bytes] | None = None) -> list[Problem]:
    with pytest.raises(InvalidManifests) as caught:
        read(text, files)
    return list(caught.value.problems)


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def test_each_source_becomes_its_program() -> None:
    git = f"git: {{url: https://host/wiki, commit: {COMMIT}, runtime: node, directory: ./sub/}}"
    fleet = read(
        manifest(git, "directory: ./notes", f"image: ghcr.io/x/y{DIGEST}, {HTTP}"), {"notes/package.json": b""}
    )
    first, second, third = (spec.package for spec in fleet.specs)
    assert first == GitProgram(url="https://host/wiki", commit=COMMIT, runtime="node", directory="sub")
    assert isinstance(second, FolderProgram)
    assert second.path == "notes"
    assert third == ImageProgram(reference=f"ghcr.io/x/y{DIGEST}")
    assert fleet.warnings == ()


def test_a_folder_is_found_beside_its_own_manifest_and_only_its_files_decide() -> None:
    text = manifest("directory: notes")
    files = {"team/catwalk.yaml": text, "team/notes/pyproject.toml": b"", "notes/other": b""}

    def program(changed: Mapping[str, bytes]) -> FolderProgram:
        (spec,) = read_manifests({**files, **changed}).specs
        assert isinstance(spec.package, FolderProgram)
        return spec.package

    assert program({}).path == "team/notes"
    assert program({"notes/other": b"changed", "team/notes/node_modules/x": b"y", "team/notes/.env": b"z"}) == program(
        {}
    )
    assert program({"team/notes/server.py": b"new"}).digest != program({}).digest


def test_files_and_command_reach_the_spec() -> None:
    text = manifest(
        "package: 'npm:x@1.0.0', command: [python, -m, x], secrets: {KEY: }, "
        "files: {~/.key: {secret: KEY}, /etc/app.json: {content: '{}', mode: '0644'}}"
    )
    (spec,) = read(text).specs
    assert spec.command == ("python", "-m", "x")
    assert spec.files == (
        PlacedFile(path="/etc/app.json", mode=0o644, content="{}"),
        PlacedFile(path="~/.key", mode=0o400, secret="KEY"),
    )


def test_a_folder_that_is_too_large_to_travel_is_refused_at_its_place() -> None:
    noise = {"big/package.json": b"{}", "big/data": Random(1).randbytes(300_000)}
    (problem,) = refused(manifest("directory: big"), noise)
    assert (problem.code, str(problem.location)) == ("directory-too-large", "catwalk.yaml:4:18")
    assert "at most 262144" in problem.message


def test_a_policy_that_wants_pins_refuses_what_otherwise_is_warned_about() -> None:
    servers = ("package: 'npm:x'", f"image: ghcr.io/x/y:1, {HTTP}")
    assert [warning.code for warning in read(manifest(*servers)).warnings] == ["unpinned-package", "unpinned-image"]
    problems = refused(manifest(*servers, policy="{pinned: required}"))
    assert codes(problems) == ["unpinned-package", "unpinned-image"]
    assert [str(problem.location) for problem in problems] == ["catwalk.yaml:5:16", "catwalk.yaml:6:14"]


ADMISSION = {
    "denied by name": ("{deny: ['npm:bad']}", ["denied-by-policy"]),
    "denied by version": ("{deny: ['npm:bad@1.*']}", ["denied-by-policy"]),
    "another version denied": ("{deny: ['npm:bad@2.*']}", []),
    "allowed": ("{allow: ['npm:b*']}", []),
    "not allowed": ("{allow: ['npm:good']}", ["not-allowed-by-policy"]),
    "denied although allowed": ("{allow: ['npm:*'], deny: ['npm:bad']}", ["denied-by-policy"]),
}


@pytest.mark.parametrize(("policy", "expected"), ADMISSION.values(), ids=ADMISSION.keys())
def test_a_policy_says_which_programs_may_run(policy, expected) -> None:
    text = manifest("package: 'npm:bad@1.0.0'", policy=policy)
    assert (codes(refused(text)) if expected else [*read(text).warnings]) == expected


def test_a_policy_knows_images_and_repositories_and_leaves_own_folders_alone() -> None:
    servers = (
        "directory: notes",
        f"image: ghcr.io/x/y:1{DIGEST}, {HTTP}",
        f"git: {{url: https://h/w, commit: {COMMIT}}}",
    )
    files = {"notes/package.json": b"{}"}
    assert len(read(manifest(*servers, policy="{allow: ['image:ghcr.io/x/y', 'git:https://h/*']}"), files).specs) == 3
    problems = refused(manifest(*servers, policy="{deny: ['image:ghcr.io/x/*', 'git:*']}"), files)
    assert [(problem.code, problem.server) for problem in problems] == [
        ("denied-by-policy", "b"),
        ("denied-by-policy", "c"),
    ]


ONE_PROGRAM = {
    "case and dashes on PyPI": ("package: 'pypi:Some_Package@1.0'", "pypi:some-package"),
    "dots on PyPI": ("package: 'pypi:some-package@1.0'", "pypi:some.package@1.*"),
    "ssh for https": (
        f"git: {{url: 'ssh://git@github.com/acme/x', commit: {COMMIT}}}",
        "git:https://github.com/acme/x",
    ),
    "scp for https": (f"git: {{url: 'git@GitHub.com:acme/x.git', commit: {COMMIT}}}", "git:https://github.com/acme/*"),
    "suffix": (
        f"git: {{url: https://github.com/acme/x.git, commit: {COMMIT}}}",
        f"git:https://github.com/acme/x@{COMMIT}",
    ),
    "host alone": (f"git: {{url: https://github.com/acme/x, commit: {COMMIT}}}", "git:github.com/*"),
    "Docker Hub": (f"image: docker.io/library/nginx:1{DIGEST}, {HTTP}", "image:nginx"),
    "another name of Docker Hub": (f"image: index.docker.io/acme/x{DIGEST}, {HTTP}", "image:acme/x"),
    "somebody else's server": ("remote: {url: https://mcp.linear.app/mcp}", "remote:https://*.linear.app/*"),
}


@pytest.mark.parametrize(("fields", "pattern"), ONE_PROGRAM.values(), ids=ONE_PROGRAM.keys())
def test_a_program_is_known_however_it_is_written(fields: str, pattern: str) -> None:
    assert codes(refused(manifest(fields, policy=f"{{deny: ['{pattern}']}}"))) == ["denied-by-policy"]
    assert len(read(manifest(fields, policy=f"{{allow: ['{pattern}']}}")).specs) == 1
    assert codes(refused(manifest(fields, policy="{allow: ['npm:*']}"))) == ["not-allowed-by-policy"]


def test_every_manifest_may_tighten_the_policy_and_none_may_loosen_it() -> None:
    files = {
        "a/catwalk.yaml": manifest("package: 'npm:x@1.0.0'", policy="{allow: ['npm:*'], max_monthly_cost: 50}"),
        "b/catwalk.yaml": manifest(policy="{allow: ['pypi:*'], max_monthly_cost: 2, signed_commits: true}"),
    }
    files["b/catwalk.yaml"] = files["b/catwalk.yaml"].replace(b"servers:\n", b"servers: {}\n")
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(files)
    assert [(problem.code, str(problem.location)) for problem in caught.value.problems] == [
        ("not-allowed-by-policy", "a/catwalk.yaml:5:16"),
        ("too-expensive", "b/catwalk.yaml:3:47"),
    ]
    assert read_manifests({"b/catwalk.yaml": files["b/catwalk.yaml"]}).signed_commits


def test_a_fleet_within_its_cost_is_accepted_and_an_unknown_price_is_said() -> None:
    shared, performance = (
        "package: 'npm:x@1.0.0'",
        "package: 'npm:x@1.0.0', vm: {cpu_kind: performance, memory_mb: 2048}",
    )
    assert read(manifest(shared, policy="{max_monthly_cost: 4}")).warnings == ()
    (problem,) = refused(manifest(shared, shared, policy="{max_monthly_cost: 4}"))
    assert "may cost $6.38 a month" in problem.message
    (warning,) = read(manifest(performance, policy="{max_monthly_cost: 4}")).warnings
    assert (warning.code, str(warning.location)) == ("unknown-price", "catwalk.yaml:5:46")


def test_access_that_a_server_states_itself_opens_it_before_any_pattern() -> None:
    gateway = "gateway: {auth: {tokens: {ci: {sha256: " + "a" * 64 + "}}}, access: {ci: {'*': ['*']}}}\n"
    text = manifest("package: 'npm:x@1.0.0', access: {ci: [get_*]}", "package: 'npm:x@1.0.0'") + gateway.encode()
    (token,) = read(text).gateway.tokens
    assert token.servers == (("a", ("get_*",)), ("*", ("*",)))


def commit(path: Path) -> None:
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=path, check=True, timeout=30, capture_output=True)


@pytest.fixture
def project(tmp_path) -> Path:
    files = {
        "fleet/catwalk.yaml": manifest("directory: ./notes").decode(),
        "fleet/notes/package.json": "{}",
        "fleet/notes/src/index.js": "x",
        "fleet/notes/node_modules/dep.js": "x",
        "fleet/notes/catwalk.yaml.txt": "x",
        "fleet/elsewhere/index.js": "x",
        ".gitignore": "*.log\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    commit(tmp_path)
    return tmp_path / "fleet"


EXPECTED = ["catwalk.yaml", "notes/catwalk.yaml.txt", "notes/package.json", "notes/src/index.js"]


async def test_a_commit_and_uncommitted_files_give_the_same_folder(project) -> None:
    (project / "notes" / "debug.log").write_text("ignored by git", encoding="utf-8")
    committed, uncommitted = discover(project), WorktreeSource(directory=project)
    for source in (committed, uncommitted):
        assert sorted(await source.files(await source.head())) == EXPECTED
    before = (await uncommitted.head()).commit
    (project / "notes" / "src" / "index.js").write_text("changed", encoding="utf-8")
    assert (await uncommitted.head()).commit != before


async def test_a_link_in_a_folder_is_refused(project) -> None:
    (project / "notes" / "passwd").symlink_to("/etc/passwd")
    commit(project.parent)
    for source in (discover(project), WorktreeSource(directory=project)):
        with pytest.raises(SourceError, match=r"notes/passwd is a symbolic link"):
            await source.files(await source.head())


async def test_a_vast_folder_is_refused_before_it_is_read(project, monkeypatch) -> None:
    monkeypatch.setattr(folders, "MOST_FOLDER_FILES", 2)
    for source in (discover(project), WorktreeSource(directory=project)):
        with pytest.raises(SourceError, match=r"notes holds 3 files"):
            await source.files(await source.head())


async def test_a_folder_that_is_not_there_leaves_the_manifest_readable(project) -> None:
    (project / "catwalk.yaml").write_bytes(manifest("directory: ./gone"))
    source = WorktreeSource(directory=project)
    files = await source.files(await source.head())
    with pytest.raises(InvalidManifests) as caught:
        read_manifests(files)
    assert codes(list(caught.value.problems)) == ["directory-not-found"]
