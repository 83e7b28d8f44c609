"""Random documents written by Catwalk, changed in one place, and read by everybody who is at hand.

    python -m tests.bench.sops_round_trips --documents 2000 [--sops SOPS] [--node FOLDER] [--old PYTHON]

Readers: Catwalk's own; SOPS, the real tool; `sops-age` installed by npm in FOLDER; the Python tool `sops` 1.18 in the
environment of PYTHON, for JSON with a PGP key. An edit must change at most 14 lines, and nothing but its value, `mac`
and `lastmodified`. What only one reader gets wrong is printed with what it is known for; anything else ends with 1.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from reconciler.sops.document import decrypt_document
from reconciler.sops.formats import Format
from reconciler.sops.identities import Identities, load_identities
from reconciler.sops.master_keys import KeyGroups
from reconciler.sops.nodes import ValueType
from reconciler.sops.services.gnupg import gnupg
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.recipients import age_keys, master_key
from reconciler.sops.writing.sealed import plain_leaves
from tests.sops.test_round_trips import KEYS, PLAIN, STRINGS, _lines, _quoted

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
EXTENSIONS = {
    Format.YAML: "yaml",
    Format.JSON: "json",
    Format.DOTENV: "env",
    Format.INI: "ini",
    Format.BINARY: "bin",
}
NEW = "changed: \"in\" place\n# 'x'"
MOST_LINES = 14
NOTHING = {ValueType.NULL, ValueType.EMPTY_MAP, ValueType.EMPTY_LIST}
# The tool prints -0.0 as -0, which it reads as an integer; a text of a byte order mark is one for it too.
NOT_FOR_THE_TOOL = {"-0.0"}

Held = list[tuple[int, tuple[str | int, ...], bytes]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """One document: as it was created, as it was changed, and what the second holds."""

    format: Format
    created: bytes
    changed: bytes
    held: Held


class Source:
    """Random plain texts of one format, each with the path of a value to change."""

    def __init__(self, seed: int, *, simple: bool = False) -> None:
        """`simple` leaves out what the two lesser readers do not know.

        `sops-age` takes one YAML document without times and trims the keys of dotenv; the tool of 2018 has neither null
        nor floats in Go's spelling.
        """
        self._random = random.Random(seed)
        self._simple = simple

    def plain(self, form: Format) -> tuple[bytes, tuple[str, ...]]:
        return {
            Format.YAML: self._yaml,
            Format.JSON: self._json,
            Format.DOTENV: self._dotenv,
            Format.INI: self._ini,
            Format.BINARY: self._binary,
        }[form]()

    def text(self) -> str:
        """Anything but surrogates."""
        if self._random.random() < 0.5:
            return self._random.choice([*STRINGS, *(text for text in PLAIN if text)])
        planes = [(32, 126), (1, 31), (160, 0x2FF), (0x2000, 0x2100), (0x1F600, 0x1F64F), (0xE000, 0xFFFD)]
        ranges = self._random.choices(planes, weights=[8, 1, 2, 1, 1, 1], k=self._random.randint(0, 12))
        return "".join(chr(self._random.randint(*each)) for each in ranges).replace("\ufeff", "")

    def _yaml(self) -> tuple[bytes, tuple[str, ...]]:
        documents = [self._mapping(3) for _ in range(1 if self._simple else self._random.choice([1, 1, 2]))]
        texts = ["\n".join(_lines(document, "")) + "\n" for document in documents]
        return ("target: old\n" + "---\n".join(texts)).encode(), ("target",)

    def _mapping(self, depth: int) -> dict[str, object]:
        keys = [key for key in KEYS if not key.isdigit()]
        return {key: self._node(depth) for key in self._random.sample(keys, self._random.randint(1, 3))}

    def _node(self, depth: int) -> object:
        kind = self._random.random()
        if depth and kind < 0.2:
            return self._mapping(depth - 1)
        if depth and kind < 0.35:
            return [self._node(depth - 1) for _ in range(self._random.randint(1, 3))]
        if kind < 0.7:
            left_out = {text for text in PLAIN if self._simple and PLAIN[text][0] is ValueType.TIME} | NOT_FOR_THE_TOOL
            plain = self._random.choice([text for text in PLAIN if text not in left_out])
            return (plain, *PLAIN[plain])
        text = self.text()
        return (_quoted(text), ValueType.STR, text)

    def _json(self) -> tuple[bytes, tuple[str, ...]]:
        tree = {"target": "old", **{self._key(): self._value(3) for _ in range(self._random.randint(1, 4))}}
        return json.dumps(tree, indent=self._random.choice([None, 2, "\t"])).encode(), ("target",)

    def _key(self) -> str:
        return self._random.choice([key for key in KEYS if not key.isdigit()]) or "k"

    def _value(self, depth: int) -> object:
        kind = self._random.random()
        if depth and kind < 0.2:
            return {self._key(): self._value(depth - 1) for _ in range(2)}
        if depth and kind < 0.3:
            return [self._value(depth - 1) for _ in range(2)]
        number = self._random.choice([self._random.randint(-(2**53), 2**53), self._random.uniform(-1e6, 1e6)])
        if self._simple:
            return self._random.choice([True, False, int(number), self.text(), self.text()])
        return self._random.choice([None, True, False, number, self.text(), self.text()])

    def _dotenv(self) -> tuple[bytes, tuple[str, ...]]:
        lines = ["TARGET=old"]
        for number in range(self._random.randint(1, 6)):
            value = self.text().replace("\r", "").replace("\n", "\\n")
            space = "" if self._simple else " "
            lines.append(self._random.choice([f"K{number}={value}", f"K{number}{space}={value}", f"# {value}"]))
        return ("\n".join(lines) + "\n").encode(), ("TARGET",)

    def _ini(self) -> tuple[bytes, tuple[str, ...]]:
        lines = ["[first]", "target = old"]
        for number in range(self._random.randint(1, 6)):
            # The tool panics when it prints an empty comment.
            letters = "x" + "".join(
                character for character in self.text() if character.isalnum() or character in "-_./+@"
            )
            lines.append(self._random.choice([f"k{number} = {letters}", f"[s{number}]", f"; {letters}"]))
        return ("\n".join(lines) + "\n").encode(), ("first", "target")

    def _binary(self) -> tuple[bytes, tuple[str, ...]]:
        return self._random.randbytes(self._random.randint(1, 300)), ("data",)


def made(source: Source, form: Format, encryption: Encryption, identities: Identities) -> Made:
    """One document, verified by Catwalk's own reader before and after its edit."""
    plain, path = source.plain(form)
    file = f"s.{EXTENSIONS[form]}"
    created = encrypt(plain, encryption, file=file, last_modified=NOW, stated=form)
    editing = open_to_edit(created, identities, file=file, stated=form).with_content(path, NEW.encode())
    changed = editing.sealed(LATER)
    before, after = (_held(content, form, identities) for content in (created, changed))
    assert before == _expected(plain, form), "the created file holds something else"
    assert [each if each[1] != path else (*each[:2], NEW.encode()) for each in before] == after
    old, new = created.split(b"\n"), changed.split(b"\n")
    differing = sum(one != other for one, other in zip(old, new, strict=True))
    assert differing <= MOST_LINES, f"{differing} lines changed"
    return Made(format=form, created=created, changed=changed, held=after)


