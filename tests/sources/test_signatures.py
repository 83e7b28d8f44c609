"""Signatures of commits that git itself made, with ssh-keygen and gpg, checked by us and by git's own programs."""

import base64
import hashlib
import os
import shutil
import subprocess
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import CatwalkError, EnvironmentFault, SourceError
from reconciler.loop.ports import SignedCommit
from reconciler.sources.git import discover
from reconciler.sources.signatures import GnuPGSignatures, SSHSignatures, ssh_keys
from reconciler.sources.signatures.allowed_signers import read_allowed_signers
from reconciler.sources.signatures.wire import Wire, text

KINDS = [("ed25519", ()), ("ecdsa", ("-b", "256")), ("ecdsa", ("-b", "384")), ("ecdsa", ("-b", "521")), ("rsa", ())]
IDS = ["ed25519", "nistp256", "nistp384", "nistp521", "rsa"]


def run(*command: str, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, input=given, check=True, capture_output=True, timeout=60, env={**os.environ, **environment}
    )


def make_key(path, kind="ed25519", options=()) -> str:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    run("ssh-keygen", "-q", "-t", kind, *options, "-N", "", "-C", "", "-f", str(path))
    return " ".join((path.parent / f"{path.name}.pub").read_text(encoding="utf-8").split()[:2])


async def signed_with(repository, key, *, at: str = "", change: bool = True) -> SignedCommit:
    """A commit that git signed with an SSH key."""
    if change:
        repository.write("note.txt", os.urandom(8))
        repository.git("add", "--all")
    options = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}")
    environment = {"GIT_COMMITTER_DATE": at} if at else {}
    run("git", *options, "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-C", str(repository.path),
        "commit", "--quiet", "-S", "--message", "Signed", **environment)  # fmt: skip
    return await commit_of(repository)


async def commit_of(repository) -> SignedCommit:
    source = discover(repository.path)
    return await source.signed(await source.head())


def by_git(repository, signers: str, tmp_path) -> bool:
    """What git says of the newest commit with the same list."""
    listed = tmp_path / "git-signers"
    listed.write_text(signers, encoding="utf-8")
    command = ["git", "-c", f"gpg.ssh.allowedSignersFile={listed}", "-C", str(repository.path), "verify-commit", "HEAD"]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0


async def verdict(commit: SignedCommit, signers: str) -> str:
    try:
        return await SSHSignatures().verify(commit, signers, name="allowed_signers")
    except SourceError as refusal:
        return refusal.problem.code


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=IDS)
async def test_a_commit_that_git_signed_is_believed_as_git_believes_it(repository, tmp_path, kind, options):
    key = make_key(tmp_path / "key", kind, options)
    commit = await signed_with(repository, tmp_path / "key")
    assert await verdict(commit, f"ann@example.com,ann {key} a comment\n") == "ann@example.com,ann"
    assert by_git(repository, f"ann@example.com {key}\n", tmp_path)


async def test_a_key_that_is_not_listed_is_unknown(repository, tmp_path):
    make_key(tmp_path / "key")
    other = make_key(tmp_path / "other")
    commit = await signed_with(repository, tmp_path / "key")
    assert await verdict(commit, f"ann {other}\n") == "commit-signer-unknown"
    assert not by_git(repository, f"ann {other}\n", tmp_path)


async def test_a_signature_belongs_to_its_commit_alone(repository, tmp_path):
    key = make_key(tmp_path / "key")
    one = await signed_with(repository, tmp_path / "key")
    other = await signed_with(repository, tmp_path / "key")
    moved = SignedCommit(payload=other.payload, signature=one.signature)
    assert await verdict(moved, f"ann {key}\n") == "commit-signature-invalid"


