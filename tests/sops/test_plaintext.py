"""The plaintext in the format of the file: it reads back as the same values, and nothing else of the text changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sops.document import decrypt, decrypt_document
from reconciler.sops.formats import Format, format_by_content, format_by_name
from reconciler.sops.nodes import MappingNode, Scalar, SequenceNode, ValueType
from reconciler.sops.yaml_reader import read_yaml
from reconciler.sops.yaml_text import yaml_value

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ["yes", "~", "12:30:45", "=", "- a", "a: b", "a #b", "1.10", "ENC[x]", "a\nb\n\n", "\n", " a\n b", "'", "<<"]
    ),
    st.text(alphabet="a:#-?,[]{}&*!|>'\"%@` \n\t~=<", max_size=12),
)


@given(TEXTS, st.booleans())
def test_every_text_reads_back_as_itself(text, in_flow):
    written = yaml_value(ValueType.STR, text.encode(), in_flow=in_flow, block_indent=6)
    document = f"k: [{written}, x]\n" if in_flow else f"k:\n  - a: {written}\n    b: x\n"
    (read,) = read_yaml(document, "s.yaml")
    assert _scalars(read)[0] == (ValueType.STR, text.encode())


@pytest.mark.parametrize(
    ("value_type", "content", "written"),
    [
        (ValueType.FLOAT, "8", "8.0"),
        (ValueType.FLOAT, "1.5", "1.5"),
        (ValueType.FLOAT, "+Inf", ".inf"),
        (ValueType.FLOAT, "NaN", ".nan"),
        (ValueType.INT, "8", "8"),
        (ValueType.BOOL, "True", "true"),
        (ValueType.TIME, "2024-05-06T00:00:00Z", "2024-05-06T00:00:00Z"),
    ],
)
def test_every_type_reads_back_as_itself(value_type, content, written):
    assert yaml_value(value_type, content.encode(), in_flow=False, block_indent=4) == written
    (read,) = read_yaml(f"k: {written}\n", "s.yaml")
    assert _scalars(read) == [(value_type, content.encode())]


def test_bytes_that_are_no_text_are_written_as_binary():
    assert yaml_value(ValueType.STR, b"\xff\x00", in_flow=False, block_indent=4) == "!!binary /wA="


def _scalars(node):
    match node:
        case Scalar():
            return [(node.type, node.content)]
        case MappingNode():
            return [each for _, child in node.entries for each in _scalars(child)]
        case SequenceNode():
            return [each for child in node.items for each in _scalars(child)]


YAML = """\
# A comment
fleet: acme   # kept
servers:
    github: {secrets: {TOKEN: "a, b", N: 5}}
list:
- one
-   two: |
        lines
        of text
    three: 1.0
anchor: &a x
"""


def test_what_was_in_clear_stays_as_it_stands(encrypt, keys):
    opened = decrypt(encrypt(YAML.replace("&a ", "")), keys.identities, file="s.yaml")
    expected = YAML.replace("&a ", "").replace('"a, b"', "'a, b'").replace("    of text", "    of text")
    assert opened.plaintext().decode() == expected


def test_the_metadata_goes_from_every_document(encrypt, keys):
    opened = decrypt(encrypt("a: x\n---\nb: z\n"), keys.identities, file="s.yaml")
    assert opened.plaintext() == b"a: x\n---\nb: z\n"


def test_a_document_with_nothing_but_metadata_is_empty(encrypt, keys):
    assert decrypt(encrypt("{}\n").replace(b"{}\n", b""), keys.identities, file="s.yaml").plaintext() == b"{}\n"


@pytest.mark.parametrize("first", [True, False])
def test_json_loses_the_metadata_and_one_comma(encrypt, keys, writer, first):
    data_key = bytes(range(32))
    sealed = encrypt("a: x\nb: 2\n", data_key=data_key)
    (document,) = read_yaml(sealed.decode(), "s.yaml")
    tree = _plain(document)
    tree = {"sops": tree.pop("sops"), **tree} if first else tree
    tree["b"] = writer.encrypt_value(b"2", ValueType.INT, "b:", data_key)
    text = json.dumps(tree, indent=1).encode()
    opened = decrypt(text, keys.identities, file="s.json")
    assert opened.plaintext() == b'{\n "a": "x",\n "b": 2\n}'
    assert [leaf.line for leaf in opened.leaves()] == ([13, 14] if first else [2, 3])


def _plain(node):
    match node:
        case Scalar():
            return node.content.decode()
        case MappingNode():
            return {key: _plain(child) for key, child in node.entries}
        case SequenceNode():
            return [_plain(child) for child in node.items]


NAMES = {
    "s.yaml": Format.YAML,
    "s.YML": Format.YAML,
    "s.json": Format.JSON,
    ".env": Format.DOTENV,
    "dev.env": Format.DOTENV,
    ".env.production": Format.DOTENV,
    "s.ini": Format.INI,
    "s.txt": None,
    "secret": None,
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_a_name_says_its_format(name, expected):
    assert format_by_name(f"folder.yaml/{name}") is expected


CONTENTS = {
    '{"data": "ENC[x]", "sops": {}}': Format.BINARY,
    '{"data": "ENC[x]", "more": 1, "sops": {}}': Format.JSON,
    ' {"a": 1}': Format.JSON,
    "[a]\nb = c\n[sops]\nmac = x\n": Format.INI,
    "A=b\nsops_mac=x\n": Format.DOTENV,
    "a: b\n": Format.YAML,
    "": Format.YAML,
}


@pytest.mark.parametrize(("text", "expected"), CONTENTS.items())
def test_a_content_shows_its_format(text, expected):
    assert format_by_content(text) is expected


def test_a_stated_format_wins_over_the_name(encrypt, keys):
    opened = decrypt_document(encrypt("a: x\n"), format=Format.YAML, identities=keys.identities, file="s.env")
    assert opened.plaintext() == b"a: x\n"
    assert opened.format is Format.YAML
