"""Random documents through the test writer and back, against what the generator knows of every value."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.sops.document import decrypt
from reconciler.sops.errors import Tampered
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import RuleKind

PLAIN = {
    "_1": (ValueType.STR, "_1"),
    "1__0": (ValueType.INT, "10"),
    "0_7": (ValueType.INT, "7"),
    "0x_f": (ValueType.INT, "15"),
    "-1_0": (ValueType.INT, "-10"),
    "0o": (ValueType.STR, "0o"),
    "0o17": (ValueType.INT, "15"),
    "00": (ValueType.INT, "0"),
    "08": (ValueType.FLOAT, "8"),
    "-0777": (ValueType.INT, "-511"),
    "0b101": (ValueType.INT, "5"),
    "0e0": (ValueType.FLOAT, "0"),
    "-0.0": (ValueType.FLOAT, "-0"),
    "1e+5": (ValueType.FLOAT, "100000"),
    "1e400": (ValueType.STR, "1e400"),
    "1.10": (ValueType.FLOAT, "1.1"),
    "+.inf": (ValueType.FLOAT, "+Inf"),
    ".nan": (ValueType.FLOAT, "NaN"),
    "Null": (ValueType.NULL, ""),
    "~": (ValueType.NULL, ""),
    "nUll": (ValueType.STR, "nUll"),
    "yes": (ValueType.STR, "yes"),
    "TRUE": (ValueType.BOOL, "True"),
    "2024-1-2": (ValueType.TIME, "2024-01-02T00:00:00Z"),
    "12:30:45": (ValueType.STR, "12:30:45"),
    "!!str 5": (ValueType.STR, "5"),
    "!!float 1": (ValueType.FLOAT, "1"),
    "!!binary aGVsbG8=": (ValueType.STR, "hello"),
    "!tag text": (ValueType.STR, "text"),
    "''": (ValueType.STR, ""),
    "plain # comment": (ValueType.STR, "plain"),
    f"a\n{' ' * 80}b": (ValueType.STR, "a b"),  # Indented further than any generated nesting.
    "'it''s'": (ValueType.STR, "it's"),
    "{}": (ValueType.EMPTY_MAP, ""),
    "[]": (ValueType.EMPTY_LIST, ""),
}
STRINGS = [
    "ENC[x]",
    "- a",
    ": b",
    "#c",
    "a\tb",
    "trailing ",
    "<<",
    "\u2028",
    "\x85",
    "\x7f",
    "\0",
    "\U0001f600",
    "a\nb\n",
]
KEYS = ["k:c", "a b", "yes", "1", "", "null", "~", "<<", "secrets", "x_unencrypted", "env", "b", "trailing "]


def _quoted(text):
    """A double-quoted YAML scalar; what YAML cannot hold raw is escaped as one code point."""
    escaped = (json.dumps(each)[1:-1] if each in '"\\' else each for each in text)
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'


SCALARS = st.one_of(
    st.sampled_from(sorted(PLAIN)).map(lambda text: (text, *PLAIN[text])),
    st.one_of(st.sampled_from(STRINGS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12)).map(
        lambda text: (_quoted(text), ValueType.STR, text)
    ),
)
MAPPINGS = st.deferred(lambda: st.dictionaries(st.sampled_from(KEYS), NODES, min_size=1, max_size=3))
NODES = st.deferred(lambda: st.one_of(SCALARS, SCALARS, MAPPINGS, st.lists(NODES, min_size=1, max_size=3)))
RULES = st.sampled_from(
    [
        None,
        (RuleKind.ENCRYPTED_REGEX, "^(secrets|env)$"),
        (RuleKind.UNENCRYPTED_REGEX, "^[ab]"),
        (RuleKind.ENCRYPTED_SUFFIX, "s"),
        (RuleKind.UNENCRYPTED_SUFFIX, "_unencrypted"),
    ]
)


def _lines(node, margin):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _entry(f"{margin}{_quoted(key)}:", value, margin)
    elif isinstance(node, list):
        for value in node:
            yield from _entry(f"{margin}-", value, margin)


def _entry(opening, value, margin):
    if isinstance(value, tuple):
        yield f"{opening} {value[0]}"
    else:
        yield opening
        yield from _lines(value, margin + "  ")


def _leaves(node, path):
    if isinstance(node, tuple):
        yield path, node[1], node[2].encode()
    else:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, (*path, key))


@settings(max_examples=150, deadline=None)
@given(documents=st.lists(MAPPINGS, min_size=1, max_size=3), rule=RULES, mac_only_encrypted=st.booleans())
def test_every_value_comes_back_with_type_and_bytes(encrypt, keys, documents, rule, mac_only_encrypted):
    text = "---\n".join("\n".join(_lines(document, "")) + "\n" for document in documents)
    sealed = encrypt(text, rule=rule, mac_only_encrypted=mac_only_encrypted)
    expected = [
        (number, path, value_type, content)
        for number, document in enumerate(documents)
        for path, value_type, content in _leaves(document, ())
    ]
    opened = decrypt(sealed, keys.identities, file="s.yaml")
    assert [(leaf.document, leaf.path, leaf.type, leaf.plaintext) for leaf in opened.leaves()] == expected


RULE_TEXT = "top: t\nenv:\n  A: a\n  list: [x, {deep: y}]\nB_clear: b\nC_secret: c\n"
ENCRYPTED_PATHS = {
    "no rule": (None, ["top", "env.A", "env.list", "env.list.deep", "B_clear", "C_secret"]),
    "unencrypted_suffix": (
        (RuleKind.UNENCRYPTED_SUFFIX, "_clear"),
        ["top", "env.A", "env.list", "env.list.deep", "C_secret"],
    ),
    "encrypted_suffix": ((RuleKind.ENCRYPTED_SUFFIX, "_secret"), ["C_secret"]),
    "unencrypted_regex": ((RuleKind.UNENCRYPTED_REGEX, "^(env|top)$"), ["B_clear", "C_secret"]),
    "encrypted_regex": ((RuleKind.ENCRYPTED_REGEX, "^(env|top)$"), ["top", "env.A", "env.list", "env.list.deep"]),
}


@pytest.mark.parametrize(("rule", "paths"), ENCRYPTED_PATHS.values(), ids=ENCRYPTED_PATHS.keys())
def test_a_rule_covers_the_subtree_of_every_key_that_matches(encrypt, keys, rule, paths):
    opened = decrypt(encrypt(RULE_TEXT, rule=rule), keys.identities, file="s.yaml")
    encrypted = [".".join(p for p in leaf.path if isinstance(p, str)) for leaf in opened.leaves() if leaf.was_encrypted]
    assert encrypted == paths


@pytest.mark.parametrize("kind", [RuleKind.ENCRYPTED_COMMENT_REGEX, RuleKind.UNENCRYPTED_COMMENT_REGEX])
def test_with_a_comment_rule_what_looks_encrypted_is(encrypt, keys, kind):
    sealed = encrypt("# sops:enc\nA: secret\nB_clear: open\n", rule=(RuleKind.UNENCRYPTED_SUFFIX, "_clear")).decode()
    sealed = sealed.replace("unencrypted_suffix: '_clear'", f"{kind.value}: 'sops:enc'")
    opened = decrypt(sealed.encode(), keys.identities, file="s.yaml")
    assert [(leaf.plaintext, leaf.was_encrypted) for leaf in opened.leaves()] == [(b"secret", True), (b"open", False)]


def test_an_encrypted_comment_inside_a_list_is_no_value(writer, encrypt, keys):
    data_key = bytes(range(32))
    comment = writer.encrypt_value(b"a note", ValueType.COMMENT, "items:", data_key)
    sealed = encrypt("items:\n  - a\n  - b\n", data_key=data_key).decode()
    sealed = sealed.replace("items:\n", f"items:\n  - {comment}\n")
    opened = decrypt(sealed.encode(), keys.identities, file="s.yaml")
    assert [(leaf.path, leaf.plaintext) for leaf in opened.leaves()] == [(("items", 0), b"a"), (("items", 1), b"b")]


def test_an_encrypted_comment_opens_with_the_path_around_it(encrypt, keys, writer):
    data_key = bytes(range(32))
    root = writer.encrypt_value(b" about a\nand more", ValueType.COMMENT, ":", data_key)
    inner = writer.encrypt_value(b" about c", ValueType.COMMENT, "b:", data_key)
    sealed = encrypt("a: x\nb:\n  c: z\n", data_key=data_key)
    sealed = sealed.replace(b"a: ", f"#{root}\na: ".encode()).replace(b"  c: ", f"  #{inner}\n  c: ".encode())
    opened = decrypt(sealed, keys.identities, file="s.yaml")
    assert opened.plaintext() == b"# about a\n#and more\na: x\nb:\n  # about c\n  c: z\n"


@pytest.mark.parametrize(
    "comment",
    [
        "ENC[AES256_GCM,data:AAAA,iv:AA==,tag:AA==,type:comment]",
        "ENC[AES256_GCM,data:QQ==,iv:x]",
        "ENZ[AES256_GCM,data:AAAA,iv:AA==,tag:AA==,type:comment]",
        "ENC[AES256_GCM;data:AAAA,iv:AA==,tag:AA==,type:comment]",
        "ENC[AES256_GCM,data:AAAA,iv:AA==,tag:AA==,type:comment}",
    ],
)
def test_an_encrypted_comment_that_does_not_verify_is_refused(encrypt, keys, comment):
    sealed = encrypt("a: x\n").replace(b"a: ", f"#{comment}\na: ".encode())
    with pytest.raises(Tampered, match=r"^s\.yaml:1:1: an encrypted comment does not verify"):
        decrypt(sealed, keys.identities, file="s.yaml")


def test_a_comment_of_another_type_is_refused(encrypt, keys, writer):
    data_key = bytes(range(32))
    comment = writer.encrypt_value(b" x", ValueType.STR, ":", data_key)
    sealed = encrypt("a: x\n", data_key=data_key).replace(b"a: ", f"#{comment}\na: ".encode())
    with pytest.raises(Tampered, match="encrypted comment"):
        decrypt(sealed, keys.identities, file="s.yaml")


def test_a_comment_that_speaks_of_ciphertexts_is_left_alone(encrypt, keys):
    note = b"# was: ENC[AES256_GCM,data:AAAA]\n"
    sealed = note + encrypt("a: x # ENC[x]\n")
    assert decrypt(sealed, keys.identities, file="s.yaml").plaintext() == note + b"a: x # ENC[x]\n"


def test_a_comment_inside_a_list_is_a_comment_in_the_plaintext(encrypt, keys, writer):
    data_key = bytes(range(32))
    comment = writer.encrypt_value(b" second", ValueType.COMMENT, "a:", data_key)
    sealed = encrypt("a:\n  - x\n  - z\n", data_key=data_key)
    lines = sealed.splitlines(keepends=True)
    lines.insert(2, f"  - {comment}\n".encode())
    opened = decrypt(b"".join(lines), keys.identities, file="s.yaml")
    assert opened.plaintext() == b"a:\n  - x\n  # second\n  - z\n"
    assert [leaf.plaintext for leaf in opened.leaves()] == [b"x", b"z"]


def test_an_alias_stands_for_its_node(encrypt, keys):
    sealed = encrypt("a_unencrypted: x\nb_unencrypted: x\n").replace(
        b": x\nb_unencrypted: x", b": &v x\nb_unencrypted: *v"
    )
    leaves = decrypt(sealed, keys.identities, file="s.yaml").leaves()
    assert [(leaf.path, leaf.plaintext) for leaf in leaves] == [(("a_unencrypted",), b"x"), (("b_unencrypted",), b"x")]


def test_a_merge_key_is_a_key_on_the_path(encrypt, keys):
    leaves = decrypt(encrypt("a:\n  <<: {x: '1'}\n  y: '2'\n"), keys.identities, file="s.yaml").leaves()
    assert [leaf.path for leaf in leaves] == [("a", "<<", "x"), ("a", "y")]


@pytest.mark.parametrize("change", [lambda text: text.replace(b"\n", b"\r\n"), lambda text: b"\xef\xbb\xbf" + text])
def test_windows_line_endings_and_a_byte_order_mark_are_accepted(encrypt, keys, change):
    sealed = change(encrypt("a: x\nb: |\n  two\n  lines\n"))
    leaves = decrypt(sealed, keys.identities, file="s.yaml").leaves()
    assert [leaf.plaintext for leaf in leaves] == [b"x", b"two\nlines\n"]


def test_values_carry_their_place_in_the_file(encrypt, keys):
    leaves = decrypt(encrypt("a: x\nb:\n  - y\n"), keys.identities, file="s.yaml").leaves()
    assert [(leaf.line, leaf.column) for leaf in leaves] == [(1, 4), (3, 5)]


def test_nothing_opened_shows_its_values(encrypt, keys, canary):
    opened = decrypt(encrypt(f"a: {canary}\n"), keys.identities, file="s.yaml")
    assert canary not in repr(opened) + repr(opened.leaves()) + repr(opened.recipients) + repr(keys.identities)


def test_several_recipients_each_open_the_file(encrypt, keys, other_keys):
    sealed = encrypt("a: x\n", recipients=[other_keys.recipient, keys.recipient])
    for each in (keys, other_keys):
        assert decrypt(sealed, each.identities, file="s.yaml").leaves()[0].plaintext == b"x"


def test_key_groups_written_here_are_joined(encrypt, keys, other_keys):
    both = keys.identities.keys + other_keys.identities.keys
    sealed = encrypt("a: x\n", groups=[[keys.recipient], [other_keys.recipient]])
    opened = decrypt(sealed, type(keys.identities)(keys=both), file="s.yaml")
    assert opened.leaves()[0].plaintext == b"x"
    assert [each.name for each in opened.recipients] == [keys.recipient, other_keys.recipient]
