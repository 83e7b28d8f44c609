"""`--environment`: which overlays a command lays over the manifests, and whose state it sees."""

import json
from pathlib import Path

import pytest

from reconciler.cli.main import run
from reconciler.cli.place import find_place
from reconciler.errors import EnvironmentFault
from reconciler.settings import in_environment, read_settings

MANIFEST = "apiVersion: catwalk.dev/v1\nfleet: acme\nservers:\n  time: {package: 'pypi:mcp-server-time@2026.10.19'}\n"
GOOD = "fleet: acme-staging\nservers:\n  time: {args: [--local-timezone=UTC]}\n"
BAD = "fleet: acme-test\nservers:\n  time: {vm: {memory_mb: 300}}\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    files = {"catwalk.yaml": MANIFEST, "catwalk.staging.yaml": GOOD, "catwalk.test.yaml": BAD}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[tuple[str, str]]]:
    code = run(["validate", "--offline", "--json", *arguments])
    found = json.loads(capsys.readouterr().out)["findings"]
    return code, [(Path(each["file"]).name, each["code"]) for each in found]


def test_without_an_environment_every_overlay_is_checked(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(capsys, str(fleet)) == (1, [("catwalk.test.yaml", "bad-size")])


def test_an_environment_is_checked_alone(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(capsys, str(fleet), "--environment", "staging") == (0, [])
    assert findings(capsys, str(fleet), "--environment", "test") == (1, [("catwalk.test.yaml", "bad-size")])


def test_the_environment_may_stand_in_the_settings(
    fleet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATWALK_ENVIRONMENT", "test")
    assert findings(capsys, str(fleet))[0] == 1
    assert findings(capsys, str(fleet), "--environment", "staging")[0] == 0


def test_an_environment_that_no_manifest_knows_is_refused(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--offline", str(fleet), "--environment", "stagin"]) == 1
    assert "did you mean `staging`?" in capsys.readouterr().out


def test_each_environment_has_state_of_its_own(fleet: Path) -> None:
    places = [find_place(fleet, in_environment(read_settings({}), name)).state_dir for name in ("", "staging", "test")]
    assert places == [fleet / ".catwalk", fleet / ".catwalk" / "staging", fleet / ".catwalk" / "test"]


@pytest.mark.parametrize("name", ["../x", "Staging", "a b", "-a", "a/b"])
def test_what_is_no_name_of_an_environment_leads_nowhere(name: str) -> None:
    with pytest.raises(EnvironmentFault, match="lower-case letters"):
        in_environment(read_settings({}), name)
    with pytest.raises(EnvironmentFault, match="lower-case letters"):
        read_settings({"CATWALK_ENVIRONMENT": name})