async def test_a_signature_for_another_purpose_is_none_of_a_commit(repository, tmp_path):
    key = make_key(tmp_path / "key")
    commit = await signed_with(repository, tmp_path / "key")
    (tmp_path / "payload").write_bytes(commit.payload)
    run("ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(tmp_path / "key"), str(tmp_path / "payload"))
    signature = (tmp_path / "payload.sig").read_bytes()
    refused = SignedCommit(payload=commit.payload, signature=signature)
    assert await verdict(refused, f"ann {key}\n") == "commit-signature-invalid"


WINDOWS = [
    ('namespaces="git"', "ann"),
    ('namespaces="git,file"', "ann"),
    ('namespaces="g*"', "ann"),
    ('namespaces="file"', "commit-signer-not-allowed"),
    ('valid-after="20260101"', "ann"),
    ('valid-after="20270101Z"', "commit-signer-not-allowed"),
    ('valid-before="20270101"', "ann"),
    ('valid-before="20260101"', "commit-signer-not-allowed"),
    ('valid-after="202601010000",valid-before="20260701120000Z"', "ann"),
    ("cert-authority", "commit-signer-not-allowed"),
]


@pytest.mark.parametrize(("options", "expected"), WINDOWS)
async def test_restrictions_of_a_key_are_kept_as_git_keeps_them(repository, tmp_path, options, expected):
    key = make_key(tmp_path / "key")
    commit = await signed_with(repository, tmp_path / "key", at="2026-06-15T12:00:00Z")
    signers = f"ann {options} {key}\n"
    assert await verdict(commit, signers) == expected
    assert by_git(repository, signers, tmp_path) == (expected == "ann")


async def test_an_unsigned_commit_has_no_signature(repository):
    assert (await commit_of(repository)).signature == b""


UNREADABLE = [
    "ann\n",
    "ann ssh-ed25519\n",
    "ann ssh-ed25519 not-base64!\n",
    "ann ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ1g\n",
    "ann verify-required ssh-ed25519 AAAA\n",
    'ann valid-after="tomorrow" ssh-ed25519 AAAA\n',
    'ann valid-after="20261340" ssh-ed25519 AAAA\n',
    "x" * 300_000,
]


@pytest.mark.parametrize("listed", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_list_that_is_not_understood_trusts_nobody(listed):
    with pytest.raises(SourceError, match="line 1"):
        read_allowed_signers(listed, name="allowed_signers")


def test_comments_and_empty_lines_are_no_signers():
    assert read_allowed_signers("# nobody\n\n   \n", name="allowed_signers") == ()


@given(signature=st.binary(max_size=400))
def test_no_bytes_are_a_signature_by_chance(signature):
    armored = b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(signature) + b"\n-----END SSH SIGNATURE-----\n"
    for candidate in (signature, armored, b"-----BEGIN SSH SIGNATURE-----"):
        with pytest.raises(SourceError):
            _run(SSHSignatures().verify(SignedCommit(payload=b"x", signature=candidate), "", name="l"))


def _run(awaitable):
    """Nothing in it waits."""
    try:
        awaitable.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError


def token_signature(flags: int) -> tuple[bytes, bytes, bytes]:
    """Key, signature and message of a security token, as OpenSSH's PROTOCOL.u2f describes them."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    kind, application, message, counter = b"sk-ssh-ed25519@openssh.com", b"ssh:", b"message", b"\0\0\0\7"
    signed = hash_of(application) + bytes([flags]) + counter + hash_of(message)
    signature = text(kind) + text(private.sign(signed)) + bytes([flags]) + counter
    return text(kind) + text(public) + text(application), signature, message


def hash_of(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def test_a_key_on_a_security_token_counts_when_somebody_touched_it():
    assert ssh_keys.check(*token_signature(1)) is None
    with pytest.raises(ssh_keys.InvalidSignature):
        ssh_keys.check(*token_signature(0))


def test_weak_and_foreign_keys_are_refused():
    wide = (
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    for key, signature in (
        (text(b"ssh-dss") + text(b"x"), text(b"ssh-dss") + text(b"x")),
        (text(b"ssh-rsa") + text(b"\3") + text(b"\0" + b"\xff" * 128), text(b"rsa-sha2-256") + text(b"x")),
        (text(b"ssh-rsa") + text(b"\3") + text(b"\0" + b"\xff" * 256), text(b"ssh-rsa") + text(b"x")),
        (text(b"ecdsa-sha2-nistp256") + text(b"nistp999") + text(wide), text(b"ecdsa-sha2-nistp256") + text(b"x")),
        (text(b"ssh-ed25519") + text(b"short"), text(b"ssh-ed25519") + text(b"x")),
        (text(b"ssh-ed25519-cert-v01@openssh.com"), text(b"ssh-ed25519") + text(b"x")),
    ):
        with pytest.raises(ValueError, match=r"."):
            ssh_keys.check(key, signature, b"message")
    with pytest.raises(ValueError, match="too early"):
        Wire(b"\0\0\0\5abc").string()


@pytest.fixture
def ring(tmp_path, monkeypatch):
    """A person's own GnuPG, with nobody's keys."""
    if shutil.which("gpg") is None:
        pytest.skip("GnuPG is not installed")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    yield home
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True, timeout=30)


def make_pgp(name: str) -> tuple[str, str]:
    """A key pair in the ring: fingerprint and armored public key."""
    run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", f"{name} <{name}@example.com>", "ed25519", "sign",
        "never")  # fmt: skip
    listed = run("gpg", "--batch", "--with-colons", "--list-keys", f"{name}@example.com").stdout.decode()
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    return fingerprint, run("gpg", "--armor", "--export", fingerprint).stdout.decode()


async def signed_by(repository, fingerprint) -> SignedCommit:
    repository.write("note.txt", os.urandom(8))
    repository.git("add", "--all")
    repository.git("-c", f"user.signingkey={fingerprint}", "commit", "--quiet", "-S", "--message", "Signed")
    return await commit_of(repository)


async def test_a_commit_that_gpg_signed_is_believed_by_its_key_alone(repository, ring):
    fingerprint, key = make_pgp("ann")
    _, other = make_pgp("bob")
    commit = await signed_by(repository, fingerprint)
    gpg = GnuPGSignatures()
    assert await gpg.verify(commit, key, name="keys") == fingerprint
    assert await gpg.verify(commit, other + key, name="keys") == fingerprint
    with pytest.raises(SourceError, match="not one of the trusted keys"):
        await gpg.verify(commit, other, name="keys")
    tampered = SignedCommit(payload=commit.payload + b"x", signature=commit.signature)
    with pytest.raises(SourceError, match="does not belong"):
        await gpg.verify(tampered, key, name="keys")


async def test_a_revoked_key_signs_nothing(repository, ring):
    fingerprint, _ = make_pgp("ann")
    commit = await signed_by(repository, fingerprint)
    # gpg prepares the revocation of each new key, with a colon before it so that nobody uses it by mistake.
    prepared = (ring / "openpgp-revocs.d" / f"{fingerprint}.rev").read_text(encoding="utf-8")
    (ring / "revoked.asc").write_text(prepared.replace(":-----BEGIN", "-----BEGIN"), encoding="utf-8")
    run("gpg", "--batch", "--import", str(ring / "revoked.asc"))
    revoked = run("gpg", "--armor", "--export", fingerprint).stdout.decode()
    with pytest.raises(SourceError, match="revoked"):
        await GnuPGSignatures().verify(commit, revoked, name="keys")


@pytest.mark.parametrize("keys", ["", "nothing", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxx\n-----END"])
async def test_keys_that_are_none_trust_nobody(keys, ring):
    with pytest.raises(SourceError, match="no OpenPGP public key"):
        await GnuPGSignatures().verify(SignedCommit(payload=b"x", signature=b"y"), keys, name="allowed_keys.asc")


async def test_without_gpg_nobody_is_believed(tmp_path):
    with pytest.raises(EnvironmentFault, match="gpg cannot be started"):
        await GnuPGSignatures(str(tmp_path / "nothing")).verify(
            SignedCommit(payload=b"x", signature=b"y"), "keys", name="allowed_keys.asc"
        )


async def test_a_file_is_read_by_its_path_from_the_root(repository):
    repository.write(".catwalk/allowed_signers", b"ann ssh-ed25519 AAAA\n")
    (repository.path / "link").symlink_to("/etc/passwd")
    repository.write("binary", b"\xff\xfe")
    repository.commit()
    source = discover(repository.path)
    head = await source.head()
    assert await source.text(head, ".catwalk/allowed_signers") == "ann ssh-ed25519 AAAA\n"
    assert await source.text(head, "nothing") == ""
    assert await source.text(head, ".catwalk") == ""
    for refused in ("link", "binary"):
        with pytest.raises(CatwalkError):
            await source.text(head, refused)


def test_times_are_read_as_utc():
    key = text(b"ssh-ed25519") + text(b"k" * 32)
    line = f'ann valid-after="20260615120000" ssh-ed25519 {base64.b64encode(key).decode()}'
    signer = read_allowed_signers(line, name="l")[0]
    assert signer.valid_after == datetime(2026, 6, 15, 12, tzinfo=UTC)
