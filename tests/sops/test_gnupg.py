"""PGP recipients, with a real gpg and keys made for the run."""

import os
import shutil
import stat

import pytest

from reconciler.sops.metadata import KeyService, Recipient, WrappedKey
from reconciler.sops.services import gnupg as door
from reconciler.sops.services.gnupg import gnupg
from reconciler.sops.services.port import (
    DamagedKeyError,
    KeyServiceDenied,
    KeyServiceUnavailable,
    NotForUsError,
)

SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def ring(new_key_ring):
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    ring = new_key_ring()
    ring.make_key("open@example.org")
    ring.make_key("locked@example.org", passphrase="a passphrase")
    ring.gpg("--version")
    return ring


def _wrapped(text):
    return WrappedKey(recipient=Recipient(service=KeyService.PGP, name="ABCD"), wrapped=text)


def _forget_passphrases(ring):
    """A key that was just made is remembered by the agent."""
    door.subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=ring.environment, check=True, timeout=30)


def test_a_message_for_a_key_in_the_ring_opens(ring):
    assert gnupg(ring.environment).unwrap(_wrapped(ring.wrap(SECRET, "open@example.org"))) == SECRET


def test_a_message_for_somebody_else_is_not_for_us(ring, new_key_ring):
    other = new_key_ring()
    other.make_key("other@example.org")
    with pytest.raises(NotForUsError):
        gnupg(ring.environment).unwrap(_wrapped(other.wrap(SECRET, "other@example.org")))


def test_a_message_for_a_known_public_key_without_its_secret_is_not_for_us(ring, new_key_ring):
    other = new_key_ring()
    other.make_key("public@example.org")
    ring.gpg("--import", text=other.gpg("--export"))
    with pytest.raises(NotForUsError):
        gnupg(ring.environment).unwrap(_wrapped(ring.wrap(SECRET, "public@example.org")))


def test_a_locked_key_is_refused_at_once_and_nobody_is_asked(ring):
    wrapped = _wrapped(ring.wrap(SECRET, "locked@example.org"))
    _forget_passphrases(ring)
    with pytest.raises(KeyServiceDenied, match="locked") as refusal:
        gnupg(ring.environment).unwrap(wrapped)
    assert refusal.value.problem.code == "sops-key-service-denied"
    assert "example.org" not in str(refusal.value)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_message_cut_short_is_damaged(ring, keep):
    text = ring.wrap(SECRET, "open@example.org")
    with pytest.raises(DamagedKeyError):
        gnupg(ring.environment).unwrap(_wrapped(text[: int(len(text) * keep)]))


@pytest.mark.parametrize("text", ["", "noise", "-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n"])
def test_what_is_no_message_is_damaged(ring, text):
    with pytest.raises(DamagedKeyError):
        gnupg(ring.environment).unwrap(_wrapped(text))


def test_a_message_with_a_changed_body_is_damaged(ring):
    lines = ring.wrap(SECRET, "open@example.org").splitlines()
    changed = lines[-3].translate(str.maketrans("ABCDEFabcdef", "BCDEFAbcdefa"))
    with pytest.raises(DamagedKeyError):
        gnupg(ring.environment).unwrap(_wrapped("\n".join([*lines[:-3], changed, *lines[-2:]])))


def _script(folder, body):
    program = folder / "gpg"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_gpg_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(door, "TIMEOUT_S", 0.2)
    with pytest.raises(KeyServiceUnavailable, match="did not answer"):
        gnupg(_script(tmp_path, "exec sleep 30")).unwrap(_wrapped("x"))


def test_a_gpg_that_fails_without_a_word_is_unavailable(tmp_path):
    with pytest.raises(KeyServiceUnavailable):
        gnupg(_script(tmp_path, "exit 2")).unwrap(_wrapped("x"))


def test_output_without_the_word_that_it_was_verified_is_not_taken(tmp_path):
    with pytest.raises(NotForUsError):
        gnupg(_script(tmp_path, "echo '[GNUPG:] BEGIN_DECRYPTION' >&2; echo data")).unwrap(_wrapped("x"))


def test_without_gpg_there_is_no_such_service(tmp_path):
    assert gnupg({"PATH": str(tmp_path)}) is None
    assert gnupg({}) is None


def test_another_program_can_be_named(tmp_path):
    environment = _script(tmp_path, "echo '[GNUPG:] DECRYPTION_OKAY' >&2; printf data")
    (tmp_path / "gpg").rename(tmp_path / "my-gpg")
    named = {**environment, "SOPS_GPG_EXEC": str(tmp_path / "my-gpg")}
    assert gnupg(named).unwrap(_wrapped("x")) == b"data"
