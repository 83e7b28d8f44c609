"""Every change to an encrypted file that the format can notice is refused, with the right error and no secret in it."""

import re

import pytest

from reconciler.errors import CatwalkError
from reconciler.sops.document import decrypt, is_encrypted
from reconciler.sops.errors import KeyMismatch, MalformedSops, MergeDamage, NoKeyConfigured, Tampered
from reconciler.sops.identities import Identities
from reconciler.sops.rules import RuleKind

SECOND = "second-plaintext-value"
ENC = re.compile(r"ENC\[AES256_GCM,data:(?P<data>[^,]+),iv:(?P<iv>[^,]+),tag:(?P<tag>[^,]+),type:(?P<type>[a-z]+)\]")

OPTIONS = {
    "whole MAC": {},
    "MAC over encrypted values": {"rule": (RuleKind.ENCRYPTED_REGEX, "^secrets$"), "mac_only_encrypted": True},
}


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def sealed(request, encrypt, canary):
    options = dict(request.param)
    text = f"fleet: acme\nsecrets:\n  FIRST: {canary}\n  SECOND: {SECOND}\n  COUNT: 42\n  EMPTY: ''\n  NOTHING: null\n"
    return encrypt(text, **options).decode()


def _values(text):
    """The encrypted values under `secrets`, then the MAC."""
    return list(ENC.finditer(text[text.index("secrets:") :]))


def _line(text, key):
    return next(line for line in text.splitlines(keepends=True) if line.strip().startswith(key))


def _flip(text, part):
    value = _values(text)[0]
    old = value[part]
    new = ("B" if old[0] == "A" else "A") + old[1:]
    return text.replace(old, new)


def _swap(text):
    first, second = (value[0] for value in _values(text)[:2])
    return text.replace(first, "#").replace(second, first).replace("#", second)


def _reorder(text):
    first, second = _line(text, "FIRST:"), _line(text, "SECOND:")
    return text.replace(first + second, second + first)


def _flip_mac(text):
    mac = _values(text)[-1]["data"]
    return text.replace(mac, ("B" if mac[0] == "A" else "A") + mac[1:])


def _toggle(text):
    line = "    mac_only_encrypted: true\n"
    return text.replace(line, "") if line in text else text.replace("    version:", line + "    version:")


MUTATIONS = {
    "a flipped character of the data": (lambda text: _flip(text, "data"), Tampered),
    "a flipped character of the nonce": (lambda text: _flip(text, "iv"), Tampered),
    "a flipped character of the tag": (lambda text: _flip(text, "tag"), Tampered),
    "a flipped character of the MAC": (_flip_mac, Tampered),
    "two values swapped": (_swap, Tampered),
    "two keys reordered": (_reorder, Tampered),
    "an encrypted key deleted": (lambda text: text.replace(_line(text, "SECOND:"), ""), Tampered),
    "an encrypted key renamed": (lambda text: text.replace("SECOND:", "THIRD:"), Tampered),
    "an encrypted key moved to another mapping": (lambda text: text.replace("  SECOND:", "other:\n  SECOND:"), None),
    "an encrypted value emptied": (lambda text: text.replace(_values(text)[1][0], '""'), Tampered),
    "an encrypted value nulled": (lambda text: text.replace(_values(text)[1][0], "null"), Tampered),
    "an encrypted value replaced by text": (lambda text: text.replace(_values(text)[1][0], "guess"), Tampered),
    "an encrypted value replaced by a number": (lambda text: text.replace(_values(text)[1][0], "7"), Tampered),
    "text after a ciphertext": (lambda text: text.replace("type:str]\n", "type:str]x\n", 1), Tampered),
    "an encrypted value claiming to be a comment": (
        lambda text: text.replace("type:str]", "type:comment]", 1),
        Tampered,
    ),
    "an encrypted value claiming to be a number": (lambda text: text.replace("type:str]", "type:int]", 1), Tampered),
    "an unknown value type": (lambda text: text.replace("type:str]", "type:uuid]", 1), Tampered),
    "an unknown cipher": (lambda text: text.replace("AES256_GCM", "AES256_CBC", 1), Tampered),
    "lastmodified changed": (lambda text: text.replace("2026-01-02T", "2026-01-03T"), Tampered),
    "lastmodified dropped": (lambda text: text.replace(_line(text, "lastmodified:"), ""), MalformedSops),
    "the MAC dropped": (lambda text: text.replace(_line(text, "mac:"), ""), Tampered),
    "the MAC emptied": (lambda text: text.replace(_line(text, "mac:"), "    mac: ''\n"), Tampered),
    "the MAC in plain text": (lambda text: text.replace(_line(text, "mac:"), "    mac: ABCDEF\n"), Tampered),
    "the MAC replaced by another value": (
        lambda text: text.replace(_values(text)[-1][0], _values(text)[0][0]),
        Tampered,
    ),
    "mac_only_encrypted toggled": (_toggle, None),
    "the wrapped key truncated": (
        lambda text: re.sub(r"(?m)^ +[A-Za-z0-9+/=]+\n(?= +-----END)", "", text),
        Tampered,
    ),
    "the wrapped key replaced by noise": (lambda text: text.replace("YWdlLWVuY3J5", "YWdlLWVuY3J6"), Tampered),
    "a first value encrypted twice": (
        lambda text: text.replace(_line(text, "FIRST:"), _line(text, "FIRST:") * 2),
        MalformedSops,
    ),
    "the metadata cut short": (lambda text: text[: text.index("    mac:")], None),
}


