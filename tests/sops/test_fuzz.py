"""Anything may stand in a file: the readers answer with documents or with their own errors, and never show plaintext.

The second half writes random documents in every format with the tests' own writer and reads them back.
"""

import json
import resource
import string
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import CatwalkError
from reconciler.sops import limits
from reconciler.sops.document import decrypt_document, is_encrypted
from reconciler.sops.dotenv_reader import read_dotenv
from reconciler.sops.errors import MalformedSops
from reconciler.sops.files import read_file
from reconciler.sops.flat_metadata import UnreadableNameError, unflatten
from reconciler.sops.formats import Format
from reconciler.sops.ini_reader import read_ini
from reconciler.sops.json_reader import read_json
from reconciler.sops.metadata import read_metadata
from reconciler.sops.nodes import MappingNode, Position, SequenceNode
from reconciler.sops.patterns import Pattern, UnsupportedPatternError
from reconciler.sops.yaml_reader import read_yaml

READERS = {"yaml": read_yaml, "json": read_json, "dotenv": read_dotenv, "ini": read_ini}
MORE = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])

FRAGMENTS = st.sampled_from(
    [
        *(
            "a",
            "b: ",
            "sops",
            "sops:",
            '"sops": ',
            "[sops]\n",
            "sops_mac=",
            "sops_age__list_0__map_enc=",
            "mac: ",
            "- ",
        ),
        *("\n", "\r\n", "  ", "\t", ":", "=", "#", ";", '"', "'", '"""', "`", "\\", "{", "}", "[", "]", ",", "|", ">"),
        *("&a ", "*a", "!!int ", "!!binary ", "<<: ", "? ", "---\n", "...\n", "%YAML 1.2\n", "1", "-0", "1e400", "0x"),
        *("ENC[AES256_GCM,data:QQ==,iv:QQ==,tag:QQ==,type:str]", "#ENC[AES256_GCM,data:", "null", "true", "NaN", "\0"),
        *("\ufeff", "\u2028", "\x85", "\\ud800", "\\u0000", "age: [{recipient: age1qqqqqqqqqq, enc: x}]", "é", "😀"),
    ]
)
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=25).map("".join), st.text(max_size=80))


def _is_one_of_ours(error):
    assert error.problem.code.startswith("sops-")


def _sound(node, length):
    assert 0 <= node.position.start <= node.position.end <= length or node.position == Position()
    assert node.position.line >= 1
    assert node.position.column >= 1
    children = (
        [child for _, child in node.entries]
        if isinstance(node, MappingNode)
        else node.items
        if isinstance(node, SequenceNode)
        else []
    )
    for child in children:
        _sound(child, length)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
@MORE
@given(text=TEXTS)
def test_a_reader_gives_sound_documents_or_its_own_error(reader, text):
    try:
        text.encode("utf-8")
        documents = reader(text, "s")
    except (MalformedSops, UnicodeEncodeError):
        return
    for document in documents:
        assert isinstance(document, MappingNode)
        _sound(document, len(text))


@MORE
@given(st.one_of(TEXTS.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=100)))
def test_whatever_is_given_is_opened_or_refused_with_a_problem(keys, data):
    is_encrypted(data)
    for chosen in (None, *Format):
        try:
            decrypt_document(data, format=chosen, identities=keys.identities, file="s")
        except CatwalkError as error:
            _is_one_of_ours(error)


FIELDS = st.sampled_from(
    [
        "age",
        "pgp",
        "kms",
        "key_groups",
        "mac",
        "lastmodified",
        "shamir_threshold",
        "encrypted_regex",
        "enc",
        "recipient",
    ]
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 300), st.text(max_size=10), st.just("age1" + "q" * 58)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=4)),
    max_leaves=15,
)


@MORE
@given(st.dictionaries(FIELDS, JUNK, min_size=1, max_size=6))
def test_metadata_of_any_shape_is_read_or_refused(fields):
    documents = read_json(json.dumps({"sops": fields}), "s.json")
    try:
        read_metadata(documents[0], "s.json")
    except CatwalkError as error:
        _is_one_of_ours(error)


NAMES = st.lists(
    st.sampled_from(["age", "__list_0", "__list_1", "__map_enc", "__map_", "__list_x", "__list_99999", "mac", "_", ""]),
    max_size=6,
).map("".join)


@MORE
@given(st.lists(st.tuples(NAMES, st.text(max_size=5)), max_size=6))
def test_flat_names_become_a_tree_or_are_refused(fields):
    try:
        tree = unflatten((name, value, Position()) for name, value in fields if value.isascii())
    except UnreadableNameError:
        return
    assert isinstance(tree, MappingNode)


