"""`catwalk doctor` from outside: each thing that may be missing is told with its fix, and no secret is shown."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

from reconciler.cli.main import run
from reconciler.core.secret import SecretValue
from tests.sources.local_registry import LocalRegistry, local_registry

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: acme
fly: {organization: acme}
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    secrets: {TOKEN: }
"""
TOKEN = "fm2_canary-5a5a"
Found = dict[str, dict[str, str]]
Doctor = Callable[..., Found]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    directory = tmp_path / "fleet"
    directory.mkdir()
    (directory / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    return directory


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRegistry]:
    """Stands in for Fly and for GitHub."""
    with local_registry() as local:
        monkeypatch.setenv("FLY_API_TOKEN", TOKEN)
        monkeypatch.setenv("CATWALK_FLY_API_URL", local.url)
        yield local


@pytest.fixture
def doctor(fleet: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    def call(*options: str, code: int = 0) -> Found:
        found = run(["doctor", str(fleet), "--json", *options])
        captured = capsys.readouterr()
        assert found == code, captured.out + captured.err
        assert TOKEN not in captured.out + captured.err
        return {each["subject"]: each for each in json.loads(captured.out)}

    return call


def test_a_machine_with_nothing_set_up_is_well_and_told_what_more_there_is(doctor: Doctor) -> None:
    found = doctor()
    assert found["manifests"]["found"] == "fleet acme, 1 server"
    assert found["Fly"]["health"] == "absent"
    assert "fly tokens create org" in found["Fly"]["fix"]
    assert found["running"]["health"] == "absent"


def test_offline_asks_nobody(doctor: Doctor, api: LocalRegistry) -> None:
    assert "Fly" not in doctor("--offline")
    assert api.calls == []


def test_a_token_that_fits_the_manifest_is_good(doctor: Doctor, api: LocalRegistry) -> None:
    api.put("/v1/tokens/current", {"tokens": [{"org_slug": "acme"}]})
    found = doctor()
    assert (found["Fly"]["health"], found["Fly"]["found"]) == ("good", "the token is good for acme")
    assert found["clock"]["health"] == "good"


def test_a_token_for_another_organization_is_bad(doctor: Doctor, api: LocalRegistry) -> None:
    api.put("/v1/tokens/current", {"tokens": [{"org_slug": "other"}]})
    found = doctor(code=1)
    assert "the token is for other, the manifest for acme" in found["Fly"]["found"]
    assert "fly tokens create org -o acme" in found["Fly"]["fix"]


def test_a_token_that_is_refused_is_bad(doctor: Doctor, api: LocalRegistry) -> None:
    api.put("/v1/tokens/current", {"error": "unauthorized"}, status=401)
    assert doctor(code=1)["Fly"]["health"] == "bad"


@pytest.mark.parametrize(("can_push", "health"), [(True, "good"), (False, "warning")])
def test_what_a_token_may_do_on_github_is_told(
    doctor: Doctor, api: LocalRegistry, monkeypatch: pytest.MonkeyPatch, can_push: bool, health: str
) -> None:
    monkeypatch.delenv("FLY_API_TOKEN")
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_canary-5a5a")
    monkeypatch.setenv("GITHUB_API_URL", api.url)
    monkeypatch.setenv("CATWALK_REPO_URL", "https://127.0.0.1:9/acme/fleet")
    api.put("/repos/acme/fleet", {"full_name": "acme/fleet", "private": True, "permissions": {"push": can_push}})
    found = doctor(code=1)
    assert (found["GitHub"]["health"], "acme/fleet" in found["GitHub"]["found"]) == (health, True)
    assert found["repository"]["health"] == "bad"


def test_a_repository_that_answers_is_named_with_its_newest_commit(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    commit = ["git", *author, "-C", str(repository), "commit", "--quiet", "--allow-empty", "--message=Begin"]
    subprocess.run(commit, check=True)
    monkeypatch.setenv("CATWALK_REPO_URL", repository.as_uri())
    found = doctor()
    assert found["repository"]["health"] == "good"
    assert found["repository"]["found"].endswith("Begin")


def test_a_file_that_no_key_of_this_person_opens_is_bad(
    doctor: Doctor, fleet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, mine = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    (fleet / ".sops.yaml").write_text(f"creation_rules:\n  - age: {theirs.to_public()}\n", encoding="utf-8")
    monkeypatch.setattr("reconciler.cli.secrets_set.read_secret", lambda *_, **__: SecretValue("value"))
    assert run(["secrets", "set", "time", "TOKEN", "-C", str(fleet)]) == 0
    capsys.readouterr()
    monkeypatch.setenv("SOPS_AGE_KEY", str(mine))
    assert "TOKEN.sops.yaml" in doctor(code=1)["keys"]["found"]
    monkeypatch.setenv("SOPS_AGE_KEY", str(theirs))
    assert doctor()["keys"]["found"] == "all 1 encrypted files open"


def test_a_setting_that_does_not_exist_is_one_of_the_answers(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATWALK_STATEDIR", "x")
    assert doctor(code=1)["settings"]["fix"] == "did you mean CATWALK_STATE_DIR?"


def test_a_manifest_that_is_wrong_is_told_with_its_place(doctor: Doctor, fleet: Path) -> None:
    (fleet / "catwalk.yaml").write_text("apiVersion: catwalk.dev/v1\nfleet: Acme\n", encoding="utf-8")
    assert "catwalk.yaml:2:8" in doctor(code=1)["manifests"]["found"]


def test_a_database_that_does_not_answer_is_bad(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is an extra")
    monkeypatch.setenv("CATWALK_DATABASE_URL", "postgresql://catwalk:canary@127.0.0.1:9/catwalk")
    found = doctor(code=1)["database"]
    assert found["health"] == "bad"
    assert "canary" not in found["found"]


def test_people_get_a_table(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", str(fleet), "--offline"]) == 0
    assert "fleet acme, 1 server" in capsys.readouterr().out