@pytest.mark.parametrize(("mutate", "kind"), MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_changed_file_is_refused_and_no_secret_shown(sealed, keys, assert_shows_nothing, mutate, kind):
    changed = mutate(sealed)
    assert changed != sealed
    with pytest.raises(kind or CatwalkError) as refusal:
        decrypt(changed.encode(), keys.identities, file="catwalk.yaml")
    assert_shows_nothing(refusal.value, SECOND, keys.secret)
    assert refusal.value.problem.location.file == "catwalk.yaml"
    assert refusal.value.problem.hint


def test_the_unchanged_file_opens(sealed, keys, canary):
    values = decrypt(sealed.encode(), keys.identities, file="catwalk.yaml").leaves()
    assert canary.encode() in [leaf.plaintext for leaf in values]


def test_every_single_character_of_every_ciphertext_counts(encrypt, keys, assert_shows_nothing):
    text = encrypt(f"TOKEN: {SECOND}\n").decode()
    accepted = []
    for value in ENC.finditer(text):
        for index in range(*value.span()):
            other = "B" if text[index] == "A" else "A"
            try:
                decrypt((text[:index] + other + text[index + 1 :]).encode(), keys.identities, file="s.yaml")
            except CatwalkError as error:
                assert_shows_nothing(error, SECOND)
            else:
                accepted.append(index)
    assert accepted == []


def test_a_clear_value_is_protected_by_the_whole_mac(encrypt, keys):
    text = encrypt("mode_unencrypted: safe\nTOKEN: x\n").replace(b"safe", b"open")
    with pytest.raises(Tampered) as refusal:
        decrypt(text, keys.identities, file="s.yaml")
    assert refusal.value.problem.code == "sops-mac-mismatch"


def test_a_clear_value_may_change_when_the_mac_covers_encrypted_values_only(encrypt, keys):
    options = OPTIONS["MAC over encrypted values"]
    text = encrypt("replicas: 1\nsecrets:\n  TOKEN: x\n", **options).replace(b"replicas: 1", b"replicas: 2 # more")
    values = decrypt(text, keys.identities, file="catwalk.yaml").values_under(("secrets",))
    assert values["TOKEN"].reveal() == "x"


def test_a_narrowed_rule_does_not_turn_ciphertext_into_text(encrypt, keys):
    options = OPTIONS["MAC over encrypted values"]
    text = encrypt("secrets:\n  TOKEN: x\n", **options).replace(b"^secrets$", b"^nothing$")
    with pytest.raises(Tampered):
        decrypt(text, keys.identities, file="catwalk.yaml")


def test_a_plain_secret_added_by_somebody_without_the_key_is_refused(encrypt, keys):
    options = OPTIONS["MAC over encrypted values"]
    text = encrypt("secrets:\n  TOKEN: x\n", **options).replace(b"secrets:\n", b"secrets:\n  ADDED: mine\n")
    with pytest.raises(Tampered, match=r"secrets\.ADDED must be encrypted"):
        decrypt(text, keys.identities, file="catwalk.yaml")


def test_the_place_of_a_tampered_value_is_told(encrypt, keys):
    text = _swap(encrypt("secrets:\n  A: one\n  B: two\n").decode())
    with pytest.raises(Tampered, match=r"^catwalk\.yaml:2:6: the value of secrets\.A does not verify"):
        decrypt(text.encode(), keys.identities, file="catwalk.yaml")


CONFLICT = "<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> topic\n"


def test_conflict_markers_of_git_are_named_as_such(sealed, keys, assert_shows_nothing):
    line = _line(sealed, "mac:")
    merged = sealed.replace(line, CONFLICT.format(ours=line, theirs=line))
    assert is_encrypted(merged.encode())
    with pytest.raises(MergeDamage, match="conflict markers") as refusal:
        decrypt(merged.encode(), keys.identities, file="catwalk.yaml")
    assert refusal.value.problem.location.line == merged[: merged.index("<<<<<<<")].count("\n") + 1
    assert_shows_nothing(refusal.value, SECOND)


def test_a_file_merged_by_hand_fails_its_mac_and_the_hint_speaks_of_merges(encrypt, keys):
    data_key = bytes(range(32))
    ours = encrypt("A: one\nB: two\n", data_key=data_key).decode()
    theirs = encrypt("A: one\nB: other\n", data_key=data_key).decode()
    merged = ours.replace(_line(ours, "B:"), _line(theirs, "B:"))
    with pytest.raises(Tampered) as refusal:
        decrypt(merged.encode(), keys.identities, file="s.yaml")
    assert refusal.value.problem.code == "sops-mac-mismatch"
    assert "merge" in refusal.value.problem.hint


def test_a_key_that_is_no_recipient_is_told_from_no_key(sealed, keys, other_keys, assert_shows_nothing):
    with pytest.raises(KeyMismatch, match=keys.recipient) as refusal:
        decrypt(sealed.encode(), other_keys.identities, file="catwalk.yaml")
    assert_shows_nothing(refusal.value, SECOND, other_keys.secret)


def test_no_key_at_all_names_the_variables_and_the_recipients(sealed, keys, assert_shows_nothing):
    with pytest.raises(NoKeyConfigured, match=keys.recipient) as refusal:
        decrypt(sealed.encode(), Identities(), file="catwalk.yaml")
    assert "SOPS_AGE_KEY" in refusal.value.problem.hint
    assert_shows_nothing(refusal.value, SECOND)


def test_a_wrong_recipient_name_does_not_lock_the_right_key_out(sealed, keys, other_keys):
    renamed = sealed.replace(keys.recipient, other_keys.recipient)
    assert decrypt(renamed.encode(), keys.identities, file="catwalk.yaml").leaves()


def test_a_wrapped_key_of_the_wrong_length_is_refused(encrypt, keys):
    text = encrypt("a: ''\n", data_key=bytes(16))
    with pytest.raises(Tampered) as refusal:
        decrypt(text, keys.identities, file="s.yaml")
    assert refusal.value.problem.code == "sops-key-tampered"
