"""What `catwalk serve` asks for before it begins, to whom it lends which credential, and what its log lines say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.admission import Admission
from gateway.problems import Refused
from reconciler.cli.machines_doors import flycast
from reconciler.cli.main import run
from reconciler.cli.repository import github_repository, remote_source
from reconciler.cli.service_settings import require_service, service_gateway
from reconciler.cli.serving_fleet import HEALTH_JITTER_S, HEALTH_S
from reconciler.errors import CatwalkError, EnvironmentFault
from reconciler.fly.probe import DataPath
from reconciler.settings import KNOWN_VARIABLES, Settings, read_settings
from reconciler.sops.identities import KEY_FILE_VARIABLE, KEY_VARIABLE
from reconciler.sources.git import HttpsToken, SshKey

ROOT = Path(__file__).resolve().parents[2]
GITHUB = "https://github.com/acme/fleet"
COMPLETE = {"CATWALK_REPO_URL": GITHUB, "FLY_API_TOKEN": "fm2_x", "CATWALK_PUBLIC_URL": "https://mcp.acme.example"}
KEY = b"k" * 32


def faults(settings: Settings, *, host: str = "0.0.0.0") -> list[str]:
    with pytest.raises(ExceptionGroup) as caught:
        require_service(settings, host=host)
    return [str(error) for error in caught.value.exceptions]


def test_everything_that_is_missing_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["serve"]) == 3
    told = capsys.readouterr().err
    for name in ("CATWALK_REPO_URL", "FLY_API_TOKEN", "CATWALK_PUBLIC_URL"):
        assert name in told
    assert not list(tmp_path.iterdir()), "nothing is created for a service that cannot start"


def test_a_complete_service_may_start() -> None:
    require_service(read_settings(COMPLETE), host="0.0.0.0")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_no_public_address_is_needed(host: str) -> None:
    require_service(read_settings({**COMPLETE, "CATWALK_PUBLIC_URL": ""}), host=host)


@pytest.mark.parametrize(
    "url", ["mcp.acme.example", "https://", "https://u:p@h", "https://h/path", "ftp://h", "http://[h"]
)
def test_a_public_address_is_scheme_and_host(url: str) -> None:
    [told] = faults(read_settings({**COMPLETE, "CATWALK_PUBLIC_URL": url}))
    assert "CATWALK_PUBLIC_URL" in told


@pytest.mark.parametrize(
    ("host", "accepted"),
    [("mcp.acme.example", True), ("127.0.0.1:8080", True), ("localhost:8080", True), ("evil.example", False)],
)
def test_the_gateway_answers_its_public_name_and_this_machine(host: str, accepted: bool) -> None:
    admission = Admission(service_gateway(read_settings(COMPLETE), host="0.0.0.0", session_key=KEY))
    if accepted:
        admission.check(host=host.encode(), origin=None)
        return
    with pytest.raises(Refused):
        admission.check(host=host.encode(), origin=None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GITHUB_TOKEN": "hub"}, "hub"),
        ({"GITHUB_TOKEN": "hub", "CATWALK_GIT_TOKEN": "git"}, "git"),
        ({"CATWALK_REPO_URL": "https://acme.ghe.com/acme/fleet", "GITHUB_TOKEN": "hub"}, "hub"),
        ({"CATWALK_REPO_URL": "https://gitlab.example/acme/fleet", "GITHUB_TOKEN": "hub"}, None),
        ({"CATWALK_REPO_URL": "https://gitlab.example/acme/fleet", "CATWALK_GIT_TOKEN": "git"}, "git"),
        (
            {
                "CATWALK_REPO_URL": "https://git.acme.example/acme/fleet",
                "GITHUB_API_URL": "https://git.acme.example/api/v3",
                "GITHUB_TOKEN": "hub",
            },
            "hub",
        ),
        ({}, None),
    ],
    ids=["github", "own-token", "ghe-cloud", "elsewhere-gets-none", "elsewhere", "enterprise-server", "public"],
)
def test_a_token_goes_to_its_own_host_alone(environment: dict[str, str], expected: str | None, tmp_path: Path) -> None:
    source = remote_source(read_settings({**COMPLETE, **environment}), tmp_path, directory="")
    given = source.credentials.token.reveal() if isinstance(source.credentials, HttpsToken) else None
    assert given == expected


def test_statuses_go_to_no_host_that_is_not_said_to_be_github() -> None:
    assert github_repository(read_settings({"CATWALK_REPO_URL": "https://gitlab.example/acme/fleet"})) is None
    assert str(github_repository(read_settings(COMPLETE))) == "github.com/acme/fleet"


@pytest.mark.parametrize("where", ["CATWALK_SSH_KEY", "CATWALK_SSH_KEY_FILE"])
def test_ssh_takes_its_key_as_text_or_from_a_file(where: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("PRIVATE", encoding="utf-8")
    value = str(file) if where.endswith("_FILE") else "PRIVATE"
    settings = read_settings({"CATWALK_REPO_URL": "git@git.acme.example:acme/fleet", where: value})
    source = remote_source(settings, tmp_path, directory="")
    assert isinstance(source.credentials, SshKey)
    assert source.credentials.private_key.reveal() == "PRIVATE"


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = read_settings({"CATWALK_REPO_URL": "git@h.example:a/b", "CATWALK_SSH_KEY_FILE": str(tmp_path / "no")})
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        remote_source(settings, tmp_path, directory="")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", DataPath()),
        ("http://127.0.0.1:4281", DataPath(host="127.0.0.1", port=4281)),
        ("http://flycast.internal", DataPath(host="flycast.internal", port=80)),
    ],
)
def test_flycast_has_its_names_or_one_stand_in(url: str, expected: DataPath) -> None:
    assert flycast(url) == expected


@pytest.mark.parametrize("url", ["127.0.0.1:80", "https://h", "http://h:x", "http://h/path", "http://"])
def test_a_stand_in_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(CatwalkError, match="CATWALK_FLYCAST_URL"):
        flycast(url)


def test_the_settings_table_is_complete() -> None:
    readme = (ROOT / "reconciler" / "cli" / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Settings")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    settings = (ROOT / "reconciler" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"((?:FLY_API|GITHUB)_[A-Z_]+)"', settings))
    assert told == KNOWN_VARIABLES | read | {KEY_VARIABLE, KEY_FILE_VARIABLE}


def test_looks_of_a_service_are_close_enough_to_know_a_crash_in_15_s() -> None:
    longest_gap_s, check_interval_s = HEALTH_S + 2 * HEALTH_JITTER_S, 4
    assert longest_gap_s + check_interval_s <= 15


LOGGING = """
import logging, structlog
from reconciler.cli.log_output import send_json_logs_to_stderr
from reconciler.cli.progress_log import EndOfLogContext, LogContext, LogProgress
from reconciler.core.types import Trigger
from reconciler.loop.progress import Chorus, PassStarted
from datetime import UTC, datetime
send_json_logs_to_stderr(level=logging.INFO)
Chorus(LogContext()).on_event(PassStarted(number=7, trigger=Trigger.POLL, at=datetime(2026, 1, 1, tzinfo=UTC)))
structlog.get_logger("deep").warning("something", cause="x")
structlog.get_logger("deep").debug("not shown")
logging.getLogger("library").warning("from %s", "a library")
try:
    password = "canary-7c1e"
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("deep").error("broken", exc_info=True)
"""


def test_every_log_line_is_json_and_knows_its_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["something", "from a library", "broken"]
    assert {(line["pass_number"], line["trigger"]) for line in lines} == {(7, "poll")}
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[-1]["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "canary-7c1e" not in done.stderr
    assert not done.stdout
