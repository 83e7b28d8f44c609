"""What somebody without the key can do to a SOPS file, and what has to come of it.

Every mutation is either refused with one of the errors that its class allows, or it touched nothing that the format
protects: then the file opens, and every encrypted value is what it was.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from reconciler.errors import CatwalkError
from reconciler.sops.document import Document, decrypt_document
from reconciler.sops.errors import (
    KeyMismatch,
    MalformedSops,
    MergeDamage,
    NoKeyConfigured,
    NotEncrypted,
    Tampered,
    UnsupportedSops,
)
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities

CIPHERTEXT = re.compile(rb"ENC\[AES256_GCM,data:([^,]+),iv:([^,]+),tag:([^,]+),type:([a-z]+)\]")
_ARMOR = re.compile(rb"-----BEGIN [A-Z ]+-----(.+?)-----END", re.DOTALL)
_MAC = re.compile(rb'"mac":\s*"[^"]*",?|(?m:^[ \t]*(?:sops_)?mac\s*[:=].*\n)')

Kinds = tuple[type[CatwalkError], ...]
Mutate = Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A file that opens, with what it holds."""

    content: bytes = field(repr=False)
    format: Format
    identities: Identities
    file: str

    def open(self, content: bytes) -> Document:
        return decrypt_document(content, format=self.format, identities=self.identities, file=self.file)

    def protected(self, opened: Document) -> list[tuple[object, ...]]:
        """The encrypted values; of a type only what changes the bytes counts, because SOPS does not bind it."""
        return [(leaf.document, leaf.path, leaf.plaintext) for leaf in opened.leaves() if leaf.was_encrypted]


def _other(character: bytes) -> bytes:
    return b"B" if character == b"A" else b"A"


def flipped_parts(text: bytes) -> Iterator[bytes]:
    """The first character of the data, the nonce and the tag of every ciphertext, the MAC's too."""
    for match in CIPHERTEXT.finditer(text):
        for part in (1, 2, 3):
            at = match.start(part)
            yield text[:at] + _other(text[at : at + 1]) + text[at + 1 :]


def plain_in_place(text: bytes) -> Iterator[bytes]:
    """A ciphertext becomes a text, a number, a list, or nothing."""
    for match in _values(text):
        for replacement in (b"plain", b"7", b"[]", b""):
            yield text[: match.start()] + replacement + text[match.end() :]


def swapped(text: bytes) -> Iterator[bytes]:
    """Neighbours exchanged, where they are not equal."""
    for first, second in pairwise(_values(text)):
        between = text[first.end() : second.start()]
        yield text[: first.start()] + second[0] + between + first[0] + text[second.end() :]


def deleted_lines(text: bytes) -> Iterator[bytes]:
    """The line of every ciphertext, one by one."""
    for match in _values(text):
        start = text.rfind(b"\n", 0, match.start()) + 1
        end = text.find(b"\n", match.end()) + 1
        yield text[:start] + text[end:] if end else text[:start]


def reordered_lines(text: bytes) -> Iterator[bytes]:
    """Each line of a ciphertext exchanged with the line below."""
    lines = text.splitlines(keepends=True)
    for number, (first, second) in enumerate(pairwise(lines)):
        if all(CIPHERTEXT.search(line) and b"type:comment" not in line for line in (first, second)):
            yield b"".join([*lines[:number], second, first, *lines[number + 2 :]])


def other_time(text: bytes) -> Iterator[bytes]:
    """`lastmodified` a century earlier."""
    yield re.sub(rb"(lastmodified\S*\s*[:=]\s*[\"']?)20", rb"\g<1>19", text)


def without_mac(text: bytes) -> Iterator[bytes]:
    yield _MAC.sub(b"", text)


