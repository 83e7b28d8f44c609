"""Files that are made to hurt: how long until each is refused, and how much memory that takes.

    python -m tests.bench.sops_hostile

Each file is opened in a process of its own, with a key and every key service configured. The bound is one second of
processor time and 200 MiB beyond what the process has when it starts; beyond either, or with any outcome but an error
of the room, the program ends with 1. Each is measured three times and the fastest counts, because whatever else runs on
the machine only adds.
"""

import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Final

import pyrage

from reconciler.errors import CatwalkError
from reconciler.sops.document import decrypt_document
from reconciler.sops.formats import Format
from reconciler.sops.identities import load_identities

SECONDS: Final = 1.0
MEBIBYTES: Final = 200.0
_LARGE: Final = 5 * 1024 * 1024 - 4096
_IDENTITY: Final = pyrage.x25519.Identity.generate()
_MAC: Final = "ENC[AES256_GCM,data:QQ==,iv:QQ==,tag:QQ==,type:str]"
_REST: Final = f"  mac: {_MAC}\n  lastmodified: '2026-01-02T03:04:05Z'\n"


def _recipients(count: int) -> bytes:
    entries = [{"recipient": str(_IDENTITY.to_public()), "enc": "x"} for _ in range(count)]
    return json.dumps(
        {"a": "b", "sops": {"age": entries, "mac": _MAC, "lastmodified": "2026-01-02T03:04:05Z"}}
    ).encode()


def _stranger_recipients(count: int) -> bytes:
    """As many as are allowed, each a real wrapped key for somebody else, so that every one of them is tried."""
    other = pyrage.x25519.Identity.generate().to_public()
    armor = pyrage.encrypt(bytes(32), [other], armored=True).decode()
    entries = [{"recipient": str(other), "enc": armor} for _ in range(count)]
    return json.dumps(
        {"a": "b", "sops": {"age": entries, "mac": _MAC, "lastmodified": "2026-01-02T03:04:05Z"}}
    ).encode()


def _yaml(fields: str) -> bytes:
    return f"a: b\nsops:\n{fields}{_REST}".encode()


