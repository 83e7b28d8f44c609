"""`catwalk secrets encrypt`, and rules of `.sops.yaml` that ask for more than age."""

import json
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest

from reconciler.cli.main import run
from reconciler.sops.document import decrypt_document
from reconciler.sops.identities import load_identities
from reconciler.sops.services.configured import key_environment

MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  github:
    package: npm:@modelcontextprotocol/server-github@2025.4.8
"""
CANARY = "canary-77aa-plaintext"


@pytest.fixture
def key(monkeypatch):
    identity = pyrage.x25519.Identity.generate()
    monkeypatch.setenv("SOPS_AGE_KEY", str(identity))
    return str(identity.to_public())


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catwalk.yaml").write_text(MANIFEST, encoding="utf-8")
    return tmp_path


@pytest.fixture
def fingerprint(monkeypatch):
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    home = Path(tempfile.mkdtemp(prefix="cw-gpg-"))
    monkeypatch.setenv("GNUPGHOME", str(home))
    made = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "a@example.org", "future-default", "default"]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    listed = subprocess.run(["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True)
    yield next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fp"))
    subprocess.run(["gpgconf", "--kill", "all"], check=False, timeout=30)
    shutil.rmtree(home, ignore_errors=True)


def _rules(folder, text):
    (folder / ".sops.yaml").write_text("creation_rules:\n" + text, encoding="utf-8")


def _opened(path):
    identities = load_identities(key_environment(os.environ))
    return decrypt_document(path.read_bytes(), format=None, identities=identities, file=path.name)


FILES = {
    "app.env": f"A={CANARY}\n# old: {CANARY}\n",
    "app.ini": f"[s]\na = {CANARY}\n",
    "app.json": json.dumps({"a": CANARY}),
    "app.yaml": f"a: {CANARY}\n",
    "app.pem": f"\0{CANARY}\n",
}


@pytest.mark.parametrize(("name", "text"), FILES.items(), ids=FILES.keys())
def test_a_file_of_any_format_is_encrypted_in_its_place_with_public_keys(fleet, key, capsys, monkeypatch, name, text):
    _rules(fleet, f"  - age: {key}\n")
    (fleet / name).write_text(text, encoding="utf-8")
    secret = os.environ["SOPS_AGE_KEY"]
    monkeypatch.delenv("SOPS_AGE_KEY")
    assert run(["secrets", "encrypt", name]) == 0
    assert CANARY not in (fleet / name).read_text(encoding="utf-8")
    assert key in capsys.readouterr().out
    monkeypatch.setenv("SOPS_AGE_KEY", secret)
    assert run(["secrets", "decrypt", name, "--reveal"]) == 0
    assert capsys.readouterr().out == text


def test_a_file_that_cannot_be_encrypted_stays_as_it_was(fleet, key, capsys):
    _rules(fleet, f"  - age: {key}\n    encrypted_regex: ^nothing$\n")
    (fleet / "app.yaml").write_text(f"a: {CANARY}\n", encoding="utf-8")
    assert run(["secrets", "encrypt", "app.yaml"]) != 0
    assert (fleet / "app.yaml").read_text(encoding="utf-8") == f"a: {CANARY}\n"
    assert CANARY not in "".join(capsys.readouterr())


def test_the_output_may_be_another_file_whose_rule_holds(fleet, key, capsys):
    _rules(fleet, f"  - path_regex: \\.enc\\.yaml$\n    age: {key}\n")
    (fleet / "app.yaml").write_text("a: x\n", encoding="utf-8")
    assert run(["secrets", "encrypt", "app.yaml", "-o", "app.enc.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "app.enc.yaml", "recipients": [key]}
    assert (fleet / "app.yaml").read_text(encoding="utf-8") == "a: x\n"
    assert _opened(fleet / "app.enc.yaml").leaves()[0].plaintext == b"x"


def _set(monkeypatch, value):
    read, write = os.pipe()
    os.write(write, value.encode())
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        return run(["secrets", "set", "github", "TOKEN"])


def test_a_secret_is_encrypted_to_pgp_and_opened_with_it(fleet, key, fingerprint, monkeypatch, capsys):
    _rules(fleet, f"  - pgp: {fingerprint}\n")
    monkeypatch.delenv("SOPS_AGE_KEY")
    assert _set(monkeypatch, CANARY) == 0
    assert run(["secrets", "lint"]) == 0
    assert run(["secrets", "show", "github", "TOKEN", "--reveal"]) == 0
    assert CANARY in capsys.readouterr().out


def test_a_recipient_of_another_service_is_added_and_removed(fleet, key, fingerprint, monkeypatch, capsys):
    _rules(fleet, f"  - age: {key}\n")
    assert _set(monkeypatch, CANARY) == 0
    file = fleet / "secrets" / "github" / "TOKEN.sops.yaml"
    assert run(["secrets", "recipients", "add", fingerprint]) == 0
    assert [each.name for each in _opened(file).recipients] == [key, fingerprint]
    assert run(["secrets", "lint"]) == 0
    assert run(["secrets", "recipients", "remove", key]) == 0
    assert [each.name for each in _opened(file).recipients] == [fingerprint]
    monkeypatch.delenv("SOPS_AGE_KEY")
    assert _opened(file).leaves()[0].plaintext == CANARY.encode()
    assert run(["secrets", "lint"]) == 0
    assert CANARY not in capsys.readouterr().out


def test_key_groups_of_the_rules_are_made_and_rotated(fleet, key, fingerprint, monkeypatch):
    other = pyrage.x25519.Identity.generate()
    groups = f"      - age: [{key}]\n      - pgp: [{fingerprint}]\n      - age: [{other.to_public()}]\n"
    _rules(fleet, f"  - shamir_threshold: 2\n    key_groups:\n{groups}")
    assert _set(monkeypatch, CANARY) == 0
    file = fleet / "secrets" / "github" / "TOKEN.sops.yaml"
    before = file.read_bytes()
    assert run(["secrets", "rotate"]) == 0
    assert file.read_bytes() != before
    assert _opened(file).leaves()[0].plaintext == CANARY.encode()
    monkeypatch.setenv("SOPS_AGE_KEY", str(other))
    assert _opened(file).leaves()[0].plaintext == CANARY.encode()
    assert run(["secrets", "lint"]) == 0


UNUSABLE = {
    "a service that is not written": ("  - azure_keyvault: https://x\n", "azure_keyvault"),
    "nobody": ("  - path_regex: ''\n", "names no recipient"),
    "an e-mail address for PGP": ("  - pgp: me@example.org\n", "no PGP fingerprint"),
    "an ARN of something else": ("  - kms: arn:aws:s3:::bucket\n", "no ARN"),
    "a URI without a key": ("  - hc_vault_transit_uri: https://vault.example\n", "no URI"),
    "an empty group": ("  - key_groups: [{age: []}]\n", "without any"),
    "an absurd threshold": ("  - shamir_threshold: 9\n    key_groups: [{pgp: ['%s']}, {pgp: ['%s']}]\n", "threshold"),
    "groups that merge themselves": (
        "  - key_groups: [{merge: [{merge: [{merge: [{merge: [{merge: [{}]}]}]}]}]}]\n",
        "deep",
    ),
}


@pytest.mark.parametrize(("rule", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_rule_that_cannot_be_followed_is_refused_with_its_reason(fleet, capsys, rule, reason):
    _rules(fleet, rule.replace("%s", "A" * 40))
    (fleet / "app.yaml").write_text(f"a: {CANARY}\n", encoding="utf-8")
    assert run(["secrets", "encrypt", "app.yaml"]) != 0
    shown = "".join(capsys.readouterr())
    assert reason in shown
    assert CANARY not in shown


def test_a_key_service_that_is_not_configured_is_told_before_anything_is_written(fleet, monkeypatch, capsys):
    _rules(fleet, "  - hc_vault_transit_uri: https://vault.example/v1/transit/keys/k\n")
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    (fleet / "app.yaml").write_text("a: x\n", encoding="utf-8")
    assert run(["secrets", "encrypt", "app.yaml"]) != 0
    assert "VAULT_ADDR" in "".join(capsys.readouterr())
    assert (fleet / "app.yaml").read_text(encoding="utf-8") == "a: x\n"


def _commit(folder):
    command = "git add -A && git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m x"
    subprocess.run(["sh", "-ec", command], cwd=folder, check=True, capture_output=True, timeout=30)


def test_a_secret_that_went_back_in_time_is_found_in_the_history(fleet, key, monkeypatch, capsys):
    moments = iter([datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (10, 11)])
    monkeypatch.setattr("reconciler.cli.secrets_set.SystemClock.now", lambda _: next(moments))
    _rules(fleet, f"  - age: {key}\n")
    subprocess.run(["git", "init", "-q"], cwd=fleet, check=True, capture_output=True, timeout=30)
    file = fleet / "secrets" / "github" / "TOKEN.sops.yaml"
    assert _set(monkeypatch, "old") == 0
    _commit(fleet)
    before = file.read_bytes()
    assert _set(monkeypatch, "new") == 0
    assert run(["secrets", "lint"]) == 0
    _commit(fleet)
    file.write_bytes(before)
    assert run(["secrets", "lint", "--json"]) == 1
    assert "secret-rolled-back" in capsys.readouterr().out
    _commit(fleet)
    _commit(fleet)
    assert run(["secrets", "lint"]) == 1
    assert "2026-11-24 11:00:00" in capsys.readouterr().out
