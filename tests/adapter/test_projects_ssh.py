"""A private repository over ssh, opened by a key that is a file of the server."""

import stat
from pathlib import Path

import pytest

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.child import Launch
from gateway.adapter.launch import prepare_launch
from gateway.adapter.log import AdapterLog, Mask
from gateway.adapter.options import parse_options
from tests.sources.conftest import Repository, SshServer, git_ssh, repository

__all__ = ["git_ssh", "repository"]
"""Fixtures of the sources, where the same servers are needed."""


async def fetched(machine: Path, project: str, key: str) -> Launch:
    staged = machine / ".catwalk" / "files" / "0"
    staged.parent.mkdir(parents=True)
    staged.write_text(key, encoding="utf-8")
    place = ("--workdir", str(machine), "--cache-dir", str(machine / "cache"))
    file = ("--file", "~/.ssh/id_ed25519", "0600", "/.catwalk/files/0")
    return await prepare_launch(parse_options([*place, *file, "--command=true", "--", project]), AdapterLog(Mask({})))


async def test_a_key_in_the_home_of_the_server_opens_the_repository(
    tmp_path: Path, repository: Repository, git_ssh: SshServer
) -> None:
    repository.write("server.py", b"print()\n")
    commit = repository.commit()
    launch = await fetched(tmp_path / "machine", f"git:{git_ssh.url('root')}@{commit}", git_ssh.private_key)
    assert launch.workdir is not None
    assert (launch.workdir / "server.py").read_bytes() == b"print()\n"
    assert stat.S_IMODE((tmp_path / "machine" / ".ssh" / "id_ed25519").stat().st_mode) == 0o600


async def test_a_key_that_opens_nothing_is_told_as_such(
    tmp_path: Path, repository: Repository, git_ssh: SshServer
) -> None:
    commit = repository.commit()
    with pytest.raises(AdapterFailure) as caught:
        await fetched(tmp_path / "machine", f"git:{git_ssh.url('root')}@{commit}", git_ssh.stranger)
    assert caught.value.cause is Cause.PACKAGE_NOT_FOUND
    assert "~/.ssh/id_ed25519" in caught.value.detail
