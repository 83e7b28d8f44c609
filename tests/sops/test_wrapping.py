"""Data keys for key services: what is sent, what is kept of the answer, and what is refused."""

import base64
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from reconciler.sops.bech32 import encode
from reconciler.sops.document import decrypt, decrypt_document
from reconciler.sops.errors import NoKeyConfigured
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.master_keys import KeyGroups, one_group
from reconciler.sops.metadata import KeyService
from reconciler.sops.services.gcp_kms import GoogleKms
from reconciler.sops.services.gnupg import gnupg
from reconciler.sops.services.google_token import GivenToken
from reconciler.sops.services.port import KeyServiceDenied, KeyServiceNotAllowed, KeyServiceUnavailable
from reconciler.sops.services.vault import vault
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.errors import InvalidRecipient
from reconciler.sops.writing.recipients import age_key, age_keys, aws_key, master_key, written_name
from tests.sops.test_cloud_keys import RESOURCE, TOKEN, _serving

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
SECRET = bytes(range(32))
TEXT = b"a: x\nb: [1, y]\n"


@pytest.fixture
def double():
    with _serving() as serving:
        yield serving


def _vault(double):
    return vault({"VAULT_ADDR": double.url, "VAULT_TOKEN": TOKEN})


def _vault_key(double):
    return master_key(f"{double.url}/v1/mounts/transit/keys/fleet")


def _google(double):
    return GoogleKms(GivenToken(TOKEN), ("projects/p/*",), double.url)


def test_vault_encrypts_a_data_key(double):
    double.answer(200, {"data": {"ciphertext": "vault:v1:abcd"}})
    assert _vault(double).wrap(_vault_key(double), SECRET) == "vault:v1:abcd"
    ((path, headers, content),) = double.asked
    assert (path, headers["X-Vault-Token"]) == ("/v1/mounts/transit/encrypt/fleet", TOKEN)
    assert json.loads(content) == {"plaintext": base64.b64encode(SECRET).decode()}


def test_google_encrypts_a_data_key(double):
    double.answer(200, {"ciphertext": "YWJj"})
    assert _google(double).wrap(master_key(RESOURCE), SECRET) == "YWJj"
    ((path, _, content),) = double.asked
    assert path == f"/v1/{RESOURCE}:encrypt"
    assert json.loads(content) == {"plaintext": base64.b64encode(SECRET).decode()}


FAILURES = {
    "permission denied": (403, {"errors": ["permission denied"]}, KeyServiceDenied),
    "unknown key": (404, {"errors": ["no handler for route"]}, KeyServiceDenied),
    "a key that does not encrypt": (400, {"errors": ["unsupported"]}, KeyServiceDenied),
    "fault": (500, {}, KeyServiceUnavailable),
    "no ciphertext": (200, {"data": {}}, KeyServiceUnavailable),
    "a ciphertext of several lines": (
        200,
        {"data": {"ciphertext": "a\nb"}, "ciphertext": "a\nb"},
        KeyServiceUnavailable,
    ),
}


@pytest.mark.parametrize(("status", "body", "kind"), FAILURES.values(), ids=FAILURES.keys())
def test_what_a_service_answers_is_told_apart(double, status, body, kind):
    double.answer(status, body)
    for door, key in ((_vault(double), _vault_key(double)), (_google(double), master_key(RESOURCE))):
        with pytest.raises(kind) as refusal:
            door.wrap(key, SECRET)
        assert TOKEN not in f"{refusal.value} {refusal.value!r}"
        assert base64.b64encode(SECRET).decode() not in f"{refusal.value} {refusal.value!r}"


def test_a_data_key_goes_to_no_address_or_key_that_is_not_allowed(double):
    with pytest.raises(KeyServiceNotAllowed):
        _vault(double).wrap(master_key("https://vault.evil.example/v1/transit/keys/k"), SECRET)
    with pytest.raises(KeyServiceNotAllowed):
        _google(double).wrap(master_key(RESOURCE.replace("projects/p/", "projects/other/")), SECRET)
    assert double.asked == []


