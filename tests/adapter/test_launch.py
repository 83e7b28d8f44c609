"""What a server is started with: its command, and what it sees of the adapter's environment."""

from pathlib import Path

import pytest

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.environment import Installed, folder_for, write_installed
from gateway.adapter.launch import prepare_launch
from gateway.adapter.log import AdapterLog, Mask
from gateway.adapter.options import parse_options


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("DEMO_TOKEN", True),
        ("PIP_DISABLE_PIP_VERSION_CHECK", True),
        ("UV_INDEX_PRIVATE_PASSWORD", False),
        ("UV_DEFAULT_INDEX", False),
        ("PIP_EXTRA_INDEX_URL", False),
        ("npm_config_registry", False),
        ("NPM_CONFIG__AUTHTOKEN", False),
        ("PYTHONPATH", False),
    ],
)
async def test_a_server_sees_its_own_settings_and_no_credential_of_an_installer(
    name: str, *, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "value")
    launch = await prepare_launch(parse_options(["--exec", "--", "true"]), AdapterLog(Mask({})))
    assert (name in launch.environment) is seen


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A cache with one installed package that has no executable of its own, but a `python` in its environment."""
    folder = folder_for(tmp_path, "pypi", "demo", "1.0", "published")
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n", encoding="utf-8")
    python.chmod(0o755)
    write_installed(folder, Installed(version="1.0", executables={}, targets={}, path=(str(python.parent),), needs=()))
    return tmp_path


async def test_a_command_runs_in_the_environment_of_a_package_without_an_executable(library: Path) -> None:
    words = ["--command=python", "--command=-m", "--command=demo.server"]
    options = parse_options(["--cache-dir", str(library), *words, "--", "pypi:demo@1.0", "--verbose"])
    launch = await prepare_launch(options, AdapterLog(Mask({})))
    program, *rest = launch.command
    assert Path(program).is_relative_to(library)
    assert rest == ["-m", "demo.server", "--verbose"]
    assert launch.environment["PATH"].startswith(str(Path(program).parent))


async def test_a_command_that_is_nowhere_is_no_executable(library: Path) -> None:
    options = parse_options(["--cache-dir", str(library), "--command=nonesuch-zz", "--", "pypi:demo@1.0"])
    with pytest.raises(AdapterFailure, match="nonesuch-zz") as failure:
        await prepare_launch(options, AdapterLog(Mask({})))
    assert failure.value.cause is Cause.NO_EXECUTABLE


@pytest.mark.parametrize("other", [["--entrypoint", "demo"], ["--exec"]], ids=["entrypoint", "exec"])
def test_a_command_goes_with_nothing_else_that_names_one(other: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--command=python", *other, "--", "pypi:demo@1.0"])
    assert "--command" in capsys.readouterr().err