@MORE
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_pattern_is_compiled_or_refused_and_matches_without_failing(pattern, text):
    try:
        compiled = Pattern(pattern)
    except UnsupportedPatternError:
        return
    assert compiled.found_in(text.encode("utf-8", "replace").decode()) in {True, False}


LARGE = {
    "yaml": ("a: [" + "x, " * 1_500_000 + "]", read_yaml),
    "yaml keys": ("".join(f"k{n}: v\n" for n in range(450_000)), read_yaml),
    "yaml quotes": ('a: "' + "x" * 5_000_000, read_yaml),
    "yaml flow": ("a: " + "{" * 5_000_000, read_yaml),
    "yaml question marks": ("? " * 2_000_000, read_yaml),
    "json": ('{"a": [' + "1," * 2_500_000 + "1]}", read_json),
    "json nesting": ('{"a":' * 900_000, read_json),
    "dotenv": ("".join(f"K{n}=\n" for n in range(500_000)), read_dotenv),
    "dotenv flat names": ("sops_a" + "__list_0" * 600_000 + "=x", read_dotenv),
    "ini": ("".join(f"[s{n}]\n" for n in range(500_000)), read_ini),
    "ini quote": ('a = """' + "x\n" * 2_400_000, read_ini),
    "ini continuation": ("a = \\\n" * 700_000 + "\nb", read_ini),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("text", "reader"), LARGE.values(), ids=LARGE.keys())
def test_a_hostile_file_of_five_megabytes_is_refused_in_bounded_time(text, reader):
    before_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(MalformedSops):
        reader(text, "s")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before_s < 10


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["yaml", "json"])
def test_a_hostile_file_of_five_megabytes_is_refused_in_bounded_memory(name):
    text, reader = LARGE[name]
    tracemalloc.start()
    try:
        with pytest.raises(MalformedSops):
            reader(text, "s")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 200 * 1024 * 1024


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
KEYS = st.text(string.ascii_letters + string.digits + "_.-é ", min_size=1, max_size=10)
DOTENV_KEYS = KEYS.filter(lambda key: not key.startswith("sops_"))
INI_KEYS = st.text(string.ascii_letters + "_.", min_size=1, max_size=8)


def _content(document):
    return {leaf.path: leaf.plaintext for leaf in document.leaves()}


@given(st.dictionaries(DOTENV_KEYS, WORDS, min_size=1, max_size=5))
def test_every_dotenv_file_comes_back(writer, keys, values):
    text = writer.encrypt_dotenv(values, writer.Options(recipients=[keys.recipient]))
    opened = decrypt_document(text.encode(), format=Format.DOTENV, identities=keys.identities)
    assert _content(opened) == {(key,): value.encode() for key, value in values.items()}
    lines = [f"{key}={value}".replace("\n", "\\n") for key, value in values.items()]
    assert opened.plaintext().decode() == "".join(f"{line}\n" for line in lines)


@given(
    st.dictionaries(
        INI_KEYS.filter(lambda name: name not in {"sops", "DEFAULT"}),
        st.dictionaries(INI_KEYS, WORDS, min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_every_ini_file_comes_back(writer, keys, sections):
    text = writer.encrypt_ini(sections, writer.Options(recipients=[keys.recipient]))
    opened = decrypt_document(text.encode(), format=Format.INI, identities=keys.identities)
    expected = {(section, key): value.encode() for section, values in sections.items() for key, value in values.items()}
    assert _content(opened) == {("DEFAULT",): b"", **expected}
    simple = all(value.isalnum() for values in sections.values() for value in values.values())
    if simple:
        (plain,) = read_ini(opened.plaintext().decode(), "s.ini")
        written = {(name, key): value.content for name, keys_ in plain.entries for key, value in keys_.entries}
        assert written == expected


@given(st.binary(max_size=200))
def test_every_binary_file_comes_back(writer, keys, content):
    text = writer.encrypt_binary(content, writer.Options(recipients=[keys.recipient]))
    opened = decrypt_document(text.encode(), format=None, identities=keys.identities, file="blob")
    assert opened.format is Format.BINARY
    assert opened.plaintext() == content


JSON_TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(KEYS.filter(lambda key: key != "sops"), JSON_TREES, min_size=1, max_size=3))
def test_every_json_file_comes_back(writer, keys, tree):
    text = writer.encrypt_json(tree, writer.Options(recipients=[keys.recipient]))
    opened = decrypt_document(text.encode(), format=Format.JSON, identities=keys.identities)
    assert json.loads(opened.plaintext()) == tree
    assert all(isinstance(leaf.line, int) and leaf.line > 1 for leaf in opened.leaves())


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(keys):
    for chosen in Format:
        with pytest.raises(MalformedSops, match="bytes"):
            read_file(b"#" * (limits.MAXIMUM_FILE_BYTES + 1), "s", chosen)
