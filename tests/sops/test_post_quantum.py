"""Post-quantum age recipients: files sealed here by another path through the same primitives."""

import base64
import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sops.age import CannotUnwrapError
from reconciler.sops.bech32 import NotBech32Error, decode, encode
from reconciler.sops.document import decrypt
from reconciler.sops.errors import KeyMismatch, Tampered
from reconciler.sops.identities import load_identities

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _unpadded(data):
    return base64.b64encode(data).rstrip(b"=")


def _wrapped(line):
    text = _unpadded(line)
    return b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text) + 1, 64))


def _derive(key, salt, info):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _age_file(secret, recipient):
    public = decode(recipient, "age1pq")
    key = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:1184]), X25519PublicKey.from_public_bytes(public[1184:])
    )
    file_key, nonce = os.urandom(16), os.urandom(16)
    sealed = SUITE.encrypt(file_key, key, b"age-encryption.org/mlkem768x25519")
    header = b"age-encryption.org/v1\n-> mlkem768x25519 " + _unpadded(sealed[:1120]) + b"\n" + _wrapped(sealed[1120:])
    mac = hmac.digest(_derive(file_key, b"", b"header"), header + b"---", hashlib.sha256)
    chunk = ChaCha20Poly1305(_derive(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\x01", secret, None)
    return header + b"--- " + _unpadded(mac) + b"\n" + nonce + chunk


def _armored(binary):
    text = base64.b64encode(binary)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"-----BEGIN AGE ENCRYPTED FILE-----\n" + lines + b"\n-----END AGE ENCRYPTED FILE-----\n"


def _identities():
    return load_identities({"SOPS_AGE_KEY": encode("age-secret-key-pq-", os.urandom(32)).upper()})


@pytest.fixture(scope="module")
def identities():
    return _identities()


def _sealed(encrypt, identities):
    data_key = os.urandom(32)
    (recipient,) = identities.recipients
    text = encrypt("a: x\n", data_key=data_key).decode()
    armor = _armored(_age_file(data_key, recipient)).decode().rstrip()
    entry = text[text.index("        - recipient:") : text.index("    lastmodified:")]
    indented = "".join(f"            {line}\n" for line in armor.splitlines())
    return text.replace(entry, f"        - recipient: {recipient}\n          enc: |\n{indented}").encode()


def test_a_file_for_a_post_quantum_recipient_opens(encrypt, identities):
    assert identities.recipients[0].startswith("age1pq1")
    assert len(identities.recipients[0]) > 1_900
    opened = decrypt(_sealed(encrypt, identities), identities, file="s.yaml")
    assert [leaf.plaintext for leaf in opened.leaves()] == [b"x"]


def test_another_post_quantum_key_does_not_fit(encrypt, identities):
    with pytest.raises(KeyMismatch):
        decrypt(_sealed(encrypt, identities), _identities(), file="s.yaml")


def test_a_damaged_wrapped_key_is_tampering(encrypt, identities):
    text = _sealed(encrypt, identities)
    lines = text.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b"-----END AGE" in line) - 3
    lines[at] = lines[at].swapcase()
    with pytest.raises(Tampered):
        decrypt(b"".join(lines), identities, file="s.yaml")


def test_every_changed_byte_of_an_age_file_is_noticed(identities):
    binary = _age_file(b"k" * 32, identities.recipients[0])
    assert identities.keys[0].unwrap(_armored(binary)) == b"k" * 32
    accepted = []
    for at in [*range(40), *range(40, len(binary) - 150, 17), *range(len(binary) - 150, len(binary))]:
        changed = binary[:at] + bytes([binary[at] ^ 1]) + binary[at + 1 :]
        try:
            identities.keys[0].unwrap(_armored(changed))
        except CannotUnwrapError:
            continue
        accepted.append(at)
    assert accepted == []


@given(st.binary(max_size=300))
def test_noise_is_no_age_file(identities, noise):
    for text in (noise, _armored(noise), _armored(b"age-encryption.org/v1\n" + noise)):
        with pytest.raises(CannotUnwrapError):
            identities.keys[0].unwrap(text)


@given(st.binary(max_size=100))
def test_bech32_comes_back(data):
    text = encode("age1pq", data)
    assert decode(text, "age1pq") == decode(text.upper(), "AGE1PQ") == data


@pytest.mark.parametrize(
    "text",
    ["", "1", "age1pq1", "age1pq1qqqqqq", "Age1pq1qqqqqq", "age1pq1b", "x" * 6_000, encode("age1pq", b"a")[:-1] + "q"],
)
def test_what_is_not_bech32_is_refused(text):
    with pytest.raises(NotBech32Error):
        decode(text, "age1pq")


def test_identities_show_no_secret(identities):
    assert "SECRET" not in repr(identities.keys)
