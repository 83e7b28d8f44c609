"""Programs that are no packages: commits of repositories, folders that came with the machine, files, commands."""

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from mcp import Client

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.child import Launch
from gateway.adapter.install import git_source
from gateway.adapter.launch import prepare_launch
from gateway.adapter.log import AdapterLog, Mask
from gateway.adapter.options import parse_options
from gateway.adapter.placed_files import FileOrder, Placement, contents_to_mask, place_files
from gateway.adapter.projects import ArchiveProject, BadProject, GitProject, parse_project
from reconciler.core.archive import packed
from tests.adapter.support import Start
from tests.sources.conftest import GitHttpServer, serve_git

COMMIT = "8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e"
SERVER = """\
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answers = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "notes", "version": "1"}},
        "tools/list": {"tools": [{"name": "note", "inputSchema": {"type": "object"}}]},
    }
    found = answers.get(message["method"])
    body = {"result": found} if found else {"error": {"code": -32601, "message": "unknown"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **body}), flush=True)
"""
NODE_SERVER = """\
require("readline").createInterface({input: process.stdin}).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.id === undefined) return;
  const answers = {
    initialize: {protocolVersion: "2025-11-25", capabilities: {tools: {}}, serverInfo: {name: "n", version: "1"}},
    "tools/list": {tools: [{name: "note", inputSchema: {type: "object"}}]},
  };
  const found = answers[message.method];
  const body = found ? {result: found} : {error: {code: -32601, message: "unknown"}};
  console.log(JSON.stringify({jsonrpc: "2.0", id: message.id, ...body}));
});
"""


async def launched(*arguments: str) -> Launch:
    return await prepare_launch(parse_options(arguments), AdapterLog(Mask({})))


async def failure(*arguments: str) -> AdapterFailure:
    with pytest.raises(AdapterFailure) as caught:
        await launched(*arguments)
    return caught.value


@pytest.mark.parametrize(
    "url",
    ["https://github.com/acme/wiki", "ssh://git@github.com/acme/wiki.git", "git@github.com:acme/wiki.git"],
)
def test_a_commit_at_an_address_is_a_project(url: str) -> None:
    assert parse_project(f"git:{url}@{COMMIT}") == GitProject(url=url, commit=COMMIT)
    assert GitProject(url=url, commit=COMMIT).name == "wiki"


def test_an_archive_of_the_machine_is_a_project() -> None:
    assert parse_project("archive:/.catwalk/source.tar.gz") == ArchiveProject(path=Path("/.catwalk/source.tar.gz"))


