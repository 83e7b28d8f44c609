"""Which executable, which version, which date: the rules of an installation as tables."""

import json
import os
import socket
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapter.causes import AdapterFailure, Cause, exit_code
from gateway.adapter.diagnose import diagnose_exit
from gateway.adapter.install.dates import resolve_date
from gateway.adapter.install.environment import (
    Installed,
    folder_for,
    locked,
    newest_finished,
    read_installed,
    write_installed,
)
from gateway.adapter.install.executables import choose_executable
from gateway.adapter.install.nearest import missing_version
from gateway.adapter.install.process import installer_environment
from gateway.adapter.install.pypi import console_scripts
from gateway.adapter.install.semver import satisfies
from gateway.adapter.install.simple_index import normal_version, parse_releases
from gateway.adapter.lines import LineSplitter
from gateway.adapter.listening import listening_ports
from gateway.adapter.log import Mask
from gateway.adapter.package import BadPackage, PackageRef, Registry, parse_package
from gateway.adapter.upstream import CrashBudget


def test_the_exit_codes_are_those_of_the_runner_contract():
    assert {cause.value: exit_code(cause) for cause in Cause} == {
        "package-not-found": 70,
        "version-not-found": 71,
        "no-executable": 72,
        "runtime-unavailable": 73,
        "install-failed": 74,
        "missing-variable": 75,
        "missing-arguments": 76,
        "port-in-use": 77,
        "out-of-memory": 78,
        "crash-loop": 79,
        "not-an-mcp-server": 80,
        "timeout": 81,
        "registry-unavailable": 82,
        "integrity-mismatch": 83,
    }


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("npm:@scope/name@1.2.3", "@scope/name", "1.2.3"),
        ("npm:@scope/name", "@scope/name", None),
        ("npm:plain@1.0.0-beta.1", "plain", "1.0.0-beta.1"),
        ("pypi:mcp-server-time@2026.10.19", "mcp-server-time", "2026.10.19"),
        ("pypi:Some.Name", "Some.Name", None),
    ],
)
def test_a_package_is_read(text: str, name: str, version: str | None):
    package = parse_package(text)
    assert (package.name, package.version, str(package)) == (name, version, text)


@pytest.mark.parametrize(
    "text", ["chalk", "npm:", "npm:-x@1", "npm:a@--x", "pypi:a/b", "npm:../x", "gem:x", "npm:a@1 2"]
)
def test_what_is_no_package_is_refused(text: str):
    with pytest.raises(BadPackage):
        parse_package(text)


def ref(name: str, registry: Registry = Registry.NPM) -> PackageRef:
    return PackageRef(registry=registry, name=name, version="1.0.0")


@pytest.mark.parametrize(
    ("package", "targets", "wanted", "chosen"),
    [
        pytest.param(ref("a"), {"server": "x"}, None, "server", id="the only one"),
        pytest.param(ref("@s/a"), {"a": "x", "setup": "y"}, None, "a", id="named like the package"),
        pytest.param(ref("a"), {"x": "same", "y": "same"}, None, "x", id="all the same program"),
        pytest.param(ref("a"), {"x": "1", "y": "2"}, "y", "y", id="asked for"),
        pytest.param(ref("My_Pkg", Registry.PYPI), {"my-pkg": "1", "z": "2"}, None, "my-pkg", id="normalised"),
        pytest.param(ref("a", Registry.PYPI), {"b-mcp": "1", "c": "2"}, None, "b-mcp", id="the only one with mcp"),
    ],
)
def test_the_executable_is_chosen(package: PackageRef, targets: dict[str, str], wanted: str | None, chosen: str):
    assert choose_executable(package, targets, wanted) == chosen


@pytest.mark.parametrize(
    ("package", "targets", "wanted", "shown"),
    [
        pytest.param(ref("chalk"), {}, None, "no bin", id="library"),
        pytest.param(ref("a"), {"x": "1", "y": "2"}, None, "x, y", id="several"),
        pytest.param(ref("a"), {"x": "1"}, "z", "it has x", id="asked for another"),
        pytest.param(ref("a"), {"b-mcp": "1", "c": "2"}, None, "b-mcp, c", id="mcp is no rule for npm"),
    ],
)
def test_no_executable_is_guessed(package: PackageRef, targets: dict[str, str], wanted: str | None, shown: str):
    with pytest.raises(AdapterFailure, match=shown) as caught:
        choose_executable(package, targets, wanted)
    assert caught.value.cause is Cause.NO_EXECUTABLE