def test_a_file_is_not_made_while_its_key_service_is_not_configured():
    encryption = Encryption(keys=one_group((master_key(RESOURCE),)))
    with pytest.raises(NoKeyConfigured, match="GCP KMS is not configured") as refusal:
        encrypt(TEXT, encryption, file="s.yaml", last_modified=NOW)
    assert "GOOGLE" in refusal.value.problem.hint


class _Door:
    """A key service that adds its name to what it is given."""

    def __init__(self, kind) -> None:
        self.kind = kind

    def wrap(self, _key, secret):
        return base64.b64encode(self.kind.value.encode() + secret).decode()

    def unwrap(self, key):
        return base64.b64decode(key.wrapped).removeprefix(self.kind.value.encode())


DOORS = tuple(_Door(kind) for kind in (KeyService.PGP, KeyService.AWS_KMS, KeyService.VAULT, KeyService.GCP_KMS))
ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd"
ROLE = "arn:aws:iam::123456789012:role/secrets"
EVERYBODY = (
    master_key("1234 5678 90AB CDEF 1234  5678 90AB CDEF 1234 5678"),
    aws_key(f"{ARN}+{ROLE}", context={"fleet": "acme"}, profile="ours"),
    master_key("https://vault.example:8200/v1/a/transit/keys/fleet"),
    master_key(RESOURCE),
)
PLAIN = {Format.YAML: TEXT, Format.JSON: b'{"a": "x"}', Format.DOTENV: b"a=x\n", Format.INI: b"[s]\na = x\n"}
NAMES = {Format.YAML: "s.yaml", Format.JSON: "s.json", Format.DOTENV: "s.env", Format.INI: "s.ini"}


@pytest.mark.parametrize("form", PLAIN)
def test_a_file_for_every_service_opens_by_each_of_them(form):
    encryption = Encryption(keys=one_group(EVERYBODY), services=DOORS)
    content = encrypt(PLAIN[form], encryption, file=NAMES[form], last_modified=NOW)
    for door in DOORS:
        opened = decrypt_document(content, format=form, identities=Identities(services=(door,)))
        assert b"x" in [leaf.plaintext for leaf in opened.leaves()]
        rotated = open_to_edit(content, Identities(services=DOORS), file=NAMES[form], stated=form)
        after = rotated.rotated(rotated.keys, LATER).sealed(LATER)
        assert decrypt_document(after, format=form, identities=Identities(services=(door,))).leaves()
        assert {each.recipient for each in rotated.keys.keys} == {each.recipient for each in EVERYBODY}


@pytest.mark.parametrize("form", PLAIN)
def test_recipients_are_added_one_by_one_and_those_before_stay_as_they_are_written(keys, form):
    first = Encryption(keys=age_keys(keys.recipient))
    content = encrypt(PLAIN[form], first, file=NAMES[form], last_modified=NOW)
    identities = Identities(keys=keys.identities.keys, services=DOORS)
    for key in EVERYBODY:
        edited = open_to_edit(content, identities, file=NAMES[form], stated=form).with_recipient(key, NOW)
        after = edited.sealed(LATER)
        gone = set(content.splitlines()) - set(after.splitlines())
        assert all(b"mac" in line or b"lastmodified" in line for line in gone) or form is Format.JSON
        content = after
    for door in DOORS:
        assert decrypt_document(content, format=form, identities=Identities(services=(door,))).leaves()


def test_what_the_services_need_stands_in_the_metadata():
    encryption = Encryption(keys=one_group(EVERYBODY), services=DOORS)
    written = json.loads(encrypt(b'{"a": "x"}', encryption, file="s.json", last_modified=NOW))["sops"]
    made = "2026-11-24T12:00:00Z"
    shown = {
        name: [{**entry, "enc": ""} for entry in entries]
        for name, entries in written.items()
        if isinstance(entries, list)
    }
    assert shown == {
        "pgp": [{"created_at": made, "enc": "", "fp": "1234567890ABCDEF1234567890ABCDEF12345678"}],
        "kms": [
            {
                "arn": ARN,
                "role": ROLE,
                "context": {"fleet": "acme"},
                "created_at": made,
                "enc": "",
                "aws_profile": "ours",
            }
        ],
        "hc_vault": [
            {
                "vault_address": "https://vault.example:8200",
                "engine_path": "a/transit",
                "key_name": "fleet",
                "created_at": made,
                "enc": "",
            }
        ],
        "gcp_kms": [{"resource_id": RESOURCE, "created_at": made, "enc": ""}],
    }


