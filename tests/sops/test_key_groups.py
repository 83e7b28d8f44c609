"""Key groups over several kinds of recipients, and how often services are asked."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reconciler.sops import limits
from reconciler.sops.document import decrypt
from reconciler.sops.errors import KeyMismatch, Tampered
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.metadata import KeyService
from reconciler.sops.rules import RuleKind
from reconciler.sops.services.configured import key_environment, load_services
from reconciler.sops.services.port import (
    DamagedKeyError,
    KeyServiceDenied,
    KeyServiceUnavailable,
    NotForUsError,
)


class _Service:
    """Answers every question with the same thing, and counts."""

    def __init__(self, answer, kind=KeyService.PGP) -> None:
        self.kind = kind
        self.asked = 0
        self._answer = answer

    def unwrap(self, _key):
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def _held_by_pgp(encrypt, data_key, entries=1):
    text = encrypt("a: x\n", data_key=data_key).decode()
    entry = text[text.index("    age:") : text.index("    lastmodified:")]
    lines = "".join(f"        - fp: F{number:07X}\n          enc: x\n" for number in range(entries))
    return text.replace(entry, f"    pgp:\n{lines}").encode()


def _opened(text, *services: object, keys=()):
    return decrypt(text, Identities(keys=keys, services=services), file="s.yaml")


def test_a_group_opens_by_age_and_another_by_a_service(encrypt, keys, writer):
    data_key = os.urandom(32)
    age_share, pgp_share = writer.split(data_key, 2)
    text = encrypt("a: x\n", data_key=data_key).decode()
    start, end = text.index("    age:"), text.index("    lastmodified:")
    entry = writer._entry(keys.recipient, age_share, " " * 12)
    groups = f"    key_groups:\n        - age:\n{entry}\n        - pgp:\n            - fp: ABCD\n              enc: x\n"
    text = (text[:start] + groups + "    shamir_threshold: 2\n" + text[end:]).encode()
    assert _opened(text, _Service(pgp_share), keys=keys.identities.keys).leaves()[0].plaintext == b"x"
    with pytest.raises(KeyMismatch, match="1 of 2 key groups"):
        _opened(text, _Service(NotForUsError("no")), keys=keys.identities.keys)
    with pytest.raises(Tampered):
        _opened(text, _Service(os.urandom(32) + b"\x02"), keys=keys.identities.keys)


def test_a_service_that_does_not_answer_is_asked_once_for_a_file(encrypt):
    service = _Service(KeyServiceUnavailable("sops-key-service-unavailable", "no answer"))
    with pytest.raises(KeyServiceUnavailable):
        _opened(_held_by_pgp(encrypt, os.urandom(32), entries=100), service)
    assert service.asked == 1


def test_a_file_with_many_recipients_cannot_make_us_ask_for_ever(encrypt):
    service = _Service(NotForUsError("no"))
    with pytest.raises(KeyMismatch):
        _opened(_held_by_pgp(encrypt, os.urandom(32), entries=200), service)
    assert service.asked == limits.MAXIMUM_SERVICE_CALLS


def test_a_damaged_key_is_tampering_and_a_denial_is_a_denial(encrypt):
    text = _held_by_pgp(encrypt, os.urandom(32))
    with pytest.raises(Tampered, match="F0000000"):
        _opened(text, _Service(DamagedKeyError("no")))
    with pytest.raises(KeyServiceDenied):
        _opened(text, _Service(KeyServiceDenied("sops-key-service-denied", "no")))


def test_the_second_service_opens_what_the_first_could_not(encrypt):
    data_key = os.urandom(32)
    denied = _Service(KeyServiceDenied("sops-key-service-denied", "no"))
    assert _opened(_held_by_pgp(encrypt, data_key), denied, _Service(data_key)).leaves()


def test_a_service_of_another_kind_is_not_asked(encrypt):
    service = _Service(b"", kind=KeyService.VAULT)
    with pytest.raises(Exception, match="PGP"):
        _opened(_held_by_pgp(encrypt, os.urandom(32)), service)
    assert service.asked == 0


def test_an_rsa_key_of_ssh_opens_a_file(encrypt):
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    identities = load_identities({"SOPS_AGE_KEY": pem})
    assert identities.recipients[0].startswith("ssh-rsa ")
    opened = decrypt(encrypt("a: x\n", recipients=list(identities.recipients)), identities, file="s.yaml")
    assert opened.leaves()[0].plaintext == b"x"


@pytest.mark.parametrize("kind", [RuleKind.ENCRYPTED_COMMENT_REGEX, RuleKind.UNENCRYPTED_COMMENT_REGEX])
def test_a_comment_rule_opens_what_looks_encrypted(encrypt, keys, kind):
    line = f"    {kind.value}: '^secret'\n".encode()
    sealed = encrypt("a: x\nb: y\nc_unencrypted: clear\n").replace(b"    version:", line + b"    version:")
    opened = decrypt(sealed, keys.identities, file="s.yaml")
    assert [(leaf.plaintext, leaf.was_encrypted) for leaf in opened.leaves()] == [
        (b"x", True),
        (b"y", True),
        (b"clear", False),
    ]
    with pytest.raises(Tampered):
        decrypt(sealed.replace(b": clear", b": other"), keys.identities, file="s.yaml")


def test_the_environment_of_keys_is_all_that_services_read():
    whole = {
        "GNUPGHOME": "a",
        "PATH": "b",
        "SOPS_AGE_KEY": "c",
        "SOPS_HC_VAULT_ALLOWLIST": "d",
        "AWS_ROLE_ARN": "e",
        "VAULT_TOKEN": "f",
        "GOOGLE_APPLICATION_CREDENTIALS": "g",
    }
    assert key_environment({**whole, "FLY_API_TOKEN": "x", "GITHUB_TOKEN": "y"}) == whole
    assert [service.kind for service in load_services({"VAULT_TOKEN": "t", "VAULT_ADDR": "https://a.example"})] == [
        KeyService.VAULT
    ]
