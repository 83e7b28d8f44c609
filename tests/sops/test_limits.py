"""Hostile files: every size has a bound, and every refusal comes before the cost."""

import pytest

from reconciler.sops import limits
from reconciler.sops.document import decrypt, is_encrypted
from reconciler.sops.errors import MalformedSops, NoKeyConfigured, NotEncrypted, UnsupportedSops
from reconciler.sops.json_reader import read_json
from reconciler.sops.yaml_reader import read_yaml


def _bomb(levels):
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


HOSTILE_YAML = {
    "an alias bomb": (_bomb(9), "aliases expanded"),
    "an alias to itself": ("a: &a [*a]", "names nothing before it"),
    "an alias to itself behind an older anchor": ("a: &a x\nb: &a [*a]", "names nothing before it"),
    "an alias to nothing": ("a: *nobody", "names nothing before it"),
    "many aliases": ("a: &a x\nb: [" + ", ".join(["*a"] * 1_001) + "]", "aliases"),
    "deep block nesting": ("".join(" " * n + "a:\n" for n in range(150)), "nested deeper"),
    "deep flow nesting": ("a: " + "[" * 150 + "]" * 150, "nested deeper"),
    "a long key": ("? " + "k" * 2_000 + "\n: v", "key longer"),
    "a key twice": ("a: 1\na: 2", "stands twice"),
    "a key that is a number": ("8080: x", "key that is not text"),
    "a key that is a boolean": ("true: x", "key that is not text"),
    "a key that is a list": ("? [a]\n: x", "key that is not text"),
    "a list at the top": ("- a", "must be a mapping"),
    "a scalar at the top": ("a", "must be a mapping"),
    "an integer beyond 64 bits": ("a: 18446744073709551615", "larger than"),
    "a tag that does not fit": ("a: !!int x", "does not fit its tag"),
    "an escape beyond Unicode": (r'a: "\U00110000"', "not valid YAML"),
    "an escape beyond everything": (r'a: "\UFFFFFFFF"', "not valid YAML"),
    "half a surrogate pair": (r'a: "\ud83d"', "not valid YAML"),
    "a control character": ("a: \x07", "not valid YAML"),
    "an open bracket": ("a: [", "not valid YAML"),
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE_YAML.values(), ids=HOSTILE_YAML.keys())
def test_hostile_yaml_is_refused_with_its_reason(text, reason):
    with pytest.raises(MalformedSops, match=reason) as refusal:
        read_yaml(text, "s.yaml")
    assert refusal.value.problem.location.file == "s.yaml"