def toggled_mac_rule(text: bytes) -> Iterator[bytes]:
    """`mac_only_encrypted` put in, or taken out."""
    if b"mac_only_encrypted" in text:
        yield re.sub(rb'(?m)^.*mac_only_encrypted"?[^\n]*\n', b"", text)
        return
    mac = _MAC.search(text)
    assert mac is not None
    line = mac[0]
    margin = line[: len(line) - len(line.lstrip())]
    if line.lstrip().startswith(b"sops_"):
        added = b"sops_mac_only_encrypted=true\n"
    elif b"=" in line.split(b"ENC[")[0]:
        added = b"mac_only_encrypted = true\n"
    elif line.startswith(b'"'):
        added = b'"mac_only_encrypted": true, '
    else:
        added = margin + b"mac_only_encrypted: true\n"
    yield text[: mac.start()] + added + text[mac.start() :]


def cut_armor(text: bytes) -> Iterator[bytes]:
    """Half of every wrapped data key at once."""
    yield _ARMOR.sub(lambda match: match[0][: len(match[0]) // 2] + b"-----END", text)


def conflict(text: bytes) -> Iterator[bytes]:
    yield b"<<<<<<< HEAD\n" + text + b"\n=======\n" + text + b"\n>>>>>>> topic\n"


def without_metadata(text: bytes) -> Iterator[bytes]:
    yield re.sub(rb"(?m)sops(?=[_:\]\"])", b"soaps", text)


def cut_short(text: bytes) -> Iterator[bytes]:
    for part in range(1, 8):
        yield text[: len(text) * part // 8]


def grown(text: bytes) -> Iterator[bytes]:
    """Beyond five mebibytes."""
    yield text + b"#" * (5 * 1024 * 1024)


def flipped_bytes(text: bytes, step: int = 1) -> Iterator[bytes]:
    """Every byte with its lowest bit, and its case bit, changed."""
    for at in range(0, len(text), step):
        for bit in (1, 32):
            yield text[:at] + bytes([text[at] ^ bit]) + text[at + 1 :]


ANY: Kinds = (CatwalkError,)
CLASSES: Mapping[str, tuple[Mutate, Kinds]] = {
    "a part of a ciphertext flipped": (flipped_parts, (Tampered, MalformedSops)),
    "plain text in the place of a ciphertext": (plain_in_place, (Tampered, MalformedSops)),
    "two values swapped": (swapped, (Tampered,)),
    "a value deleted": (deleted_lines, (Tampered, MalformedSops)),
    "lines reordered": (reordered_lines, (Tampered, MalformedSops)),
    "another time": (other_time, (Tampered,)),
    "no MAC": (without_mac, (Tampered, MalformedSops)),
    "the rule of the MAC toggled": (toggled_mac_rule, (Tampered, MalformedSops, UnsupportedSops)),
    "armor cut short": (cut_armor, (Tampered, MalformedSops, KeyMismatch)),
    "conflict markers": (conflict, (MergeDamage,)),
    "no metadata": (without_metadata, (NotEncrypted,)),
    "cut short": (cut_short, (NotEncrypted, MalformedSops, Tampered, KeyMismatch, NoKeyConfigured)),
    "too large": (grown, (MalformedSops,)),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of the mutations of one class."""

    refused: int
    harmless: int
    """Opened, and every encrypted value was what it was."""
    faults: tuple[str, ...]


def judge(
    subject: Subject, mutations: Iterator[bytes], kinds: Kinds, shows: Callable[[BaseException], None]
) -> Verdict:
    """Opens every mutation; `shows` fails for an error that gives something away."""
    held = subject.protected(subject.open(subject.content))
    refused = harmless = 0
    faults: list[str] = []
    for number, mutated in enumerate(mutations):
        if mutated == subject.content:
            continue
        try:
            opened = subject.open(mutated)
        except kinds as error:
            refused += 1
            shows(error)
        except CatwalkError as error:
            faults.append(f"{number}: {type(error).__name__} {error.problem.code}")
        else:
            harmless += 1
            if subject.protected(opened) != held:
                faults.append(f"{number}: opened with other values")
    return Verdict(refused=refused, harmless=harmless, faults=tuple(faults))


def _values(text: bytes) -> list[re.Match[bytes]]:
    """Ciphertexts of values: no MAC covers comments, and the MAC itself is no value."""
    metadata = _MAC.search(text)
    return [
        match
        for match in CIPHERTEXT.finditer(text)
        if match[4] != b"comment" and not (metadata and metadata.start() <= match.start() < metadata.end())
    ]
