"""What is fuzzed of the SOPS room: one function of bytes for each of its parsers.

A target passes for whatever it is given, or raises one of the room's own errors inside and takes it; anything that
leaves it is a fault. `tests/sops/test_fuzz_corpus.py` runs every target over the corpus that is kept, and
`tests/fuzz/sops_fuzz.py` lets atheris look for more.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType

from reconciler.core.problems import Problem
from reconciler.errors import CatwalkError
from reconciler.sops.age import CannotUnwrapError, UnreadableIdentityError
from reconciler.sops.age_post_quantum import post_quantum_identity
from reconciler.sops.bech32 import NotBech32Error, decode, encode
from reconciler.sops.ciphertext import DataKey, DoesNotVerifyError, NotAnEncryptedValueError, parse_encrypted_value
from reconciler.sops.document import decrypt_document, is_encrypted, mac_digest
from reconciler.sops.dotenv_reader import read_dotenv
from reconciler.sops.errors import MalformedSops
from reconciler.sops.flat_metadata import UnreadableNameError, unflatten
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.ini_reader import read_ini
from reconciler.sops.json_reader import read_json
from reconciler.sops.leaves import Leaf
from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService, WrappedKey, read_metadata
from reconciler.sops.nodes import MappingNode, Node, Position, SequenceNode, ValueType
from reconciler.sops.patterns import Pattern, UnsupportedPatternError
from reconciler.sops.scalars import UnreadableScalarError, resolve
from reconciler.sops.text_forms import canonical_text
from reconciler.sops.timestamps import rfc_3339
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.file_text import FileText
from reconciler.sops.writing.placed import PlacedAlias, PlacedMapping, PlacedNode, PlacedSequence
from reconciler.sops.writing.three_way import merge_lines
from reconciler.sops.yaml_reader import read_yaml

DATA_KEY = bytes(range(32))
"""Every `pgp` entry of a fuzzed file opens to this, so that the fuzzer gets past the recipients."""
POST_QUANTUM_KEY = encode("age-secret-key-pq-", bytes(range(32))).upper()
_POST_QUANTUM = post_quantum_identity(POST_QUANTUM_KEY)
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class _KnownKey:
    """A key service that has the data key of every file."""

    kind = KeyService.PGP

    def unwrap(self, _key: WrappedKey) -> bytes:
        return DATA_KEY

    def wrap(self, _key: MasterKey, _secret: bytes) -> str:
        return "x"


IDENTITIES = Identities(services=(_KnownKey(),))


def _read(data: bytes, read: Callable[[str, str], tuple[MappingNode, ...]]) -> None:
    with suppress(MalformedSops, UnicodeDecodeError):
        text = data.decode("utf-8")
        for document in read(text, "fuzzed"):
            _sound(document, len(text))


def _sound(node: Node, length: int) -> None:
    assert 0 <= node.position.start <= node.position.end <= length or node.position == Position()
    assert node.position.line >= 1
    assert node.position.column >= 1
    if isinstance(node, MappingNode):
        for _, child in node.entries:
            _sound(child, length)
    if isinstance(node, SequenceNode):
        for item in node.items:
            _sound(item, length)


def yaml_text(data: bytes) -> None:
    _read(data, read_yaml)


def json_text(data: bytes) -> None:
    _read(data, read_json)


def dotenv_text(data: bytes) -> None:
    _read(data, read_dotenv)


def ini_text(data: bytes) -> None:
    _read(data, read_ini)


def whole_file(data: bytes) -> None:
    """The first byte chooses the format; the rest is opened, laid out as plaintext, and edited where it opens."""
    chosen = [None, *Format][data[0] % 6] if data else None
    content = data[1:]
    is_encrypted(content, "fuzzed")
    with suppress(CatwalkError):
        opened = decrypt_document(content, format=chosen, identities=IDENTITIES, file="fuzzed")
        opened.plaintext()
        leaves = opened.leaves()
        _sealed_again(content, opened.format, leaves)


def _sealed_again(content: bytes, form: Format, leaves: tuple[Leaf, ...]) -> None:
    edited = open_to_edit(content, IDENTITIES, file="fuzzed", stated=form)
    again = decrypt_document(edited.sealed(NOW), format=form, identities=IDENTITIES, file="fuzzed")
    assert [leaf.plaintext for leaf in again.leaves()] == [leaf.plaintext for leaf in leaves]


def metadata(data: bytes) -> None:
    """A JSON object as the `sops` block, or flat lines of it."""
    with suppress(CatwalkError, UnreadableNameError, UnicodeDecodeError):
        text = data.decode("utf-8")
        if not text.startswith("{"):
            pairs = [line.partition("=")[::2] for line in text.split("\n")]
            tree = unflatten((name, value, Position()) for name, value in pairs)
            read_metadata(MappingNode(entries=(("sops", tree),)), "fuzzed")
            return
        (document,) = read_json(f'{{"sops": {text}}}', "fuzzed")
        read_metadata(document, "fuzzed")


def one_value(data: bytes) -> None:
    """A ciphertext, a scalar of YAML, a timestamp, and the text of a decrypted value of every type."""
    with suppress(NotAnEncryptedValueError, DoesNotVerifyError):
        DataKey(DATA_KEY).open(parse_encrypted_value(data), "a:")
    for value_type in ValueType:
        with suppress(ValueError):
            content = canonical_text(value_type, data)
            assert canonical_text(value_type, content) == content
    with suppress(UnicodeDecodeError):
        text = data.decode("utf-8")
        _scalar(text)
        with suppress(ValueError):
            rfc_3339(text, keep_fraction=True)
        with suppress(UnsupportedPatternError):
            Pattern(text).found_in(text)


def _scalar(text: str) -> None:
    for quoted in (False, True):
        for tag in (None, "!", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:binary"):
            with suppress(UnreadableScalarError):
                value_type, content = resolve(text, quoted=quoted, tag=tag)
                if value_type is not ValueType.NULL:
                    canonical_text(value_type, content)


def key_text(data: bytes) -> None:
    """Identities as a person writes them, bech32, and an armored age file for a post-quantum key."""
    with suppress(UnicodeDecodeError):
        text = data.decode("utf-8")
        loaded = load_identities({"SOPS_AGE_KEY": text})
        assert all(isinstance(each, Problem) for each in loaded.warnings)
        with suppress(NotBech32Error):
            decode(text, text.partition("1")[0])
        with suppress(UnreadableIdentityError):
            post_quantum_identity(text)
    with suppress(CannotUnwrapError):
        _POST_QUANTUM.unwrap(data)


def places(data: bytes) -> None:
    """Where the editor sees the nodes of a text, against where the reader sees them."""
    for form in Format:
        with suppress(CatwalkError):
            source = FileText.read(data, "fuzzed", form)
            for document in source.documents():
                _within(document.root, len(source.text))


def _within(node: PlacedNode, length: int) -> None:
    assert 0 <= node.start <= node.end <= length
    if isinstance(node, PlacedMapping):
        for entry in node.entries:
            _within(entry.value, length)
    if isinstance(node, PlacedSequence):
        for item in node.items:
            _within(item, length)
    assert isinstance(node, PlacedAlias) or node.in_flow in {True, False}


def merged_lines(data: bytes) -> None:
    """Three versions of a text, separated by NUL."""
    base, ours, theirs = [*data.decode("utf-8", "replace").split("\0"), "", "", ""][:3]
    merged = merge_lines(base, ours, theirs)
    assert merged.conflicts >= 0
    assert merge_lines(base, ours, base).text == ours
    assert merge_lines(base, base, theirs).text == theirs


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "yaml": yaml_text,
        "json": json_text,
        "dotenv": dotenv_text,
        "ini": ini_text,
        "file": whole_file,
        "metadata": metadata,
        "value": one_value,
        "keys": key_text,
        "places": places,
        "merge": merged_lines,
    }
)


def seeds() -> Mapping[str, list[bytes]]:
    """What the search starts from: small texts that reach far."""
    time, key = "2026-01-02T03:04:05Z", DataKey(DATA_KEY)
    value, in_section = (key.seal(b"x", ValueType.STR, place) for place in ("a:", "s:a:"))
    mac = key.seal(mac_digest([b"x"], mac_only_encrypted=False).encode(), ValueType.STR, time)
    block = {"pgp": [{"fp": "A", "enc": "x"}], "lastmodified": time, "mac": mac}
    as_binary = json.dumps({"data": key.seal(b"x", ValueType.STR, "data:"), "sops": block}).encode()
    as_json = json.dumps({"a": value, "sops": block}).encode()
    flat = f"pgp__list_0__map_fp=A\npgp__list_0__map_enc=x\nlastmodified={time}\nmac={mac}"
    ini = f"[s]\na = {in_section}\n[sops]\n" + flat
    dotenv = f"a={value}\n" + "\n".join(f"sops_{line}" for line in flat.split("\n"))
    yaml = f"a: &x {value}\nb: [*x, {{c: 'd'}}]\n<<: {{e: |\n  f\n}}\n---\n# g\nh: 2024-01-02\n".encode()
    return {
        "yaml": [yaml, as_json],
        "json": [as_json, b'{"a": [1, -2.5e3, "\\u00e9", null, true]}'],
        "dotenv": [dotenv.encode(), b"# c\nA= b\\n\nC =\n"],
        "ini": [ini.encode(), b'a = "b" ; c\n[s]\nk = """l\nm"""\nn = \\\n o\n- = `p`\n'],
        "file": [b"\1" + as_json, b"\2" + as_json, b"\3" + dotenv.encode(), b"\4" + ini.encode(), b"\5" + as_binary],
        "metadata": [json.dumps(block).encode(), flat.encode()],
        "value": [value.encode(), b"0x_f", b"1e400", b"2024-1-2 03:04:05 +02:00", b"-0.0", b"^(a|b)$"],
        "keys": [
            POST_QUANTUM_KEY.encode(),
            b"# x\nAGE-SECRET-KEY-1QQ\n",
            b"-----BEGIN AGE ENCRYPTED FILE-----\nYQ==\n",
        ],
        "places": [yaml, as_json, b"a:\n  b: >-\n    c\n\n  d: {e: f, g: [h]}\n"],
        "merge": [b"a\nb\nc\n\0a\nB\nc\n\0a\nb\nC\n"],
    }