@pytest.mark.parametrize(
    ("version", "wanted", "inside"),
    [
        ("v20.20.2", None, True),
        ("v20.20.2", ">=18", True),
        ("v20.20.2", ">=22", False),
        ("v24.19.0", "^22.22.3 || ^24.15.0 || >=26.0.0", True),
        ("v20.20.2", "^22.22.3 || ^24.15.0 || >=26.0.0", False),
        ("v20.5.0", "~20.5", True),
        ("v20.6.0", "~20.5", False),
        ("v20.6.0", "20.x", True),
        ("v20.6.0", "20 || 22", True),
        ("v20.6.0", ">= 20 < 21", True),
        ("v21.0.0", ">=20 <21", False),
        ("v20.0.0", "18 - 20", True),
        ("v21.0.0", "18 - 20", False),
        ("v20.0.1", ">20.0.0", True),
        ("v20.9.0", ">20", False),
        ("v20.9.0", "<=20", True),
        ("v20.9.0", "*", True),
        ("v20.9.0", "no range at all!", True),
    ],
)
def test_engines_are_understood_as_npm_does(version: str, wanted: str | None, inside: bool):
    assert satisfies(version, wanted) is inside


@pytest.mark.parametrize(
    ("wanted", "published", "date"),
    [
        ("latest", "2025-04-25T10:00:00Z", None),
        ("published", "2025-04-25T10:00:00.123+00:00", "2025-04-26T10:00:00Z"),
        ("published", None, None),
        ("published", "nonsense", None),
        ("2025-01-31", "2025-04-25T10:00:00Z", "2025-01-31T00:00:00Z"),
    ],
)
def test_dependencies_are_resolved_as_of_a_date(wanted: str, published: str | None, date: str | None):
    assert resolve_date(wanted, published) == date


def test_a_missing_version_names_the_nearest():
    text = missing_version("npm:a", "1.2.4", ["0.1.0", "10.0.0", "1.2.3", "9.9.9"])
    assert text == "npm:a has no version 1.2.4; the nearest: 1.2.3, 9.9.9, 10.0.0"
    assert missing_version("npm:a", "1", []) == "npm:a has no version 1"


def test_releases_are_read_from_the_index():
    files = [
        {"filename": "a_b-1.0-py3-none-any.whl", "upload-time": "2025-02-01T00:00:00Z", "requires-python": ">=3.10"},
        {"filename": "a_b-1.0.tar.gz", "upload-time": "2025-01-01T00:00:00Z"},
        {"filename": "a_b-2.0.tar.gz", "yanked": True},
        {"filename": "a_b-03.1.zip"},
        {"filename": "a_b-1.0.exe"},
    ]
    releases = parse_releases({"files": files})
    assert sorted(releases) == ["1.0", "3.1"]
    assert (releases["1.0"].published, releases["1.0"].requires_python) == ("2025-01-01T00:00:00Z", ">=3.10")
    assert normal_version("V2026.010.1") == "2026.10.1"


def test_only_the_console_scripts_of_the_package_itself_count(tmp_path: Path):
    site = tmp_path / "lib" / "python3.13" / "site-packages"
    for name, text in (
        ("my_pkg-1.0", "[console_scripts]\nServe = my:main\n"),
        ("dep-1.0", "[console_scripts]\nx = y:z\n"),
    ):
        (site / f"{name}.dist-info").mkdir(parents=True)
        (site / f"{name}.dist-info" / "entry_points.txt").write_text(text, encoding="utf-8")
    assert console_scripts(tmp_path, "My.Pkg") == {"Serve": "my:main"}
    assert console_scripts(tmp_path, "absent") == {}


def test_installers_see_their_own_settings_and_no_secret():
    given_environment = {
        "PATH": "/bin",
        "UV_INDEX_URL": "u",
        "npm_config_registry": "r",
        "HTTPS_PROXY": "p",
        "API_TOKEN": "t",
    }
    assert set(installer_environment(given_environment)) == {
        "PATH",
        "UV_INDEX_URL",
        "npm_config_registry",
        "HTTPS_PROXY",
    }


def installed(folder: Path) -> Installed:
    return Installed(version="1", executables={}, targets={}, path=(str(folder),), needs=(str(folder),))


