"""How long and how much memory the manifest reader takes to refuse files that were made to hurt it.

Run by hand: `python -m tests.bench.hostile_manifests`. Each file is read in a process of its own, whose peak of
resident memory is that of the interpreter, the models and the file together. Exits with 1 when a file was accepted, or
took more than 200 MiB or a second of a processor: other programs must not decide the outcome.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

MOST_SECONDS: Final = 1.0
MOST_MIB: Final = 200.0
LONGEST_MESSAGE: Final = 10_000
ACCEPTED: Final = "it was accepted"
MIB: Final = 1024 * 1024
HEAD: Final = "apiVersion: catwalk.dev/v1\nfleet: acme\n"


def alias_bomb() -> bytes:
    """A billion laughs: each anchor repeats the one before nine times."""
    names = "abcdefghij"
    lines = ["a: &a [" + "x," * 8 + "x]"]
    repeated = {name: ",".join([f"*{before}"] * 9) for before, name in pairwise(names)}
    lines += [f"{name}: &{name} [{aliases}]" for name, aliases in repeated.items()]
    return "\n".join(lines).encode()


def merge_bomb() -> bytes:
    """The same by merge keys."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y{n}: 1}}" for n in range(1, 90)]
    return "\n".join(lines).encode()


def deep_aliases() -> bytes:
    """Depth by reference: each anchor wraps the one before, within the limits of nesting and number."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [[[[[[[[[[*a{n - 1}]]]]]]]]]]" for n in range(1, 95)]
    return "\n".join(lines).encode()


def wide_servers() -> bytes:
    """As many servers as fit into one file, each with a fault of its own."""
    lines = (f"  s{number}: {{package: nothing, arg: 1}}" for number in range(20_000))
    return f"{HEAD}servers:\n{chr(10).join(lines)}\n".encode()


def long_key_in_error() -> bytes:
    return f"{HEAD}servers: {{}}\n{'k' * 900_000}: 1\n".encode()


FILES: Final[Mapping[str, Callable[[], bytes]]] = {
    "aliases, a billion laughs": alias_bomb,
    "merge keys": merge_bomb,
    "depth by aliases": deep_aliases,
    "5 MB of comments": lambda: b"# " + b"x" * (5 * 1000 * 1000),
    "5 MB of one list": lambda: b"a: [" + b"1," * (5 * 1000 * 500) + b"]",
    "1 MiB of commas": lambda: b"[" + b"," * (MIB - 2),
    "1 MiB of one list": lambda: b"a: [" + b"1," * (MIB // 2 - 4) + b"]",
    "1 MiB of open brackets": lambda: b"[" * (MIB - 1),
    "1 MiB of open braces": lambda: b"{" * (MIB - 1),
    "1 MiB of dashes": lambda: b"- " * (MIB // 2 - 1),
    "1 MiB of question marks": lambda: b"? " * (MIB // 2 - 1),
    "1 MiB of spaces": lambda: b" " * (MIB - 1),
    "1 MiB of tabs": lambda: b"a:\n" + b"\t" * (MIB - 8) + b"b: 1\n",
    "1 MiB of line breaks": lambda: b"a: '" + b"\n" * (MIB - 8),
    "1 MiB in one quoted text": lambda: b'a: "' + b"x" * (MIB - 8) + b'"',
    "1 MiB of escapes": lambda: b'a: "' + b"\\n" * (MIB // 2 - 8) + b'"',
    "1 MiB of digits": lambda: b"a: " + b"9" * (MIB - 8),
    "1 MiB of anchors": lambda: b"".join(b"- &a%d x\n" % number for number in range(90_000)),
    "1 MiB of tags": lambda: b"- !!str x\n" * 100_000,
    "1 MiB of documents": lambda: b"--- a\n" * 170_000,
    "1 MiB of directives": lambda: b"%TAG !a! b\n" * 90_000,
    "1 MiB of one key": long_key_in_error,
    "1 MiB of one explicit key": f"{HEAD}servers: {{}}\n? {'k' * 900_000}\n: 1\n".encode,
    "1 MiB of one server's name": f"{HEAD}servers:\n  ? {'k' * 900_000}\n  : {{}}\n".encode,
    "a package of 900,000 characters": f"{HEAD}servers: {{a: {{package: 'npm:{'a.' * 450_000}'}}}}\n".encode,
    "an image of 900,000 characters": f"{HEAD}servers: {{a: {{image: '{'a.' * 450_000}/'}}}}\n".encode,
    "a duration of 900,000 digits": f"{HEAD}defaults: {{health: {{grace: {'9' * 900_000}s}}}}\n".encode,
    "the same key 70,000 times": lambda: b"a: 1\n" * 70_000,
    "90,000 different keys": lambda: b"".join(b"k%d: 1\n" % number for number in range(90_000)),
    "20,000 servers with faults": wide_servers,
    "combining characters": f"{HEAD}servers: {{'{'a' + chr(0x301) * 300_000}': {{}}}}\n".encode,
    "direction marks": f"{HEAD}servers: {{'{chr(0x202E) * 300_000}': {{}}}}\n".encode,
    "characters beyond 16 bits": f"{HEAD}servers: {{'{chr(0x1F4A9) * 200_000}': {{}}}}\n".encode,
    "lone continuation bytes": lambda: b"a: " + b"\x80" * (MIB - 8),
    "UTF-16": lambda: ("\ufeff" + HEAD * 10_000).encode("utf-16-le"),
    "control characters": lambda: b"a: " + b"\x07" * (MIB - 8),
}


def main(arguments: list[str]) -> int:
    if arguments:
        sys.stdout.write(json.dumps(_read(FILES[arguments[0]]())))
        return 0
    measured = {name: _measure(name) for name in FILES}
    width = max(map(len, measured))
    for name, found in measured.items():
        figures = f"{found['seconds']:6.3f} s  {found['cpu']:6.3f} s CPU  {found['mib']:6.1f} MiB"
        sys.stdout.write(f"{name:{width}}  {figures}  {found['code']}\n")
    return 0 if all(map(_is_fine, measured.values())) else 1


def _measure(name: str) -> Mapping[str, float | str]:
    command = [sys.executable, "-m", "tests.bench.hostile_manifests", name]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return json.loads(finished.stdout)


def _read(content: bytes) -> dict[str, float | str]:
    began, began_cpu = time.perf_counter(), time.process_time()
    code = _refusal(content)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "cpu": cpu, "mib": peak_kib / 1024, "code": code}


def _refusal(content: bytes) -> str:
    try:
        read_manifests({"catwalk.yaml": content})
    except InvalidManifests as invalid:
        longest = max(len(str(problem)) for problem in invalid.problems)
        return invalid.problem.code if longest < LONGEST_MESSAGE else "a message repeats the file"
    return ACCEPTED


def _is_fine(found: Mapping[str, float | str]) -> bool:
    return float(found["cpu"]) <= MOST_SECONDS and float(found["mib"]) <= MOST_MIB and " " not in str(found["code"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
