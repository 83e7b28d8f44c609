"""Encrypts plain YAML for the tests and for the example manifest, by splicing ciphertexts into the text.

The product writes SOPS files elsewhere; this writer is kept apart so that reader and writer check each other. It covers
documents whose top is a block mapping, without anchors; it leaves comments and clear values as they stand, and puts a
`sops` block at the end of every document.

    python tests/sops/writer.py IN OUT --recipient age1… --encrypted-regex '^secrets$' --mac-only-encrypted
"""

import argparse
import base64
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

import pyrage
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import RuleKind, covers, key_matches, make_rule
from reconciler.sops.scalars import resolve

DEFAULT_LAST_MODIFIED = "2026-01-02T03:04:05Z"


@dataclass(frozen=True, kw_only=True)
class Options:
    recipients: Sequence[str]
    rule: tuple[RuleKind, str] | None = None
    mac_only_encrypted: bool = False
    last_modified: str = DEFAULT_LAST_MODIFIED
    data_key: bytes = field(default_factory=lambda: os.urandom(32))
    groups: Sequence[Sequence[str]] = ()
    """Key groups with all of them needed, in place of `recipients`."""


@dataclass(frozen=True, kw_only=True)
class _Value:
    start: int
    end: int
    keys: tuple[str, ...]
    type: ValueType
    content: bytes
    block_style: bool
    in_flow: bool