def test_a_key_service_holds_one_group_and_age_another(keys):
    groups = KeyGroups(groups=((EVERYBODY[2],), (age_key(keys.recipient),)))
    content = encrypt(TEXT, Encryption(keys=groups, services=DOORS), file="s.yaml", last_modified=NOW)
    both = Identities(keys=keys.identities.keys, services=DOORS)
    assert decrypt(content, both, file="s.yaml").leaves()[0].plaintext == b"x"


NAMED = [
    "1234567890ABCDEF1234567890ABCDEF12345678",
    f"{ARN}+{ROLE}",
    "https://vault.example:8200/v1/a/transit/keys/fleet",
    RESOURCE,
]


@pytest.mark.parametrize("text", NAMED)
def test_a_name_is_written_as_it_is_read(text):
    assert written_name(master_key(text)) == text


@pytest.mark.parametrize("text", ["12345678", "arn:aws:kms:x", "projects/p", "https://vault.example", "hello", ""])
def test_what_names_nobody_is_refused(text):
    with pytest.raises(InvalidRecipient):
        master_key(text)


def test_gpg_without_the_public_key_says_so(new_key_ring):
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    ring = new_key_ring()
    ring.gpg("--list-keys")
    with pytest.raises(KeyServiceDenied, match="no usable public key") as refusal:
        gnupg(ring.environment).wrap(EVERYBODY[0], SECRET)
    assert "gpg --import" in refusal.value.problem.hint


def _post_quantum():
    return load_identities({"SOPS_AGE_KEY": encode("age-secret-key-pq-", os.urandom(32)).upper()})


def test_a_file_for_a_post_quantum_recipient_is_written_and_rotated():
    identities = _post_quantum()
    encryption = Encryption(keys=age_keys(*identities.recipients))
    content = encrypt(TEXT, encryption, file="s.yaml", last_modified=NOW)
    edited = open_to_edit(content, identities, file="s.yaml")
    after = edited.rotated(edited.keys, LATER).sealed(LATER)
    assert [leaf.plaintext for leaf in decrypt(after, identities, file="s.yaml").leaves()] == [b"x", b"1", b"y"]


_TYPAGE = """\
import * as age from "age-encryption";
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync("given.json", "utf8"));
const reader = new age.Decrypter();
reader.addIdentity(given.identity);
const opened = Buffer.from(await reader.decrypt(age.armor.decode(given.file))).toString("hex");
const writer = new age.Encrypter();
writer.addRecipient(await age.identityToRecipient(given.identity));
console.log(JSON.stringify({ opened, file: age.armor.encode(await writer.encrypt(Buffer.from(given.secret, "hex"))) }));
"""


@pytest.mark.registry
@pytest.mark.timeout(240)
def test_another_implementation_of_age_agrees_about_post_quantum_keys(tmp_path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no npm and node on PATH")
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "age-encryption@0.3.1"]
    if subprocess.run(install, cwd=tmp_path, capture_output=True, check=False, timeout=180).returncode:
        pytest.skip("age-encryption cannot be installed here")
    line = encode("age-secret-key-pq-", os.urandom(32)).upper()
    identities = load_identities({"SOPS_AGE_KEY": line})
    file = age_keys(*identities.recipients).keys[0]
    armor = encrypt(b'{"a": "x"}', Encryption(keys=one_group((file,))), file="s.json", last_modified=NOW)
    given = {"identity": line, "file": json.loads(armor)["sops"]["age"][0]["enc"], "secret": SECRET.hex()}
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    (tmp_path / "read.mjs").write_text(_TYPAGE, encoding="utf-8")
    done = subprocess.run([node, "read.mjs"], cwd=tmp_path, capture_output=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert bytes.fromhex(found["opened"]) == identities.keys[0].unwrap(given["file"].encode())
    assert identities.keys[0].unwrap(found["file"].encode()) == SECRET
