"""`catwalk secrets` from outside: files, output and exit codes. No value shows unless it is asked for."""

import base64
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from reconciler.cli.main import run
from reconciler.sops.errors import WrongPlace
from reconciler.sops.identities import load_identities
from reconciler.sops.secret_file import read_secret_file

MANIFEST = """\
# The fleet.
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  github:
    package: npm:@modelcontextprotocol/server-github@2025.4.8   # pinned
  time:
    package: pypi:mcp-server-time@2026.10.19
"""
CANARY = "canary-5d1c-plaintext"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    directory = tmp_path / "fleet"
    directory.mkdir()
    (directory / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    return directory


class Shell:
    """Runs commands and keeps everything that they print, so that a test can search it for secrets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.printed = ""
        self.out = ""

    def __call__(self, *arguments: str | Path, stdin: bytes | str = b"", code: int = 0, terminal: bool = False) -> str:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        keyboard = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
        keyboard.isatty = lambda: terminal
        self._monkeypatch.setattr("sys.stdin", keyboard)
        found = run(["secrets", *map(str, arguments)])
        captured = self._capsys.readouterr()
        self.printed += captured.out + captured.err
        self.out = captured.out
        assert found == code, captured.out + captured.err
        return captured.out + captured.err


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture
def ready(fleet: Path, secrets: Shell) -> Path:
    """A fleet with a key and one secret."""
    secrets("init", fleet)
    secrets("set", "github", "TOKEN", "-C", fleet, stdin=f"{CANARY}\n")
    return fleet


def new_recipient() -> tuple[str, str]:
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def key_of(fleet: Path) -> str:
    return (fleet.parent / "config" / "catwalk" / "acme.agekey").read_text(encoding="utf-8")


# init


def test_init_makes_a_private_key_outside_the_repository_and_rules_inside(fleet: Path, secrets: Shell) -> None:
    record = json.loads(secrets("init", fleet, "--json"))
    key_file = Path(record["key_file"])
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert record["recipient"] in (fleet / ".sops.yaml").read_text(encoding="utf-8")
    assert (fleet / ".env").read_text(encoding="utf-8") == f"SOPS_AGE_KEY_FILE={key_file}\n"
    assert ".env" in (fleet / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "AGE-SECRET-KEY" not in secrets.printed
    assert load_identities({"SOPS_AGE_KEY_FILE": str(key_file)}).recipients == (record["recipient"],)


def test_a_second_init_changes_nothing(ready: Path, secrets: Shell) -> None:
    before = {path: path.read_bytes() for path in ready.parent.rglob("*") if path.is_file()}
    assert "recipients add age1" in secrets("init", ready)
    assert {path: path.read_bytes() for path in ready.parent.rglob("*") if path.is_file()} == before


def test_a_second_person_gets_a_key_and_is_told_who_lets_them_in(
    ready: Path, secrets: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (ready / ".env").unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "second"))
    before = (ready / ".sops.yaml").read_bytes()
    assert "catwalk secrets recipients add age1" in secrets("init", ready)
    assert (ready / ".sops.yaml").read_bytes() == before


def test_a_key_inside_a_repository_is_refused(fleet: Path, secrets: Shell) -> None:
    (fleet / ".git").mkdir()
    assert "key-in-repository" in secrets("init", fleet, "--key-file", fleet / "key.txt", code=1)
    assert not (fleet / "key.txt").exists()


def test_a_key_file_is_never_overwritten(fleet: Path, secrets: Shell, tmp_path: Path) -> None:
    target = tmp_path / "key.txt"
    target.write_text("mine", encoding="utf-8")
    assert "key-file-exists" in secrets("init", fleet, "--key-file", target, code=3)
    assert target.read_text(encoding="utf-8") == "mine"


def test_what_stands_in_env_and_gitignore_stays(fleet: Path, secrets: Shell) -> None:
    (fleet / ".env").write_bytes(b"A=1\r\nB=2")
    (fleet / ".gitignore").write_bytes(b"x\n")
    secrets("init", fleet)
    assert (fleet / ".env").read_bytes().startswith(b"A=1\r\nB=2\nSOPS_AGE_KEY_FILE=")
    assert (fleet / ".gitignore").read_bytes() == b"x\n.env\n"


# set


def test_in_a_terminal_the_value_is_asked_for_twice_and_not_shown(
    ready: Path, secrets: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return f"{CANARY}-typed"

    monkeypatch.setattr("click.termui.hidden_prompt_func", typed)
    secrets("set", "time", "X", "-C", ready, terminal=True)
    assert len(asked) == 2
    assert CANARY not in secrets.printed
    secrets("show", "time", "X", "-C", ready, "--reveal")
    assert secrets.out == f"{CANARY}-typed\n"


def test_set_writes_a_bound_file_and_declares_the_name(ready: Path, secrets: Shell) -> None:
    content = (ready / "secrets" / "github" / "TOKEN.sops.yaml").read_bytes()
    identities = load_identities({"SOPS_AGE_KEY": key_of(ready)})
    assert read_secret_file(content, identities, file="x.yaml", place="acme/github/TOKEN").reveal() == CANARY
    assert (ready / "catwalk.yaml").read_text(encoding="utf-8") == MANIFEST.replace(
        "   # pinned\n", "   # pinned\n    secrets:\n      TOKEN:\n"
    )
    assert CANARY not in secrets.printed


def test_set_needs_no_key(ready: Path, secrets: Shell) -> None:
    identities = load_identities({"SOPS_AGE_KEY": key_of(ready)})
    (ready / ".env").unlink()
    record = json.loads(secrets("set", "github", "TOKEN", "-C", ready, "--json", stdin="another"))
    assert record["replaced"] is True
    assert record["declared_in"] is None
    content = (ready / "secrets" / "github" / "TOKEN.sops.yaml").read_bytes()
    assert read_secret_file(content, identities, file="x.yaml", place="acme/github/TOKEN").reveal() == "another"


INPUTS: dict[str, tuple[bytes, list[str], str]] = {
    "one line break is not part of it": (b"x\n", [], "x"),
    "nor one of Windows": (b"x\r\n", [], "x"),
    "a second one is": (b"x\n\n", [], "x\n"),
    "all of it if that is asked for": (b"x\n", ["--exact"], "x\n"),
    "several lines": (b"a\nb", [], "a\nb"),
    "what YAML would read as a number": (b"0123", [], "0123"),
    "quotes, hashes, colons": (b"\"'#: \\n{}", [], "\"'#: \\n{}"),
}


@pytest.mark.parametrize(("stdin", "options", "value"), INPUTS.values(), ids=INPUTS.keys())
def test_a_value_from_stdin_is_kept_to_the_character(
    ready: Path, secrets: Shell, stdin: bytes, options: list[str], value: str
) -> None:
    secrets("set", "time", "X", "-C", ready, *options, stdin=stdin)
    secrets("show", "time", "X", "-C", ready, "--reveal", "--json")
    assert json.loads(secrets.out)["value"] == value


def test_a_value_on_the_command_line_is_refused_and_not_repeated(ready: Path, secrets: Shell) -> None:
    assert "command line" in secrets("set", "github", "TOKEN", CANARY, "-C", ready, code=2)
    assert CANARY not in secrets.printed


@pytest.mark.parametrize("stdin", [b"", b"\n", b"\xff\xfe", b"x" * 300_000], ids=["none", "a line", "no text", "large"])
def test_input_that_is_no_secret_is_refused(ready: Path, secrets: Shell, stdin: bytes) -> None:
    secrets("set", "time", "X", "-C", ready, stdin=stdin, code=2)
    assert not (ready / "secrets" / "time").exists()


def test_a_server_that_does_not_exist_is_refused_with_the_near_one(ready: Path, secrets: Shell) -> None:
    assert "did you mean github?" in secrets("set", "gihub", "X", "-C", ready, stdin="x", code=1)


@pytest.mark.parametrize("name", ["A-B", "1A", "../x", "a b"])
def test_a_name_that_is_no_variable_is_refused(ready: Path, secrets: Shell, name: str) -> None:
    secrets("set", "github", name, "-C", ready, stdin="x", code=2)


def test_without_rules_nothing_is_written(fleet: Path, secrets: Shell) -> None:
    assert "catwalk secrets init" in secrets("set", "github", "X", "-C", fleet, stdin="x", code=1)
    assert [path.name for path in fleet.iterdir()] == ["catwalk.yaml"]


def test_the_first_inline_secret_encrypts_the_manifest_and_the_next_changes_three_lines(
    ready: Path, secrets: Shell
) -> None:
    secrets("set", "time", "KEY", "--inline", "-C", ready, stdin=CANARY)
    before = (ready / "catwalk.yaml").read_text(encoding="utf-8")
    assert "package: npm:@modelcontextprotocol/server-github@2025.4.8   # pinned\n" in before
    secrets("set", "time", "KEY", "--inline", "-C", ready, stdin="changed")
    after = (ready / "catwalk.yaml").read_text(encoding="utf-8")
    changed = [old for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert {line.split(":")[0].strip() for line in changed} <= {"KEY", "mac", "lastmodified"}
    assert "TOKEN:\n" in after
    secrets("show", "time", "KEY", "-C", ready, "--reveal")
    assert secrets.out == "changed\n"


def test_an_inline_secret_needs_a_key_that_opens_the_manifest(ready: Path, secrets: Shell) -> None:
    secrets("set", "time", "KEY", "--inline", "-C", ready, stdin="x")
    (ready / ".env").unlink()
    before = (ready / "catwalk.yaml").read_bytes()
    assert "sops-no-key" in secrets("set", "time", "MORE", "--inline", "-C", ready, stdin=CANARY, code=3)
    assert (ready / "catwalk.yaml").read_bytes() == before


def test_a_server_may_keep_one_secret_inline_and_another_in_a_file(ready: Path, secrets: Shell) -> None:
    secrets("set", "github", "INLINE", "--inline", "-C", ready, stdin="beside")
    secrets("show", "github", "INLINE", "-C", ready, "--reveal")
    assert secrets.out == "beside\n"
    secrets("show", "github", "TOKEN", "-C", ready, "--reveal")
    assert secrets.out == f"{CANARY}\n"
    secrets("doctor", ready)


def test_an_inline_secret_is_not_moved_silently(ready: Path, secrets: Shell) -> None:
    secrets("set", "time", "KEY", "--inline", "-C", ready, stdin="x")
    assert "secret-is-inline" in secrets("set", "time", "KEY", "-C", ready, stdin="x", code=1)


# list, show


def test_list_needs_no_key_and_shows_no_value(ready: Path, secrets: Shell) -> None:
    (ready / ".env").unlink()
    listed = json.loads(secrets("list", ready, "--json"))
    assert [(each["server"], each["name"], each["state"], each["declared"]) for each in listed] == [
        ("github", "TOKEN", "encrypted", True)
    ]
    assert listed[0]["recipients"][0].startswith("age1")
    assert "github" in secrets("list", ready)
    assert CANARY not in secrets.printed


def test_show_masks_the_value_unless_it_is_told_to_reveal_it(ready: Path, secrets: Shell) -> None:
    assert "********" in secrets("show", "github", "TOKEN", "-C", ready)
    assert CANARY not in secrets.printed
    secrets("show", "github", "TOKEN", "-C", ready, "--reveal")
    assert secrets.out == f"{CANARY}\n"


def test_a_secret_copied_to_another_server_is_refused_with_cause_and_fix(ready: Path, secrets: Shell) -> None:
    secrets("set", "time", "TOKEN", "-C", ready, stdin="its own")
    source = ready / "secrets" / "github" / "TOKEN.sops.yaml"
    (ready / "secrets" / "time" / "TOKEN.sops.yaml").write_bytes(source.read_bytes())
    printed = secrets("show", "time", "TOKEN", "-C", ready, "--reveal", code=1)
    assert "sops-wrong-place" in printed
    assert "fix:" in printed
    assert "sops-wrong-place" in secrets("doctor", ready, code=1)
    assert CANARY not in secrets.printed


def test_a_secret_copied_to_another_fleet_is_refused(ready: Path, secrets: Shell) -> None:
    manifest = ready / "catwalk.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("fleet: acme", "fleet: other"), encoding="utf-8")
    assert "sops-wrong-place" in secrets("show", "github", "TOKEN", "-C", ready, "--reveal", code=1)
    content = (ready / "secrets" / "github" / "TOKEN.sops.yaml").read_bytes()
    with pytest.raises(WrongPlace):
        read_secret_file(
            content, load_identities({"SOPS_AGE_KEY": key_of(ready)}), file="x.yaml", place="other/github/TOKEN"
        )


def test_decrypt_prints_the_file_in_its_format_or_its_leaves(
    ready: Path, secrets: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOPS_AGE_KEY", key_of(ready))
    path = ready / "secrets" / "github" / "TOKEN.sops.yaml"
    assert "--reveal" in secrets("decrypt", path, code=2)
    assert CANARY not in secrets.printed
    secrets("decrypt", path, "--reveal")
    assert secrets.out == f"value: {CANARY}\nfor: acme/github/TOKEN\n"
    secrets("decrypt", path, "--reveal", "--json", "--input-type", "yaml")
    assert json.loads(secrets.out)[0] == {
        "document": 0,
        "path": ["value"],
        "type": "str",
        "bytes_base64": base64.b64encode(CANARY.encode()).decode(),
    }


# recipients, rotate


def test_who_is_added_opens_everything_and_who_is_removed_nothing_new(
    ready: Path, secrets: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, recipient = new_recipient()
    secrets("set", "time", "KEY", "--inline", "-C", ready, stdin="inline")
    secrets("recipients", "add", recipient, "-C", ready)
    assert json.loads(secrets("recipients", "list", ready, "--json"))[recipient] == [
        "catwalk.yaml",
        "secrets/github/TOKEN.sops.yaml",
    ]
    secrets("lint", ready)
    monkeypatch.setenv("SOPS_AGE_KEY", secret)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "")
    secrets("show", "github", "TOKEN", "-C", ready, "--reveal")
    assert secrets.out == f"{CANARY}\n"
    monkeypatch.delenv("SOPS_AGE_KEY")
    monkeypatch.delenv("SOPS_AGE_KEY_FILE")
    secrets("recipients", "remove", recipient, "-C", ready, "--json")
    record = json.loads(secrets.out)
    assert record["replace_at_source"] == ["catwalk.yaml: servers.time.secrets.KEY", "github/TOKEN"]
    assert recipient not in (ready / ".sops.yaml").read_text(encoding="utf-8")
    monkeypatch.setenv("SOPS_AGE_KEY", secret)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "")
    assert "sops-key-mismatch" in secrets("show", "github", "TOKEN", "-C", ready, "--reveal", code=3)


def test_the_last_recipient_cannot_be_removed(ready: Path, secrets: Shell) -> None:
    recipient = load_identities({"SOPS_AGE_KEY": key_of(ready)}).recipients[0]
    before = (ready / ".sops.yaml").read_bytes()
    assert "last-recipient" in secrets("recipients", "remove", recipient, "-C", ready, code=1)
    assert (ready / ".sops.yaml").read_bytes() == before


def test_one_file_that_does_not_open_leaves_all_as_they_are(ready: Path, secrets: Shell) -> None:
    secrets("set", "time", "KEY", "-C", ready, stdin="x")
    path = ready / "secrets" / "time" / "KEY.sops.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("data:", "data:AA", 1), encoding="utf-8")
    before = {file: file.read_bytes() for file in ready.rglob("*") if file.is_file()}
    secrets("rotate", ready, code=1)
    secrets("recipients", "add", new_recipient()[1], "-C", ready, code=1)
    assert {file: file.read_bytes() for file in ready.rglob("*") if file.is_file()} == before


def test_a_rotation_follows_the_rules(ready: Path, secrets: Shell) -> None:
    _, recipient = new_recipient()
    rules = ready / ".sops.yaml"
    own = load_identities({"SOPS_AGE_KEY": key_of(ready)}).recipients[0]
    rules.write_text(rules.read_text(encoding="utf-8").replace(own, f"{own},{recipient}"), encoding="utf-8")
    assert "sops-wrong-recipients" in secrets("lint", ready, code=1)
    secrets("rotate", ready)
    secrets("lint", ready)
    secrets("show", "github", "TOKEN", "-C", ready, "--reveal")
    assert secrets.out == f"{CANARY}\n"


def test_a_secret_key_given_as_a_recipient_is_not_repeated(ready: Path, secrets: Shell) -> None:
    secret, _ = new_recipient()
    secrets("recipients", "add", secret, "-C", ready, code=1)
    assert secret not in secrets.printed


RULES = {
    "a list": ("[{own}]", "{new}"),
    "lines": ("\n      - {own} # me", "# me"),
    "a folded text": (">-\n      {own}", "{own},"),
    "in quotes": ("'{own}'", "'{own},{new}'"),
}


@pytest.mark.parametrize(("form", "expected"), RULES.values(), ids=RULES.keys())
def test_recipients_are_changed_in_every_form_of_a_rule(ready: Path, secrets: Shell, form: str, expected: str) -> None:
    own, (_, new) = load_identities({"SOPS_AGE_KEY": key_of(ready)}).recipients[0], new_recipient()
    text = "creation_rules:\n  - age: " + form.format(own=own) + "\n"
    (ready / ".sops.yaml").write_text(text, encoding="utf-8")
    secrets("recipients", "add", new, "-C", ready)
    assert expected.format(own=own, new=new) in (ready / ".sops.yaml").read_text(encoding="utf-8")
    secrets("lint", ready)
    secrets("recipients", "remove", new, "-C", ready)
    secrets("lint", ready)
    assert new not in (ready / ".sops.yaml").read_text(encoding="utf-8")


# lint, doctor


def _plain_secret(fleet: Path) -> None:
    (fleet / "secrets" / "github" / "TOKEN.sops.yaml").write_text(f"value: {CANARY}\n", encoding="utf-8")


def _plain_value(fleet: Path) -> None:
    path = fleet / "secrets" / "github" / "TOKEN.sops.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([f"value: {CANARY}", *lines[1:]]), encoding="utf-8")


def _conflict(fleet: Path) -> None:
    path = fleet / "secrets" / "github" / "TOKEN.sops.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> side\n", encoding="utf-8")


def _stray(fleet: Path) -> None:
    path = fleet / "secrets" / "github" / "OTHER.sops.yaml"
    path.write_bytes((fleet / "secrets" / "github" / "TOKEN.sops.yaml").read_bytes())


def _missing(fleet: Path) -> None:
    (fleet / "secrets" / "github" / "TOKEN.sops.yaml").unlink()


def _other_rule(fleet: Path) -> None:
    path = fleet / "secrets" / "github" / "TOKEN.sops.yaml"
    text = path.read_text(encoding="utf-8")
    text = text.replace("unencrypted_suffix: ", "encrypted_regex: ").replace('"_unencrypted"', '"^nothing$"')
    lines = ["value: x" if line.startswith("value") else line for line in text.splitlines()]
    path.write_text("\n".join("for: y" if line.startswith("for") else line for line in lines), encoding="utf-8")


def _plain_inline(fleet: Path) -> None:
    path = fleet / "catwalk.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("TOKEN:", f"TOKEN: {CANARY}"), encoding="utf-8")


def _no_rules(fleet: Path) -> None:
    (fleet / ".sops.yaml").unlink()


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a secret file in clear": (_plain_secret, "sops-not-encrypted"),
    "a value in clear": (_plain_value, "secret-unencrypted"),
    "conflict markers": (_conflict, "sops-merge-conflict"),
    "a file that nobody declares": (_stray, "secret-undeclared"),
    "a declaration without a file": (_missing, "secret-file-missing"),
    "a rule that covers nothing": (_other_rule, "sops-nothing-encrypted"),
    "a secret in clear in the manifest": (_plain_inline, "unencrypted-secret"),
    "no rules": (_no_rules, "sops-no-rules"),
}


@pytest.mark.parametrize(("damage", "code"), DAMAGE.values(), ids=DAMAGE.keys())
def test_lint_finds_it_without_a_key_and_without_quoting_it(
    ready: Path, secrets: Shell, damage: Callable[[Path], None], code: str
) -> None:
    secrets("lint", ready)
    damage(ready)
    (ready / ".env").unlink()
    found = json.loads(secrets("lint", ready, "--json", code=1))
    assert code in {finding["code"] for finding in found["findings"]}
    secrets("lint", ready, code=1)
    assert CANARY not in secrets.printed


def test_doctor_tells_which_key_opens_what_and_shows_no_key(
    ready: Path, secrets: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, recipient = new_recipient()
    monkeypatch.setenv("SOPS_AGE_KEY", secret)
    document = json.loads(secrets("doctor", ready, "--json"))
    own = load_identities({"SOPS_AGE_KEY": key_of(ready)}).recipients[0]
    assert set(document["identities"]) == {own, recipient}
    assert document["files"][0]["opened_by"] == [own]
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", "")
    document = json.loads(secrets("doctor", ready, "--json", code=1))
    assert document["files"][0]["problems"][0]["code"] == "sops-key-mismatch"
    assert "SECRET-KEY" not in secrets.printed
    assert secret not in secrets.printed


def test_without_any_key_doctor_says_what_to_do(ready: Path, secrets: Shell) -> None:
    (ready / ".env").unlink()
    printed = secrets("doctor", ready, code=1)
    assert "SOPS_AGE_KEY_FILE" in printed
    assert "sops-no-key" in printed


def test_every_subcommand_has_help(secrets: Shell) -> None:
    for name in ("init", "set", "list", "show", "decrypt", "rotate", "recipients", "merge", "lint", "doctor"):
        assert "--json" in secrets(name, "--help")


def test_a_fleet_with_secrets_stays_valid(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--offline", str(ready)]) == 0
    assert "0 errors" in capsys.readouterr().out
