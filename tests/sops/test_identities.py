"""Where keys come from, and that none of them is ever shown."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from reconciler.errors import EnvironmentFault
from reconciler.sops.document import decrypt
from reconciler.sops.identities import load_identities


def _ssh_key():
    private = ed25519.Ed25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _ssh_key_behind_a_passphrase():
    """The container of such a key (PROTOCOL.key of OpenSSH); its encrypted part is noise."""
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    options = _string(b"s" * 16) + (16).to_bytes(4, "big")
    public = _string(b"ssh-ed25519") + _string(raw)
    content = _string(b"aes256-ctr") + _string(b"bcrypt") + _string(options) + (1).to_bytes(4, "big")
    body = base64.b64encode(b"openssh-key-v1\0" + content + _string(public) + _string(b"n" * 144)).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"


def _string(content):
    return len(content).to_bytes(4, "big") + content


def test_nothing_configured_is_an_empty_set():
    assert load_identities({}).keys == ()
    assert load_identities({"SOPS_AGE_KEY": "", "SOPS_AGE_KEY_FILE": ""}).keys == ()


def test_both_variables_add_up(keys, other_keys, tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text(f"# created: today\n\n  {other_keys.secret}  \r\n", encoding="utf-8")
    identities = load_identities({"SOPS_AGE_KEY": keys.secret, "SOPS_AGE_KEY_FILE": str(file)})
    assert identities.recipients == (keys.recipient, other_keys.recipient)
    assert identities.warnings == ()


@pytest.mark.parametrize(
    "line", ["AGE-PLUGIN-YUBIKEY-1QQQ", "AGE-SECRET-KEY-PQ-1QQQ", "AGE-SECRET-KEY-1BROKEN", "noise"]
)
def test_an_unknown_line_is_skipped_with_a_warning_that_does_not_quote_it(keys, line):
    identities = load_identities({"SOPS_AGE_KEY": f"# comment\n{line}\n{keys.secret}\n"})
    assert identities.recipients == (keys.recipient,)
    (warning,) = identities.warnings
    assert warning.message.startswith("SOPS_AGE_KEY, line 2: ")
    assert line not in str(warning)


def test_an_ssh_key_opens_what_is_encrypted_to_it(encrypt, keys):
    identities = load_identities({"SOPS_AGE_KEY": f"{keys.secret}\n{_ssh_key()}junk\n"})
    recipient = identities.recipients[0]
    assert recipient.startswith("ssh-ed25519 ")
    assert identities.warnings[0].message.startswith("SOPS_AGE_KEY, line 9: ")
    sealed = encrypt("a: x\n", recipients=[recipient])
    assert decrypt(sealed, identities, file="s.yaml").leaves()[0].plaintext == b"x"


def test_an_ssh_key_behind_a_passphrase_is_skipped_with_a_warning():
    identities = load_identities({"SOPS_AGE_KEY": _ssh_key_behind_a_passphrase()})
    assert identities.keys == ()
    assert "passphrase" in identities.warnings[0].message


def test_a_missing_key_file_is_an_environment_fault(tmp_path):
    with pytest.raises(EnvironmentFault, match="No such file") as fault:
        load_identities({"SOPS_AGE_KEY_FILE": str(tmp_path / "absent.txt")})
    assert fault.value.problem.code == "sops-key-file-unreadable"
    assert "age-keygen" in fault.value.problem.hint


def test_a_folder_or_a_binary_or_a_huge_key_file_is_an_environment_fault(tmp_path):
    binary, huge = tmp_path / "binary", tmp_path / "huge"
    binary.write_bytes(b"\xff\xfe\x00")
    huge.write_bytes(b"#" * (1024 * 1024 + 1))
    for path in (tmp_path, binary, huge):
        with pytest.raises(EnvironmentFault):
            load_identities({"SOPS_AGE_KEY_FILE": str(path)})


def test_a_key_in_the_place_of_a_file_name_is_not_shown(keys, assert_shows_nothing):
    with pytest.raises(EnvironmentFault, match="holds a key") as fault:
        load_identities({"SOPS_AGE_KEY_FILE": keys.secret})
    assert_shows_nothing(fault.value, keys.secret)


def test_identities_show_their_recipients_only(keys):
    identities = keys.identities
    assert keys.secret not in f"{identities} {identities!r} {identities.keys!r}"
    assert keys.recipient in repr(identities)


def test_skipped_lines_are_counted_where_no_key_is_left(encrypt):
    with pytest.raises(EnvironmentFault, match=r"1 configured line\(s\) could not be used"):
        decrypt(encrypt("a: x\n"), load_identities({"SOPS_AGE_KEY": "noise"}), file="s.yaml")
