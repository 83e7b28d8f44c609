"""What becomes an environment variable, and files that hold one secret."""

import pytest

from reconciler.core.secret import SecretValue
from reconciler.sops.document import decrypt
from reconciler.sops.errors import Tampered, UnusableSecret, WrongPlace
from reconciler.sops.rules import RuleKind
from reconciler.sops.secret_file import read_secret_file

MANIFEST = """\
fleet: acme
servers:
  github:
    secrets:
      TOKEN: {token}
      OTHER: "other # not a comment"
  time: {{secrets: {{}}}}
  memory:
    secrets: null
  plain: {{}}
"""
INLINE = {"rule": (RuleKind.ENCRYPTED_REGEX, "^secrets$"), "mac_only_encrypted": True}


def _secrets(text, keys, path=("secrets",)):
    return decrypt(text, keys.identities, file="catwalk.yaml").values_under(path)


def test_the_secrets_of_a_server_are_the_strings_under_its_mapping(encrypt, keys, canary):
    decrypted = decrypt(encrypt(MANIFEST.format(token=canary), **INLINE), keys.identities, file="catwalk.yaml")
    values = decrypted.values_under(("servers", "github", "secrets"))
    assert dict(values) == {"TOKEN": SecretValue(canary), "OTHER": SecretValue("other # not a comment")}
    assert canary not in repr(values)


@pytest.mark.parametrize("server", ["time", "memory", "plain", "absent"])
def test_a_server_without_secrets_has_none(encrypt, keys, server):
    text = encrypt(MANIFEST.format(token="x"), **INLINE)
    assert _secrets(text, keys, ("servers", server, "secrets")) == {}


REFUSED = {
    "a number": ("1.10", "type float"),
    "an integer": ("0123", "type int"),
    "a boolean": ("true", "type bool"),
    "a time": ("2024-01-02", "type time"),
    "null": ("null", "has no value"),
    "an empty string": ("''", "has no value"),
    "a list": ("[a]", "nested or a list"),
    "a mapping": ("{a: b}", "nested or a list"),
    "an empty mapping": ("{}", "has no value"),
    "bytes that are no text": ("!!binary /w==", "not UTF-8"),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_string_is_refused_with_its_place(encrypt, keys, assert_shows_nothing, value, reason):
    text = encrypt(f"secrets:\n  TOKEN: {value}\n", **INLINE)
    with pytest.raises(UnusableSecret, match=reason) as refusal:
        _secrets(text, keys)
    assert refusal.value.problem.location.line == 2
    assert_shows_nothing(refusal.value)


def test_a_list_in_the_place_of_secrets_is_refused(encrypt, keys):
    with pytest.raises(UnusableSecret, match="nested or a list"):
        _secrets(encrypt("secrets: [a]\n", **INLINE), keys)


def test_a_string_in_the_place_of_secrets_is_refused(encrypt, keys):
    with pytest.raises(UnusableSecret, match="nested or a list"):
        _secrets(encrypt("secrets: a\n", **INLINE), keys)


def test_a_secret_in_plain_text_is_refused_although_the_mac_holds(encrypt, keys, assert_shows_nothing, canary):
    text = encrypt(f"secrets:\n  TOKEN_unencrypted: {canary}\n")
    with pytest.raises(UnusableSecret, match="is not encrypted") as refusal:
        _secrets(text, keys)
    assert_shows_nothing(refusal.value)


PLACE = "acme/github/TOKEN"


def _secret_file(canary, place=PLACE):
    return f"value: {canary}\nfor: {place}\n"


def _read(text, keys, place=PLACE):
    return read_secret_file(text, keys.identities, file="secrets/github/TOKEN.sops.yaml", place=place)


def test_a_secret_file_gives_its_value_in_its_place(encrypt, keys, canary):
    assert _read(encrypt(_secret_file(canary)), keys) == SecretValue(canary)


@pytest.mark.parametrize("place", ["acme/other/TOKEN", "acme/github/NAME", "acme/github", ""])
def test_a_secret_file_copied_elsewhere_is_refused(encrypt, keys, assert_shows_nothing, canary, place):
    with pytest.raises(WrongPlace) as refusal:
        _read(encrypt(_secret_file(canary)), keys, place)
    assert refusal.value.problem.code == "sops-wrong-place"
    assert_shows_nothing(refusal.value, PLACE)


SHAPES = {
    "no place": "value: {canary}\n",
    "no value": "for: acme/github/TOKEN\n",
    "something else": "value: {canary}\nfor: acme/github/TOKEN\nmore: x\n",
    "a nested value": "value: {{a: {canary}}}\nfor: acme/github/TOKEN\n",
    "a number": "value: 5\nfor: acme/github/TOKEN\n",
    "an empty value": "value: ''\nfor: acme/github/TOKEN\n",
    "a second document": "value: {canary}\nfor: acme/github/TOKEN\n---\nvalue: x\n",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_secret_file_of_another_shape_is_refused(encrypt, keys, assert_shows_nothing, canary, shape):
    with pytest.raises(UnusableSecret) as refusal:
        _read(encrypt(shape.format(canary=canary)), keys)
    assert_shows_nothing(refusal.value)


@pytest.mark.parametrize("clear", ["value", "for"])
def test_a_secret_file_with_a_clear_part_is_refused(encrypt, keys, assert_shows_nothing, canary, clear):
    sealed = encrypt(_secret_file(canary), rule=(RuleKind.UNENCRYPTED_REGEX, f"^{clear}$"))
    with pytest.raises(UnusableSecret, match="is not encrypted") as refusal:
        _read(sealed, keys)
    assert_shows_nothing(refusal.value)


def test_a_place_written_in_by_hand_is_refused(encrypt, keys):
    sealed = encrypt("value: x\nfor: acme/other/TOKEN\n").decode()
    line = next(line for line in sealed.splitlines() if line.startswith("for:"))
    with pytest.raises(Tampered, match="for must be encrypted"):
        _read(sealed.replace(line, f"for: {PLACE}").encode(), keys)