def _padded(text: str, unit: str) -> bytes:
    return (text + unit * ((_LARGE - len(text)) // len(unit))).encode()


def _aliases() -> bytes:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join(lines).encode()


_GROUP: Final = "{age: [{recipient: age1qqqqqqqqqq, enc: x}]}"
CASES: Final[Mapping[str, tuple[Format, Callable[[], bytes]]]] = {
    "5 MiB of YAML values": (Format.YAML, lambda: _padded("a: [", "x, ")),
    "5 MiB of YAML keys": (Format.YAML, lambda: "".join(f"k{n}: v\n" for n in range(450_000)).encode()[:_LARGE]),
    "5 MiB of open YAML mappings": (Format.YAML, lambda: _padded("a: ", "{")),
    "5 MiB of one quoted YAML text": (Format.YAML, lambda: _padded('a: "', "x")),
    "5 MiB of YAML comments": (Format.YAML, lambda: _padded("a: b\n", "# c\n")),
    "an alias bomb": (Format.YAML, _aliases),
    "5 MiB of JSON values": (Format.JSON, lambda: _padded('{"a": [', "1,")),
    "5 MiB of nested JSON": (Format.JSON, lambda: _padded("", '{"a":')),
    "5 MiB of dotenv": (Format.DOTENV, lambda: "".join(f"K{n}=\n" for n in range(500_000)).encode()[:_LARGE]),
    "one dotenv name of 5 MiB": (Format.DOTENV, lambda: _padded("sops_a", "__list_0")),
    "5 MiB of INI sections": (Format.INI, lambda: "".join(f"[s{n}]\n" for n in range(500_000)).encode()[:_LARGE]),
    "an INI quote of 5 MiB": (Format.INI, lambda: _padded('a = """', "x\n")),
    "5 MiB of continued INI lines": (Format.INI, lambda: _padded("a = \\\n", "b\\\n")),
    "a ciphertext of 5 MiB": (Format.YAML, lambda: _padded("a: ENC[AES256_GCM,data:", "QUFB")),
    "6 MiB": (Format.YAML, lambda: b"#" * (6 * 1024 * 1024)),
    "10,000 recipients": (Format.JSON, lambda: _recipients(10_000)),
    "200 recipients, none of them us": (Format.JSON, lambda: _stranger_recipients(200)),
    "10,000 key groups": (Format.YAML, lambda: _yaml("  key_groups: [" + ", ".join([_GROUP] * 10_000) + "]\n")),
    "a threshold of 2^62": (
        Format.YAML,
        lambda: _yaml(f"  shamir_threshold: {2**62}\n  key_groups: [{_GROUP}, {_GROUP}]\n"),
    ),
    "a threshold below zero": (
        Format.YAML,
        lambda: _yaml(f"  shamir_threshold: -1\n  key_groups: [{_GROUP}, {_GROUP}]\n"),
    ),
    "a plugin recipient": (
        Format.YAML,
        lambda: _yaml("  age: [{recipient: age1yubikey1qqqqqqqqqqqqqqqqqqqqqqqq, enc: x}]\n"),
    ),
    "Vault at an address of the author's": (
        Format.YAML,
        lambda: _yaml("  hc_vault: [{vault_address: 'http://192.0.2.1', engine_path: transit, key_name: k, enc: x}]\n"),
    ),
    "an ARN outside the list": (
        Format.YAML,
        lambda: _yaml("  kms: [{arn: 'arn:aws:kms:eu-central-1:999999999999:key/x', enc: x}]\n"),
    ),
    "a Google key outside the list": (
        Format.YAML,
        lambda: _yaml("  gcp_kms: [{resource_id: projects/x/locations/y/keyRings/z/cryptoKeys/k, enc: x}]\n"),
    ),
    "a pattern that would backtrack": (
        Format.YAML,
        lambda: _yaml("  pgp: [{fp: A, enc: x}]\n  encrypted_regex: '(a+)+$'\n"),
    ),
    "a pattern of 2^30 states": (
        Format.YAML,
        lambda: _yaml("  pgp: [{fp: A, enc: x}]\n  encrypted_regex: '((a{99}){99}){99}'\n"),
    ),
}
_ENVIRONMENT: Final = {
    "PATH": os.environ["PATH"],
    "VAULT_ADDR": "http://127.0.0.1:1",
    "VAULT_TOKEN": "t",
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "s",
    "SOPS_KMS_ALLOWLIST": "arn:aws:kms:eu-central-1:111111111111:*",
    "GOOGLE_OAUTH_ACCESS_TOKEN": "t",
    "SOPS_GCP_KMS_ALLOWLIST": "projects/ours/*",
}


def _child(form: Format, content: bytes, answers: Connection) -> None:
    identities = load_identities({**_ENVIRONMENT, "SOPS_AGE_KEY": str(_IDENTITY)})
    before = resource.getrusage(resource.RUSAGE_SELF)
    code = "opened"
    try:
        decrypt_document(content, format=form, identities=identities, file="s")
    except CatwalkError as error:
        code = error.problem.code
    after = resource.getrusage(resource.RUSAGE_SELF)
    took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answers.send((code, took_s, (after.ru_maxrss - before.ru_maxrss) / 1024))


def fastest(name: str) -> tuple[str, float, float]:
    """The fastest of three."""
    return min((measured(name) for _ in range(3)), key=lambda found: found[1])


def measured(name: str) -> tuple[str, float, float]:
    """The code of the refusal, seconds of processor time, and mebibytes beyond the start."""
    form, content = CASES[name]
    # Forked and not spawned: a new interpreter would be measured with its imports.
    context = multiprocessing.get_context("fork")
    parent, child = context.Pipe()
    process = context.Process(target=_child, args=(form, content(), child))
    process.start()
    child.close()
    found: tuple[str, float, float] = parent.recv()
    process.join()
    return found


def main() -> int:
    print("| file | refused with | s | MiB |\n|---|---|---|---|")
    failed = False
    for name in CASES:
        code, took_s, mebibytes = fastest(name)
        well = code.startswith("sops-") and took_s <= SECONDS and mebibytes <= MEBIBYTES
        failed = failed or not well
        print(f"| {name} | `{code}` | {took_s:.2f} | {mebibytes:.0f} |{'' if well else ' FAILED'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
