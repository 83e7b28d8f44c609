"""AWS KMS by boto3, against moto's server: real requests, signatures and answers over a loopback socket."""

import base64
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from reconciler.sops.document import decrypt
from reconciler.sops.errors import Tampered
from reconciler.sops.identities import Identities
from reconciler.sops.master_keys import one_group
from reconciler.sops.metadata import KeyService, Recipient, WrappedKey
from reconciler.sops.services.aws_kms import AwsKms, aws_kms
from reconciler.sops.services.port import (
    DamagedKeyError,
    KeyServiceDenied,
    KeyServiceNotAllowed,
    KeyServiceUnavailable,
    NotForUsError,
)
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.recipients import aws_key

boto3 = pytest.importorskip("boto3", reason="boto3, of the extra `aws`, is not installed")

SECRET = bytes(range(32))
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
REGION = "eu-central-1"
UNKNOWN = f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("moto", reason="moto, of the group `clouds`, is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_for(port, server):
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("moto's server did not start")


@pytest.fixture
def kms(address, monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret-key")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    return boto3.client("kms", region_name=REGION)


@pytest.fixture
def arn(kms):
    return kms.create_key()["KeyMetadata"]["Arn"]


def _wrapped(arn, enc, *, role="", context=None):
    recipient = Recipient(service=KeyService.AWS_KMS, name=arn)
    text = enc if isinstance(enc, str) else base64.b64encode(enc).decode()
    return WrappedKey(recipient=recipient, wrapped=text, attributes={"arn": arn, "role": role}, context=context or {})


def _encrypted(kms, arn, **options: object):
    return kms.encrypt(KeyId=arn, Plaintext=SECRET, **options)["CiphertextBlob"]


def test_a_data_key_comes_back(kms, arn):
    assert aws_kms(os.environ).unwrap(_wrapped(arn, _encrypted(kms, arn))) == SECRET


def test_the_encryption_context_of_the_file_is_used(kms, arn):
    context = {"fleet": "acme", "server": "github"}
    blob = _encrypted(kms, arn, EncryptionContext=context)
    assert aws_kms(os.environ).unwrap(_wrapped(arn, blob, context=context)) == SECRET
    with pytest.raises(DamagedKeyError):
        aws_kms(os.environ).unwrap(_wrapped(arn, blob, context={"fleet": "other"}))


def test_the_role_that_a_file_names_is_taken(kms, arn):
    role = "arn:aws:iam::123456789012:role/secrets"
    assert aws_kms(os.environ).unwrap(_wrapped(arn, _encrypted(kms, arn), role=role)) == SECRET


def test_the_web_identity_of_a_machine_is_enough(kms, arn, monkeypatch, tmp_path):
    blob = _encrypted(kms, arn)
    (tmp_path / "token").write_text("a.web.identity", encoding="utf-8")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/machine")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    assert aws_kms(os.environ).unwrap(_wrapped(arn, blob)) == SECRET


def test_an_unknown_key_is_not_for_us(kms, arn):
    with pytest.raises(NotForUsError):
        aws_kms(os.environ).unwrap(_wrapped(UNKNOWN, _encrypted(kms, arn)))


@pytest.mark.parametrize("enc", [b"", b"noise", "***"], ids=["empty", "noise", "no base64"])
def test_a_changed_ciphertext_is_damaged(kms, arn, enc):
    with pytest.raises(DamagedKeyError):
        aws_kms(os.environ).unwrap(_wrapped(arn, enc))


def test_no_credentials_are_a_denial_with_a_hint(kms, arn, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(KeyServiceDenied) as refusal:
        aws_kms(os.environ).unwrap(_wrapped(arn, b"x"))
    assert "AWS_ROLE_ARN" in refusal.value.problem.hint


def test_no_connection_is_unavailable(kms, arn, monkeypatch, assert_shows_nothing):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(KeyServiceUnavailable) as refusal:
        aws_kms(os.environ).unwrap(_wrapped(arn, b"x"))
    assert_shows_nothing(refusal.value, "testing-secret-key")


def test_without_a_word_about_aws_there_is_no_such_service(tmp_path):
    assert aws_kms({"HOME": str(tmp_path)}) is None
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("", encoding="utf-8")
    assert aws_kms({"HOME": str(tmp_path)}) is not None
    assert aws_kms({"AWS_ROLE_ARN": "x"}) is not None


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "alias/mine",
        "arn:aws:kms:evil.example/:123456789012:key/a",
        "arn:aws:s3:eu-central-1:123456789012:key/a",
        UNKNOWN + "?x",
    ],
)
def test_what_is_no_arn_of_a_key_is_not_asked(arn):
    with pytest.raises(KeyServiceNotAllowed):
        AwsKms(("*",)).unwrap(_wrapped(arn, b"x"))


def test_a_role_that_is_none_is_not_asked():
    with pytest.raises(KeyServiceNotAllowed):
        AwsKms(("*",)).unwrap(_wrapped(UNKNOWN, b"x", role="arn:aws:s3:::bucket"))


def test_an_arn_that_is_not_listed_is_not_asked():
    listed = aws_kms({"AWS_REGION": "x", "SOPS_KMS_ALLOWLIST": "arn:aws:kms:*:999999999999:key/*"})
    with pytest.raises(KeyServiceNotAllowed, match="123456789012") as refusal:
        listed.unwrap(_wrapped(UNKNOWN, b"x"))
    assert "SOPS_KMS_ALLOWLIST" in refusal.value.problem.hint


def _sealed(encrypt, arn, blob):
    text = encrypt("a: x\n", data_key=SECRET).decode()
    entry = text[text.index("    age:") : text.index("    lastmodified:")]
    lines = f"    kms:\n        - arn: {arn}\n          context:\n            fleet: acme\n"
    return text.replace(entry, lines + f"          enc: {base64.b64encode(blob).decode()}\n").encode()


def test_a_file_held_by_kms_alone_opens(kms, arn, encrypt):
    sealed = _sealed(encrypt, arn, _encrypted(kms, arn, EncryptionContext={"fleet": "acme"}))
    opened = decrypt(sealed, Identities(services=(aws_kms(os.environ),)), file="s.yaml")
    assert [leaf.plaintext for leaf in opened.leaves()] == [b"x"]
    changed = sealed.replace(b"fleet: acme", b"fleet: other")
    with pytest.raises(Tampered):
        decrypt(changed, Identities(services=(aws_kms(os.environ),)), file="s.yaml")


def test_a_file_is_written_for_kms_with_its_context_and_rotated(kms, arn):
    door = aws_kms(os.environ)
    key = aws_key(f"{arn}+arn:aws:iam::123456789012:role/secrets", context={"fleet": "acme"})
    content = encrypt(b"a: x\n", Encryption(keys=one_group((key,)), services=(door,)), file="s.yaml", last_modified=NOW)
    edited = open_to_edit(content, Identities(services=(door,)), file="s.yaml")
    for each in (content, edited.rotated(edited.keys, NOW).sealed(NOW)):
        opened = decrypt(each, Identities(services=(door,)), file="s.yaml")
        assert [leaf.plaintext for leaf in opened.leaves()] == [b"x"]
        with pytest.raises(Tampered):
            decrypt(each.replace(b"fleet: acme", b"fleet: other"), Identities(services=(door,)), file="s.yaml")


def test_a_key_that_aws_does_not_know_is_told_before_anything_is_written(kms):
    encryption = Encryption(keys=one_group((aws_key(UNKNOWN),)), services=(aws_kms(os.environ),))
    with pytest.raises(KeyServiceDenied, match="AWS KMS"):
        encrypt(b"a: x\n", encryption, file="s.yaml", last_modified=NOW)