def _expected(plain: bytes, form: Format) -> Held:
    if form is Format.BINARY:
        return [(0, ("data",), plain)]
    return _counted(plain_leaves(plain, "plain", form))


def _held(content: bytes, form: Format, identities: Identities) -> Held:
    return _counted(decrypt_document(content, format=form, identities=identities, file="s").leaves())


def _counted(leaves) -> Held:
    return [(leaf.document, leaf.path, leaf.plaintext) for leaf in leaves if leaf.type not in NOTHING]


def by_tool(sops: Path, folder: Path, secret: str, each: Made, number: int) -> str:
    """Empty where the tool reads what it should; else what is wrong."""
    content = each.changed if number % 4 else each.created
    path = folder / f"{number}.{EXTENSIONS[each.format]}"
    path.write_bytes(content)
    kind = each.format.value
    command = [str(sops), "decrypt", "--input-type", kind, "--output-type", kind, str(path)]
    done = subprocess.run(command, env={"SOPS_AGE_KEY": secret}, capture_output=True, check=False, timeout=60)
    path.unlink()
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr.decode(errors='replace')[-200:]}"
    if number % 4 == 0:
        return ""
    printed = [(0, ("data",), done.stdout)] if each.format is Format.BINARY else _printed(done.stdout, each.format)
    return "" if _comparable(printed, each.format) == _comparable(each.held, each.format) else "other values"


def _printed(content: bytes, form: Format) -> Held:
    return _counted(plain_leaves(content, "printed", form))


def _comparable(held: Held, form: Format) -> Held:
    """The tool's INI writer quotes in ways that its reader undoes by itself; the MAC has been verified anyway."""
    return [each[:2] for each in held] if form is Format.INI else held


