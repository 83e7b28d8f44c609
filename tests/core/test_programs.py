"""What machines run when it is no package: their configuration, word by word."""

import base64
import gzip
import io
import json
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.archive import folder_digest, packed, packed_text
from reconciler.core.drift import field_changes
from reconciler.core.programs import (
    FolderProgram,
    GitProgram,
    ImageProgram,
    PlacedFile,
    app_secret_names,
    app_secret_value,
    declared_name,
)
from reconciler.core.resolve import resolve
from reconciler.core.secret import SecretValue
from reconciler.core.serving import Serving, TransportType
from reconciler.core.types import PackageReference, Program, Registry, ServerSpec
from reconciler.fly.normalise import normalise

COMMIT = "8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e"
PACKAGE = PackageReference(registry=Registry.NPM, name="x", version="1.0.0")
GIT = GitProgram(url="https://github.com/acme/wiki", commit=COMMIT, runtime="python", directory="server")
IMAGE = ImageProgram(reference="ghcr.io/acme/search@sha256:" + "0" * 64)
FILES = (
    PlacedFile(path="/etc/app.json", mode=0o644, content="{}"),
    PlacedFile(path="~/.ssh/id_ed25519", mode=0o400, secret="KEY"),
)


def content(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def folder(**files: bytes) -> FolderProgram:
    return FolderProgram(path="notes", digest=folder_digest(files), archive=packed_text(files))


def config(program: Program, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  # Tests name the fields that they change.
    spec = ServerSpec(fleet="acme", name="s", package=program, **fields)
    (machine,) = resolve(spec, runner_image="catwalk-runner:1", secret_digests={}).machines
    return dict(json.loads(machine.config))


def test_a_commit_is_told_to_the_adapter_with_its_runtime_and_folder() -> None:
    assert config(GIT, arguments=("--verbose",))["init"] == {
        "cmd": [
            *("--runtime", "python", "--directory", "server", "--"),
            f"git:https://github.com/acme/wiki@{COMMIT}",
            "--verbose",
        ]
    }


def test_a_command_and_files_are_told_to_the_adapter_and_the_files_wait_where_it_finds_them() -> None:
    found = config(PACKAGE, command=("python", "-m", "x"), files=FILES)
    assert found["init"] == {
        "cmd": [
            *("--command=python", "--command=-m", "--command=x"),
            *("--file", "/etc/app.json", "0644", "/.catwalk/files/0"),
            *("--file", "~/.ssh/id_ed25519", "0400", "/.catwalk/files/1"),
            *("--", "npm:x@1.0.0"),
        ]
    }
    assert found["files"] == [
        {"guest_path": "/.catwalk/files/0", "mode": 0o444, "raw_value": base64.b64encode(b"{}").decode()},
        {"guest_path": "/.catwalk/files/1", "mode": 0o444, "secret_name": "CATWALK_FILE_KEY"},
    ]


def test_a_folder_travels_with_the_machine_and_only_its_own_change_changes_the_machine() -> None:
    found = config(folder(main=b"print()"))
    assert found["init"] == {"cmd": ["--", "archive:/.catwalk/source.tar.gz"]}
    assert [file["guest_path"] for file in found["files"]] == ["/.catwalk/source.tar.gz"]
    assert config(folder(main=b"print()")) == found
    assert config(folder(main=b"exit()")) != found


def test_an_image_runs_without_the_adapter_at_its_own_port() -> None:
    serving = Serving(transport=TransportType.STREAMABLE_HTTP, port=3000)
    found = config(IMAGE, serving=serving, files=FILES[:1], command=("serve",), arguments=("--fast",))
    assert (found["image"], found["init"]) == (IMAGE.reference, {"entrypoint": ["serve"], "cmd": ["--fast"]})
    assert found["files"] == [{"guest_path": "/etc/app.json", "mode": 0o644, "raw_value": "e30="}]
    (service,) = found["services"]
    assert service["internal_port"] == 3000
    assert service["checks"] == [{"type": "tcp", "interval": "5s", "timeout": "4s", "grace_period": "5s"}]
    assert config(IMAGE)["init"] == {}


@pytest.mark.parametrize("program", [PACKAGE, GIT, folder(a=b"b"), IMAGE], ids=["package", "git", "folder", "image"])
def test_a_configuration_that_is_read_back_is_no_drift(program) -> None:
    for wanted in (config(program), config(program, files=FILES, command=("run",), arguments=("x",))):
        assert normalise({**wanted, "metadata": {}}) == wanted


def test_the_plan_shows_that_a_folder_changed_and_not_its_bytes() -> None:
    before, after = (json.dumps(config(folder(main=content))) for content in (b"a", b"b"))
    (change,) = field_changes(before, after)
    assert change.path == "files[0].raw_value"
    assert change.after.startswith('"sha256:')
    assert len(change.after) < 30


def test_a_secret_that_becomes_a_file_is_no_variable() -> None:
    names = app_secret_names(["KEY", "TOKEN"], FILES)
    assert names == ("CATWALK_FILE_KEY", "TOKEN")
    assert [declared_name(name) for name in names] == ["KEY", "TOKEN"]
    assert app_secret_value("CATWALK_FILE_KEY", SecretValue("a\n")) == SecretValue("YQo=")
    assert app_secret_value("TOKEN", SecretValue("a")) == SecretValue("a")


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}", fullmatch=True), st.binary(max_size=50)))
def test_a_folder_unpacks_to_what_was_packed_in_any_order(files) -> None:
    backwards = dict(reversed(files.items()))
    assert (packed(files), folder_digest(files)) == (packed(backwards), folder_digest(backwards))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed(files)))) as archive:
        assert {name: content(archive, name) for name in archive.getnames()} == files


def test_scripts_may_be_executed() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed({"run.sh": b"#!/bin/sh\n", "data": b"x"}))) as archive:
        assert [(entry.name, entry.mode) for entry in archive] == [("data", 0o644), ("run.sh", 0o755)]