def test_more_values_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr("reconciler.sops.yaml_reader.MAXIMUM_NODES", 10)
    with pytest.raises(MalformedSops, match="more than 10 values"):
        read_yaml("a: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "s.yaml")


HOSTILE_JSON = {
    "many values": ('{"a": [' + "1," * 100_000 + "1]}", "more than 100000 values"),
    "deep nesting": ('{"a":' + "[" * 150 + "]" * 150 + "}", "nested deeper"),
    "nesting beyond the stack": ('{"a":' * 100_000, "nested deeper"),
    "a key twice": ('{"a": 1, "a": 2}', "stands twice"),
    "a long key": ('{"' + "k" * 2_000 + '": 1}', "key longer"),
    "a list at the top": ("[]", "must be an object"),
    "not a number": ('{"a": NaN}', "not JSON"),
    "a number beyond a float": ('{"a": 1e999}', "beyond a 64 bit float"),
    "a comma without a value": ('{"a": 1,}', "not valid JSON"),
    "a leading zero": ('{"a": 01}', "not valid JSON"),
    "a raw line break in a string": ('{"a": "\n"}', "not valid JSON"),
    "no colon": ('{"a" 1}', "not valid JSON"),
    "nothing": ("", "not valid JSON"),
    "text after the end": ('{"a": 1} x', "not valid JSON"),
    "an open brace": ("{", "not valid JSON"),
}


@pytest.mark.parametrize(("text", "reason"), HOSTILE_JSON.values(), ids=HOSTILE_JSON.keys())
def test_hostile_json_is_refused_with_its_reason(text, reason):
    with pytest.raises(MalformedSops, match=reason):
        read_json(text, "s.json")


def test_every_json_value_knows_its_line_and_column():
    (document,) = read_json('{"a": [1,\r\n  {"b": "x"}],\n\t"c": null}', "s.json")
    places = {key: (node.position.line, node.position.column) for key, node in document.entries}
    assert places == {"a": (1, 7), "c": (3, 7)}
    inner = document.find("a").items[1].find("b")
    assert (inner.position.line, inner.position.column) == (2, 9)


@pytest.mark.parametrize(
    ("text", "place"), [('{"a": 1,\n "a": 2}', "2:2"), ('{"a":\n  yes}', "2:3"), ('{\n"a": "\\q"}', "2:7")]
)
def test_a_fault_in_json_is_told_with_its_place(text, place):
    with pytest.raises(MalformedSops, match=rf"^s\.json:{place}: "):
        read_json(text, "s.json")


def test_a_file_above_five_mebibytes_is_refused_unread(keys):
    text = b"sops: {}\na: '" + b"x" * limits.MAXIMUM_FILE_BYTES + b"'\n"
    assert is_encrypted(text)
    with pytest.raises(MalformedSops) as refusal:
        decrypt(text, keys.identities, file="s.yaml")
    assert refusal.value.problem.code == "sops-too-large"


def test_bytes_that_are_not_utf_8_are_refused_with_their_line(keys, assert_shows_nothing, canary):
    with pytest.raises(MalformedSops, match=r"s\.yaml:2:1: the file is not UTF-8") as refusal:
        decrypt(b"a: 1\nb: " + canary.encode() + b"\xff\n", keys.identities, file="s.yaml")
    assert_shows_nothing(refusal.value)


def test_a_syntax_error_beside_a_plain_secret_does_not_show_it(keys, assert_shows_nothing, canary):
    for text in (f"a: [{canary}\nb: c: {canary}", f'a: "{canary}', f"a: *{canary}", f"a: !<{canary}%zz> {canary}"):
        with pytest.raises(MalformedSops) as refusal:
            decrypt(text.encode(), keys.identities, file="s.yaml")
        assert_shows_nothing(refusal.value)


METADATA = {
    "no recipients": ("age: []", "no recipients"),
    "no lists at all": ("version: 3.9.0", "no recipients"),
    "recipients that are no list": ("age: {a: b}", "age is not a list"),
    "a recipient that is no mapping": ("age: [x]", "item of age is not a mapping"),
    "a recipient of no form": ("age: [{recipient: 'x y z', enc: x}]", "no valid recipient"),
    "a secret key as recipient": ("age: [{recipient: AGE-SECRET-KEY-1QQQ, enc: x}]", "no valid recipient"),
    "a recipient without data key": ("age: [{recipient: age1qqqqqqqqqq}]", "no data key"),
    "a huge wrapped key": ("age: [{recipient: age1qqqqqqqqqq, enc: " + "x" * 70_000 + "}]", "far too long"),
    "many recipients": ("pgp: [" + ", ".join(["{fp: A, enc: x}"] * 201) + "]", "more than 200 recipients"),
    "many key groups": (
        "key_groups: [" + ", ".join(["{pgp: [{fp: A, enc: x}]}"] * 33) + "]",
        "more than 32 key groups",
    ),
    "an empty key group": ("key_groups: [{pgp: [{fp: A, enc: x}]}, {}]", "without any"),
    "an absurd threshold": (
        "shamir_threshold: 9\n  key_groups: [{pgp: [{fp: A, enc: x}]}, {pgp: [{fp: A, enc: x}]}]",
        "shamir_threshold must be between",
    ),
    "a threshold of one": (
        "shamir_threshold: 1\n  key_groups: [{pgp: [{fp: A, enc: x}]}, {pgp: [{fp: A, enc: x}]}]",
        "shamir_threshold must be between",
    ),
    "a threshold that is text": ("shamir_threshold: many\n  pgp: [{fp: A, enc: x}]", "not an integer"),
    "a flag that is text": ("mac_only_encrypted: maybe\n  pgp: [{fp: A, enc: x}]", "not true or false"),
    "two rules": ("pgp: [{fp: A, enc: x}]\n  encrypted_regex: a\n  unencrypted_suffix: b", "more than one rule"),
    "a rule that is a list": ("pgp: [{fp: A, enc: x}]\n  encrypted_regex: [a]", "encrypted_regex is not text"),
    "a timestamp that is none": ("pgp: [{fp: A, enc: x}]\n  mac: x\n  lastmodified: yesterday", "RFC 3339"),
}


@pytest.mark.parametrize(("fields", "reason"), METADATA.values(), ids=METADATA.keys())
def test_hostile_metadata_is_refused_with_its_reason(keys, assert_shows_nothing, fields, reason):
    with pytest.raises(MalformedSops, match=reason) as refusal:
        decrypt(f"a: b\nsops:\n  {fields}\n".encode(), keys.identities, file="s.yaml")
    assert_shows_nothing(refusal.value)


@pytest.mark.parametrize("pattern", ["^(?!name).*", r"(a)\1", "(?<=a)b"])
def test_a_rule_that_sops_would_silently_ignore_is_refused(keys, pattern):
    text = f"a: b\nsops:\n  pgp: [{{fp: A, enc: x}}]\n  encrypted_regex: '{pattern}'\n"
    with pytest.raises(UnsupportedSops, match="encrypted_regex cannot be used") as refusal:
        decrypt(text.encode(), keys.identities, file="s.yaml")
    assert refusal.value.problem.code == "sops-unsupported-rule"


def test_a_comment_rule_with_a_partial_mac_is_refused(keys):
    text = "sops:\n  pgp: [{fp: A, enc: x}]\n  encrypted_comment_regex: x\n  mac_only_encrypted: true\n"
    with pytest.raises(UnsupportedSops, match="cannot be verified safely"):
        decrypt(text.encode(), keys.identities, file="s.yaml")


@pytest.mark.parametrize("service", ["azure_kv", "hckms"])
def test_a_key_service_that_is_not_spoken_is_refused_by_name(keys, service):
    text = f"sops:\n  {service}: [{{enc: x}}]\n  mac: x\n  lastmodified: '2026-01-02T03:04:05Z'\n"
    with pytest.raises(UnsupportedSops, match={"azure_kv": "Azure", "hckms": "Huawei"}[service]):
        decrypt(text.encode(), keys.identities, file="s.yaml")


@pytest.mark.parametrize(
    ("service", "name", "hint"),
    [("pgp", "PGP", "gpg"), ("kms", "AWS", "aws"), ("gcp_kms", "GCP", "GOOGLE"), ("hc_vault", "Vault", "VAULT_ADDR")],
)
def test_a_key_service_that_is_not_configured_is_told_with_how_to(keys, service, name, hint):
    text = f"sops:\n  {service}: [{{enc: x}}]\n  mac: x\n  lastmodified: '2026-01-02T03:04:05Z'\n"
    with pytest.raises(NoKeyConfigured, match=name) as refusal:
        decrypt(text.encode(), keys.identities, file="s.yaml")
    assert hint in refusal.value.problem.hint


def test_a_plugin_recipient_is_refused_by_name(keys):
    recipient = "age1yubikey1" + "q" * 60
    text = f"sops:\n  age: [{{recipient: {recipient}, enc: x}}]\n  mac: x\n  lastmodified: '2026-01-02T03:04:05Z'\n"
    with pytest.raises(UnsupportedSops, match="age plugin"):
        decrypt(text.encode(), keys.identities, file="s.yaml")


@pytest.mark.parametrize(
    "text", ["", "a: b\n", "a:\n  sops: {}\n", "sops: null\n", "sops: text\n", "# sops\n", "a: sops\n"]
)
def test_a_file_without_metadata_is_not_encrypted(keys, text):
    assert not is_encrypted(text.encode())
    with pytest.raises(NotEncrypted):
        decrypt(text.encode(), keys.identities, file="s.yaml")


@pytest.mark.parametrize("text", [b"A=b\nsops_mac=x\n", b"[sops]\nmac = x\n", b"a: [\nsops:\n  mac: x\n"])
def test_traces_of_metadata_in_an_unreadable_file_count_as_encrypted(text):
    assert is_encrypted(text)