def encrypt_yaml(text: str, options: Options) -> str:
    """`text` with every value that the rule covers encrypted, and with metadata."""
    kind, argument = options.rule or (RuleKind.UNENCRYPTED_SUFFIX, "_unencrypted")
    rule = make_rule(kind, argument, mac_only_encrypted=options.mac_only_encrypted, file="")
    digest = hashlib.sha512(hashlib.sha256(b"sops").digest() if options.mac_only_encrypted else b"")
    splices: list[tuple[int, int, str]] = []
    ends: list[int] = []
    for value in _values(text, ends):
        matched = any(key_matches(rule, key) for key in value.keys)
        covered = value.type is not ValueType.NULL and covers(rule, value.content, path_matches=matched)
        if covered or not options.mac_only_encrypted:
            digest.update(value.content)
        if covered and (value.content or value.type is not ValueType.STR):
            encrypted = encrypt_value(value.content, value.type, ":".join(value.keys) + ":", options.data_key)
            written = f'"{encrypted}"' if value.in_flow else encrypted + ("\n" if value.block_style else "")
            splices.append((value.start, value.end, written))
    block = _metadata(options, digest.hexdigest().upper())
    splices += [(end, end, block if text[:end].endswith("\n") or end == 0 else "\n" + block) for end in ends]
    for start, end, replacement in sorted(splices, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def encrypt_value(plaintext: bytes, value_type: ValueType, additional_data: str, data_key: bytes) -> str:
    nonce = os.urandom(32)
    sealed = AESGCM(data_key).encrypt(nonce, plaintext, additional_data.encode())
    data, initial, tag = (base64.b64encode(part).decode() for part in (sealed[:-16], nonce, sealed[-16:]))
    return f"ENC[AES256_GCM,data:{data},iv:{initial},tag:{tag},type:{value_type.value}]"


def _values(text: str, document_ends: list[int]) -> Iterator[_Value]:
    """The values of all documents; fills `document_ends` with the places where metadata goes."""
    events = iter(YAML(typ="safe", pure=True).parse(text))
    for event in events:
        if isinstance(event, DocumentStartEvent):
            yield from _walk(next(events), events, (), in_flow=False)
        elif isinstance(event, DocumentEndEvent):
            document_ends.append(event.start_mark.index)


def _walk(event, events, keys: tuple[str, ...], *, in_flow: bool) -> Iterator[_Value]:
    if isinstance(event, AliasEvent):
        raise TypeError("the test writer has no aliases")
    if isinstance(event, ScalarEvent):
        value_type, content = resolve(event.value, quoted=event.style is not None, tag=event.tag)
        yield _Value(
            start=event.start_mark.index,
            end=event.end_mark.index,
            keys=keys,
            type=value_type,
            content=content,
            block_style=event.style in {"|", ">"},
            in_flow=in_flow,
        )
    elif isinstance(event, SequenceStartEvent):
        while not isinstance(item := next(events), SequenceEndEvent):
            yield from _walk(item, events, keys, in_flow=event.flow_style)
    elif isinstance(event, MappingStartEvent):
        while not isinstance(key := next(events), MappingEndEvent):
            yield from _walk(next(events), events, (*keys, key.value), in_flow=event.flow_style)


def encrypt_dotenv(values: Mapping[str, str], options: Options) -> str:
    """A dotenv file with every value encrypted."""
    lines = [f"{key}={_flat(_sealed_text(value, key + ':', options))}" for key, value in values.items()]
    metadata = [f"sops_{key}={_flat(value)}" for key, value in _flat_metadata(values.values(), options)]
    return "".join(f"{line}\n" for line in [*lines, *metadata])


def encrypt_ini(sections: Mapping[str, Mapping[str, str]], options: Options) -> str:
    """An INI file with every value encrypted."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_sealed_text(value, f'{section}:{key}:', options)}" for key, value in values.items()]
    everything = [value for values in sections.values() for value in values.values()]
    metadata = [f"{key} = {_flat(value)}" for key, value in _flat_metadata(everything, options)]
    return "".join(f"{line}\n" for line in [*lines, "[sops]", *metadata])


def encrypt_binary(content: bytes, options: Options) -> str:
    """The binary store: JSON with one value."""
    data = encrypt_value(content, ValueType.STR, "data:", options.data_key) if content else ""
    return json.dumps({"data": data, "sops": _tree_metadata([content], options)}, indent=1)


def encrypt_json(tree: Mapping[str, object], options: Options) -> str:
    """A JSON file with every value encrypted."""
    contents: list[bytes] = []
    sealed = _sealed_tree(tree, (), contents, options)
    assert isinstance(sealed, dict)
    return json.dumps({**sealed, "sops": _tree_metadata(contents, options)}, indent=1)


def _sealed_tree(node: object, keys: tuple[str, ...], contents: list[bytes], options: Options) -> object:
    if isinstance(node, Mapping):
        return {key: _sealed_tree(child, (*keys, key), contents, options) for key, child in node.items()}
    if isinstance(node, list):
        return [_sealed_tree(child, keys, contents, options) for child in node]
    if node is None or node == "":
        return node
    value_type, text = _json_text(node)
    contents.append(text.encode())
    return encrypt_value(text.encode(), value_type, ":".join(keys) + ":", options.data_key)


def _json_text(node: object) -> tuple[ValueType, str]:
    if isinstance(node, bool):
        return ValueType.BOOL, str(node)
    return (ValueType.INT, str(node)) if isinstance(node, int) else (ValueType.STR, str(node))


def _sealed_text(value: str, additional_data: str, options: Options) -> str:
    return encrypt_value(value.encode(), ValueType.STR, additional_data, options.data_key) if value else ""


def _flat(value: str) -> str:
    return value.replace("\n", "\\n")


def _sealed_mac(contents: Sequence[bytes], options: Options) -> str:
    digest = hashlib.sha512(b"".join(contents)).hexdigest().upper()
    return encrypt_value(digest.encode(), ValueType.STR, options.last_modified, options.data_key)


def _flat_metadata(values: Iterable[str], options: Options) -> Iterator[tuple[str, str]]:
    for index, recipient in enumerate(options.recipients):
        yield f"age__list_{index}__map_recipient", recipient
        yield f"age__list_{index}__map_enc", _armored(recipient, options.data_key)
    yield "lastmodified", options.last_modified
    yield "mac", _sealed_mac([value.encode() for value in values], options)
    yield "version", "3.9.0"


def _tree_metadata(contents: Sequence[bytes], options: Options) -> Mapping[str, object]:
    return {
        "age": [{"recipient": each, "enc": _armored(each, options.data_key)} for each in options.recipients],
        "lastmodified": options.last_modified,
        "mac": _sealed_mac(contents, options),
        "version": "3.9.0",
    }


def _armored(recipient: str, secret: bytes) -> str:
    return pyrage.encrypt(secret, [age_recipient(recipient)], armored=True).decode()


def _metadata(options: Options, digest: str) -> str:
    mac = encrypt_value(digest.encode(), ValueType.STR, options.last_modified, options.data_key)
    lines = ["sops:", _recipients(options), f'    lastmodified: "{options.last_modified}"', f"    mac: {mac}"]
    if options.rule is not None:
        quoted = options.rule[1].replace("'", "''")
        lines.append(f"    {options.rule[0].value}: '{quoted}'")
    if options.mac_only_encrypted:
        lines.append("    mac_only_encrypted: true")
    return "\n".join([*lines, "    version: 3.9.0", ""])


def _recipients(options: Options) -> str:
    if not options.groups:
        return "    age:\n" + "\n".join(_entry(each, options.data_key, " " * 8) for each in options.recipients)
    shares = split(options.data_key, len(options.groups))
    groups = (
        "        - age:\n" + "\n".join(_entry(each, share, " " * 12) for each in group)
        for group, share in zip(options.groups, shares, strict=True)
    )
    return f"    shamir_threshold: {len(options.groups)}\n    key_groups:\n" + "\n".join(groups)


def _entry(recipient: str, secret: bytes, margin: str) -> str:
    armored = pyrage.encrypt(secret, [age_recipient(recipient)], armored=True).decode()
    return f"{margin}- recipient: {recipient}\n{margin}  enc: |\n{indent(armored.rstrip(), margin + '    ')}"


def age_recipient(text: str):
    return pyrage.ssh.Recipient.from_str(text) if text.startswith("ssh-") else pyrage.x25519.Recipient.from_str(text)


def split(secret: bytes, count: int) -> list[bytes]:
    """Shares of `secret`, all of which are needed: a random polynomial per byte, evaluated at 1, 2, …"""
    rows = [(byte, *os.urandom(count - 1)) for byte in secret]
    return [bytes(_evaluate(row, x) for row in rows) + bytes([x]) for x in range(1, count + 1)]


def _evaluate(coefficients: Sequence[int], x: int) -> int:
    result = 0
    for coefficient in reversed(coefficients):
        result = _times(result, x) ^ coefficient
    return result


def _times(left: int, right: int) -> int:
    """Carry-less product modulo x^8 + x^4 + x^3 + x + 1, written apart from the product's."""
    product = 0
    for bit in range(8):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Encrypt plain YAML as a SOPS file.")
    parser.add_argument("plain", type=Path)
    parser.add_argument("encrypted", type=Path)
    parser.add_argument("--recipient", action="append", required=True)
    rules = parser.add_mutually_exclusive_group()
    for kind in RuleKind:
        rules.add_argument("--" + kind.value.replace("_", "-"), dest=kind.value)
    parser.add_argument("--mac-only-encrypted", action="store_true")
    parser.add_argument("--last-modified", default=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    given = parser.parse_args(arguments)
    options = Options(
        recipients=given.recipient,
        rule=_given_rule(vars(given)),
        mac_only_encrypted=given.mac_only_encrypted,
        last_modified=given.last_modified,
    )
    given.encrypted.write_text(encrypt_yaml(given.plain.read_text(encoding="utf-8"), options), encoding="utf-8")


def _given_rule(given: Mapping[str, object]) -> tuple[RuleKind, str] | None:
    return next(((kind, str(given[kind.value])) for kind in RuleKind if given[kind.value]), None)


if __name__ == "__main__":
    main(sys.argv[1:])