SOPS_AGE = """\
import {decryptSops} from 'sops-age';
import {readFileSync, readdirSync} from 'node:fs';
const types = {env: 'env', ini: 'ini', json: 'json', yaml: 'yaml'};
let opened = 0; const refused = {};
for (const name of readdirSync('documents')) {
  const fileType = types[name.split('.')[1]];
  if (!fileType) continue;
  try {
    await decryptSops(readFileSync('documents/' + name, 'utf8'), {secretKey: process.env.SOPS_AGE_KEY, fileType});
    opened++;
  } catch (error) { refused[name] = String(error.message).slice(0, 120); }
}
console.log(JSON.stringify({opened, refused}));
"""
OLD_TOOL = """\
import contextlib, io, json, os, sys, sops
folder, opened, refused = sys.argv[1], 0, {}
for name in sorted(os.listdir(folder)):
    printed = io.StringIO()
    sys.argv = ["sops", "-d", os.path.join(folder, name)]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            sops.main()
    except SystemExit as error:
        if error.code:
            refused[name] = str(error.code)
    except Exception as error:
        refused[name] = repr(error)
    if name not in refused:
        opened += json.loads(printed.getvalue())["target"].startswith("changed")
print(json.dumps({"opened": opened, "refused": refused}))
"""


def by_sops_age(node: Path, secret: str, documents: list[Made]) -> dict[str, object]:
    """What `sops-age` opens of all; it knows no binary files and verifies no MAC."""
    folder = node / "documents"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, each in enumerate(documents):
        (folder / f"{number}.{EXTENSIONS[each.format]}").write_bytes(each.changed)
    (node / "read.mjs").write_text(SOPS_AGE, encoding="utf-8")
    environment = {**os.environ, "SOPS_AGE_KEY": secret}
    done = subprocess.run(
        ["node", "read.mjs"], cwd=node, env=environment, check=True, capture_output=True, timeout=3600
    )
    return json.loads(done.stdout)


def by_old_tool(python: Path, documents: int) -> dict[str, object]:
    """JSON for a PGP key, by the Python tool of 2018."""
    home = Path(tempfile.mkdtemp(prefix="cw-gpg-"))
    environment = {"GNUPGHOME": str(home), "HOME": str(home), "PATH": os.environ["PATH"]}
    try:
        made_key = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "a@example.org", "future-default"]
        subprocess.run([*made_key, "default", "never"], env=environment, check=True, capture_output=True, timeout=60)
        listing = ["gpg", "--batch", "--list-keys", "--with-colons"]
        listed = subprocess.run(listing, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
        name = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fp"))
        door = gnupg(environment)
        assert door is not None
        encryption = Encryption(keys=KeyGroups(groups=((master_key(name),),)), services=(door,))
        identities = Identities(services=(door,))
        folder = home / "documents"
        folder.mkdir()
        for seed in range(documents):
            content = made(Source(seed, simple=True), Format.JSON, encryption, identities).changed
            (folder / f"{seed:05}.json").write_bytes(content)
        command = [str(python), "-W", "ignore", "-c", OLD_TOOL, str(folder)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=7200)
        return json.loads(done.stdout)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, timeout=30)
        shutil.rmtree(home, ignore_errors=True)


def all_made(form: Format, documents: range, keys: tuple[Encryption, Identities], *, simple: bool) -> Iterator[Made]:
    encryption, identities = keys
    for seed in documents:
        try:
            yield made(Source(seed, simple=simple), form, encryption, identities)
        except Exception:
            print(f"{form} document {seed}", file=sys.stderr)
            raise


def _checked(label: str, check: Callable[[Made, int], str], documents: list[Made]) -> int:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(check, documents, range(len(documents))))
    wrong = {number: text for number, text in enumerate(found) if text}
    print(f"{label}: {len(documents) - len(wrong)} of {len(documents)}", flush=True)
    for number, text in list(wrong.items())[:5]:
        print(f"  document {number}: {text}")
    return len(wrong)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--sops", type=Path)
    parser.add_argument("--node", type=Path)
    parser.add_argument("--old", type=Path)
    given = parser.parse_args()
    identity = pyrage.x25519.Identity.generate()
    identities = load_identities({"SOPS_AGE_KEY": str(identity)})
    keys = (Encryption(keys=age_keys(str(identity.to_public()))), identities)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for form in Format:
            began_s = time.process_time()
            documents = list(all_made(form, range(given.documents), keys, simple=False))
            took_s = time.process_time() - began_s
            print(
                f"{form}, written, edited and read by Catwalk: {len(documents)}, {took_s:.0f} s of one core", flush=True
            )
            if given.sops:
                check = lambda each, number: by_tool(given.sops, Path(folder), str(identity), each, number)  # noqa: E731
                wrong += _checked(f"{form}, read by the SOPS tool", check, documents)
    if given.node:
        forms = (Format.YAML, Format.JSON, Format.DOTENV)
        simple = [each for form in forms for each in all_made(form, range(given.documents), keys, simple=True)]
        found = by_sops_age(given.node, str(identity), simple)
        wrong += len(found["refused"])
        print(
            f"sops-age, YAML, JSON and dotenv: {found['opened']} opened, refused {list(found['refused'].items())[:5]}"
        )
    if given.old:
        found = by_old_tool(given.old, given.documents)
        print(f"sops 1.18, JSON and PGP: {found['opened']} opened, refused {list(found['refused'].items())[:5]}")
        wrong += len(found["refused"])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