def test_a_folder_counts_only_when_its_marker_and_its_needs_are_there(tmp_path: Path):
    folder = folder_for(tmp_path, "npm", "@s/a", "1", "published")
    folder.mkdir(parents=True)
    assert read_installed(folder) is None
    write_installed(folder, installed(folder))
    assert read_installed(folder) == installed(folder)
    assert newest_finished(tmp_path, "npm", "@s/a") == installed(folder)
    assert newest_finished(tmp_path, "npm", "@s/ab") is None
    write_installed(folder, Installed(version="1", executables={}, targets={}, path=(), needs=("/nonexistent",)))
    assert read_installed(folder) is None


async def test_two_installations_into_one_folder_take_turns(tmp_path: Path):
    inside, most = 0, 0

    async def install() -> None:
        nonlocal inside, most
        async with locked(tmp_path / "x"):
            inside += 1
            most = max(most, inside)
            await anyio.lowlevel.checkpoint()
            inside -= 1

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(install)
    assert most == 1


@pytest.mark.parametrize(
    ("status", "lines", "cause"),
    [
        (1, ["Error: BRAVE_API_KEY environment variable is required"], Cause.MISSING_VARIABLE),
        (1, ["pydantic_core.ValidationError", "API key is missing"], Cause.MISSING_VARIABLE),
        (2, ["usage: x [-h]", "x: error: the following arguments are required: path"], Cause.MISSING_ARGUMENTS),
        (1, ["Please provide a database URL"], Cause.MISSING_ARGUMENTS),
        (2, ["bad"], Cause.MISSING_ARGUMENTS),
        (1, ["AttributeError: 'Server' object has no attribute 'list_resources'"], Cause.CRASH_LOOP),
        (1, ["Error: Cannot find module 'zod'"], Cause.CRASH_LOOP),
        (127, ["x: error while loading shared libraries: libodbc.so.2"], Cause.RUNTIME_UNAVAILABLE),
        (-9, [], Cause.OUT_OF_MEMORY),
        (1, ["Error: listen EADDRINUSE: address already in use :::3000"], Cause.PORT_IN_USE),
        (1, ["NOTES_API_KEY not set, search is disabled", "RuntimeError: no index"], Cause.CRASH_LOOP),
        (1, ["warning: NOTES_API_KEY is not set"], Cause.MISSING_VARIABLE),
        (0, [], Cause.NOT_AN_MCP_SERVER),
        (1, [], Cause.CRASH_LOOP),
    ],
)
def test_the_cause_of_an_early_end_is_told_from_what_was_written(status: int, lines: list[str], cause: Cause):
    assert diagnose_exit(status, lines).cause is cause


@given(
    st.lists(st.binary(min_size=1, max_size=20).filter(lambda each: b"\n" not in each and each.strip()), max_size=8),
    st.data(),
)
def test_lines_are_found_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject):
    stream = b"".join(line + b"\n" for line in lines)
    splitter, found, at = LineSplitter(1000), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 30))
        found += splitter.feed(stream[at : at + size])
        at += size
    assert found == lines
    assert splitter.rest() == b""


def test_a_line_above_the_limit_is_dropped_and_the_next_one_kept():
    splitter = LineSplitter(4)
    assert splitter.feed(b"toolong") == []
    assert splitter.feed(b"er\nok\n") == [b"ok"]
    assert len(splitter.oversized()) == 1


def test_six_ends_within_a_minute_use_up_the_budget_and_slow_ones_do_not():
    fast, slow = CrashBudget(), CrashBudget()
    assert [fast.note(float(second)) for second in range(6)] == [0.0, 0.2, 0.5, 1.0, 2.0, None]
    assert [slow.note(61.0 * turn) for turn in range(10)] == [0.0] * 10


def test_credentials_are_masked_by_the_name_of_their_variable():
    mask = Mask({"MY_TOKEN": "abcdef123", "HOME": "/home/me", "SHORT_KEY": "abc"})
    assert mask("token abcdef123 in /home/me abc") == "token [MY_TOKEN] in /home/me abc"
    assert json.loads(mask(json.dumps({"a": "abcdef123"}))) == {"a": "[MY_TOKEN]"}


def test_the_ports_of_a_process_group_are_found():
    if not Path("/proc/net/tcp").exists():
        pytest.skip("there is no /proc here")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert listener.getsockname()[1] in listening_ports(os.getpgid(0))
    assert listening_ports(2**22 + 1) == []