@pytest.mark.parametrize(
    "text",
    [
        "git:https://github.com/acme/wiki",
        "git:https://github.com/acme/wiki@main",
        "git:https://github.com/acme/wiki@8f2e1d0",
        f"git:https://user:token@github.com/acme/wiki@{COMMIT}",
        f"git:http://github.com/acme/wiki@{COMMIT}",
        f"git:file:///etc@{COMMIT}",
        f"git:ext::sh -c id@{COMMIT}",
        f"git:--upload-pack=id@{COMMIT}",
        f"git:-oProxyCommand=id@host:x@{COMMIT}",
        "archive:relative.tar.gz",
    ],
)
def test_what_is_not_pinned_or_not_safe_to_fetch_is_no_project(text: str) -> None:
    with pytest.raises(BadProject):
        parse_project(text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "served" / "fleet"
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch", "main")
    return path


@pytest.fixture
def host(repository: Path) -> Iterator[GitHttpServer]:
    yield from serve_git(repository.parent)


def git(path: Path, *words: str) -> str:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    command = ["git", *identity, "-C", str(path), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def commit(path: Path, **files: str) -> str:
    for name, text in files.items():
        target = path / name.replace("__", "/").replace("_dot_", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "x")
    return git(path, "rev-parse", "HEAD")


@pytest.mark.parametrize("by_id", [True, False], ids=["by its id", "through its branch"])
async def test_exactly_the_pinned_commit_is_fetched(
    repository: Path, host: GitHttpServer, tmp_path: Path, *, by_id: bool
) -> None:
    git(repository, "config", "uploadpack.allowAnySHA1InWant", str(by_id).lower())
    pinned = commit(repository, sub__run_dot_py="print('old')")
    commit(repository, sub__run_dot_py="print('new')")
    words = (
        "--cache-dir",
        str(tmp_path / "cache"),
        "--directory=sub",
        f"--command={sys.executable}",
        "--command=run.py",
    )
    launch = await launched(*words, "--", f"git:{host.url}@{pinned}", "--verbose")
    assert launch.workdir is not None
    assert (launch.workdir / "run.py").read_text(encoding="utf-8") == "print('old')"
    assert list(launch.command)[1:] == ["run.py", "--verbose"]
    assert not list(launch.workdir.parent.glob(".git"))
    host.fault = "500"
    assert await launched(*words, "--", f"git:{host.url}@{pinned}", "--verbose") == launch


async def test_a_commit_that_is_nowhere_and_a_repository_that_is_closed_are_told_apart(
    repository: Path, host: GitHttpServer, tmp_path: Path
) -> None:
    pinned = commit(repository, run="x")
    words = ("--cache-dir", str(tmp_path / "cache"), "--command=true", "--")
    assert (await failure(*words, f"git:{host.url}@{COMMIT}")).cause is Cause.VERSION_NOT_FOUND
    host.password = "secret"
    closed = await failure(*words, f"git:{host.url}@{pinned}")
    assert closed.cause is Cause.PACKAGE_NOT_FOUND
    assert "~/.netrc" in closed.detail
    host.fault = "500"
    assert (await failure(*words, f"git:{host.url}@{pinned}")).cause is Cause.REGISTRY_UNAVAILABLE


async def test_a_private_repository_is_opened_by_a_file_of_the_server(
    repository: Path, host: GitHttpServer, tmp_path: Path
) -> None:
    pinned = commit(repository, run="x")
    host.password = "secret"
    machine = tmp_path / "machine"
    staged = machine / ".catwalk" / "files" / "0"
    staged.parent.mkdir(parents=True)
    staged.write_text("machine 127.0.0.1 login ann password secret\n", encoding="utf-8")
    place = ("--workdir", str(machine), "--cache-dir", str(tmp_path / "cache"))
    words = ("--file", "~/.netrc", "0400", "/.catwalk/files/0", "--command=true")
    launch = await launched(*place, *words, "--", f"git:{host.url}@{pinned}")
    assert launch.workdir is not None
    assert stat.S_IMODE((machine / ".netrc").stat().st_mode) == 0o400


async def test_a_vast_repository_is_refused_before_it_is_checked_out(
    repository: Path, host: GitHttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = commit(repository, a="x" * 2000, b="y")
    monkeypatch.setattr(git_source, "LARGEST_TREE_BYTES", 1000)
    found = await failure("--cache-dir", str(tmp_path), "--command=true", "--", f"git:{host.url}@{pinned}")
    assert "holds 2 files of 2001 bytes" in found.detail


async def test_a_pack_above_the_limit_ends_the_fetch(
    repository: Path, host: GitHttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = commit(repository, a=base64.b64encode(os.urandom(400_000)).decode())
    monkeypatch.setattr(git_source, "LARGEST_PACK_BLOCKS", 100)
    found = await failure("--cache-dir", str(tmp_path), "--command=true", "--", f"git:{host.url}@{pinned}")
    assert found.cause is Cause.INSTALL_FAILED
    assert "larger than" in found.detail


async def test_hooks_and_folders_outside_of_a_repository_do_nothing(
    repository: Path, host: GitHttpServer, tmp_path: Path
) -> None:
    (repository / "out").symlink_to("/etc")
    pinned = commit(repository, run="x")
    words = ("--cache-dir", str(tmp_path / "cache"), "--command=true")
    found = await failure(*words, "--directory=out", "--", f"git:{host.url}@{pinned}")
    assert "has no folder out" in found.detail


def machine_with(tmp_path: Path, **files: str) -> Path:
    """The folder of a machine of the embedded engine, with an archive in it."""
    machine = tmp_path / "machine"
    (machine / ".catwalk").mkdir(parents=True)
    content = {name.replace("_dot_", "."): text.encode() for name, text in files.items()}
    (machine / ".catwalk" / "source.tar.gz").write_bytes(packed(content))
    return machine


ARCHIVE = "archive:/.catwalk/source.tar.gz"


async def test_a_folder_with_a_command_runs_where_it_was_unpacked(start: Start, tmp_path: Path) -> None:
    machine = machine_with(tmp_path, server_dot_py=SERVER)
    words = ("--workdir", str(machine), "--cache-dir", str(tmp_path / "cache"))
    adapter = start(ARCHIVE, options=(*words, f"--command={sys.executable}", "--command=server.py"))
    adapter.wait_for("ready")
    with anyio.fail_after(30):
        async with Client(adapter.url, mode="legacy") as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["note"]
    assert adapter.stop() == 0


async def test_a_folder_that_says_not_what_to_run_is_no_executable(tmp_path: Path) -> None:
    machine = machine_with(tmp_path, README="x")
    found = await failure("--workdir", str(machine), "--cache-dir", str(tmp_path / "cache"), "--", ARCHIVE)
    assert found.cause is Cause.NO_EXECUTABLE
    assert "neither package.json nor pyproject.toml" in found.detail


async def test_an_archive_that_is_none_or_is_missing_is_said(tmp_path: Path) -> None:
    words = ("--workdir", str(tmp_path), "--cache-dir", str(tmp_path / "cache"), "--command=true", "--", ARCHIVE)
    assert "did not come with the machine" in (await failure(*words)).detail
    (tmp_path / ".catwalk").mkdir()
    (tmp_path / ".catwalk" / "source.tar.gz").write_bytes(b"no archive")
    assert "cannot be unpacked" in (await failure(*words)).detail


@pytest.mark.registry
@pytest.mark.timeout(300)
async def test_a_node_project_is_installed_built_and_run(start: Start, tmp_path: Path) -> None:
    package = {
        "name": "@acme/notes",
        "version": "1.0.0",
        "bin": {"notes": "dist/index.js", "setup": "setup.js"},
        "scripts": {"build": "mkdir -p dist && cp server.js dist/index.js && touch setup.js", "postinstall": "exit 1"},
        "dependencies": {"is-number": "7.0.0"},
    }
    machine = machine_with(tmp_path, package_dot_json=json.dumps(package), server_dot_js=NODE_SERVER)
    adapter = start(ARCHIVE, options=("--workdir", str(machine), "--entrypoint=notes"))
    adapter.wait_for("ready", timeout_s=240)
    assert adapter.stop() == 0


@pytest.mark.registry
@pytest.mark.timeout(300)
async def test_a_python_project_is_installed_and_its_own_script_runs(start: Start, tmp_path: Path) -> None:
    project = (
        '[project]\nname = "acme-notes"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = ["idna==3.10"]\n'
        '[project.scripts]\nnotes = "notes:main"\n[build-system]\nrequires = ["setuptools"]\n'
        'build-backend = "setuptools.build_meta"\n[tool.setuptools]\npy-modules = ["notes"]\n'
    )
    module = "def main():\n" + "".join(f"    {line}\n" for line in SERVER.splitlines())
    machine = machine_with(tmp_path, pyproject_dot_toml=project, notes_dot_py=module)
    adapter = start(ARCHIVE, options=("--workdir", str(machine), "--cache-dir", str(tmp_path / "cache")))
    adapter.wait_for("ready", timeout_s=240)
    assert adapter.events("installed")[0]["executable"] == "notes"
    assert adapter.stop() == 0


def order(target: str, mode: int = 0o400) -> FileOrder:
    return FileOrder(target=target, mode=mode, staged="/.catwalk/files/0")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    staged = tmp_path / "machine" / ".catwalk" / "files" / "0"
    staged.parent.mkdir(parents=True)
    staged.write_text("the key\n", encoding="utf-8")
    return tmp_path / "machine"


@pytest.mark.parametrize("target", ["~/.ssh/id_ed25519", "/etc/app/key.json"])
def test_a_file_lies_in_the_machine_with_its_mode_and_is_found_there(machine: Path, target: str) -> None:
    placement = place_files([order(target)], machine)
    place = Path(placement(target))
    assert place.is_relative_to(machine)
    assert (place.read_text(encoding="utf-8"), stat.S_IMODE(place.stat().st_mode)) == ("the key\n", 0o400)
    assert place_files([order(target)], machine) == placement


def test_a_path_is_replaced_only_where_it_stands_as_a_whole() -> None:
    place = Placement(real={"/etc/key": "/m/etc/key"})
    for text in ("/etc/key", "--key=/etc/key", "a:/etc/key:b", "file:/etc/key"):
        assert place(text) == text.replace("/etc/key", "/m/etc/key")
    for text in ("/etc/key2", "/etc/key/x", "/m/etc/key", "/etc/key.bak", "x/etc/key"):
        assert place(text) == text


def test_a_file_that_cannot_lie_at_its_path_lies_in_the_home_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    staged = tmp_path / "staged"
    staged.write_text("x", encoding="utf-8")
    found = FileOrder(target="/proc/nowhere/key", mode=0o444, staged=str(staged))
    assert Path(place_files([found], None)(found.target)).read_text(encoding="utf-8") == "x"


def test_a_file_that_did_not_come_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(AdapterFailure, match="/etc/key did not come with the machine"):
        place_files([order("/etc/key")], tmp_path)


async def test_a_server_is_told_where_its_files_are_and_not_what_they_say(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_FILE", "~/.key")
    monkeypatch.setenv("CATWALK_FILE_KEY", base64.b64encode(b"the key\n").decode())
    words = ("--workdir", str(machine), "--file", "~/.key", "0400", "/.catwalk/files/0", "--exec")
    launch = await launched(*words, "--", "true", "--key=~/.key")
    assert launch.environment["KEY_FILE"] == str(machine / ".key")
    assert launch.command[1] == f"--key={machine / '.key'}"
    assert "CATWALK_FILE_KEY" not in launch.environment


def test_what_a_key_file_says_is_kept_out_of_the_log() -> None:
    key = '{\n  "private_key": "-----BEGIN KEY-----MIIEvQIBADANBg"\n}\n'
    mask = Mask(contents_to_mask({"CATWALK_FILE_KEY": base64.b64encode(key.encode()).decode()}))
    assert "MIIEvQ" not in mask(f"cannot parse {key}")
    assert contents_to_mask({"CATWALK_FILE_KEY": "no base64!"}) == {"CATWALK_FILE_KEY": "no base64!"}
