"""Pins the whole dependency tree in pyproject.toml, or checks that it is pinned.

`uv.lock` is not committed, because it names the package index of whoever made it; a user of a private index could not
use it. Instead every package of the tree stands as `name==version` in `[tool.uv] constraint-dependencies`.

    python .github/pin.py            resolve the newest versions and write them
    python .github/pin.py --check    fail when a package of the tree is not pinned
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
BLOCK = re.compile(r"^constraint-dependencies = \[(?:\]|.*?^\])$", re.DOTALL | re.MULTILINE)
EXPORT = ("uv", "export", "--all-groups", "--no-hashes", "--no-emit-project", "--no-header", "--no-annotate", "--quiet")

LOCK = ("uv", "lock", "--upgrade", "--quiet")


def resolved() -> list[str]:
    """Every package of the tree as `name==version`, with its environment marker."""
    output = subprocess.run(EXPORT, cwd=PYPROJECT.parent, check=True, capture_output=True, text=True).stdout
    lines = (line.strip() for line in output.splitlines())
    return sorted(line for line in lines if line and not line.startswith(("#", "-e", ".")))


def pins() -> list[str]:
    """One pin a package; its marker stays only where two Python versions need different releases."""
    lines = resolved()
    names = [line.split("==")[0] for line in lines]
    return sorted(
        line if names.count(name) > 1 else line.split(";")[0].strip() for line, name in zip(lines, names, strict=True)
    )


def write(wanted: list[str]) -> None:
    block = "constraint-dependencies = [\n" + "".join(f"  {json.dumps(pin)},\n" for pin in wanted) + "]"
    text = PYPROJECT.read_text(encoding="utf-8")
    PYPROJECT.write_text(BLOCK.sub(lambda _: block, text), encoding="utf-8")


def main() -> int:
    pinned: list[str] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["uv"]["constraint-dependencies"]
    if "--check" in sys.argv:
        missing = sorted(set(pins()) - set(pinned))
        print("\n".join(f"not pinned: {pin}" for pin in missing) or f"{len(pinned)} packages pinned")
        return 1 if missing else 0
    write([])
    subprocess.run(LOCK, cwd=PYPROJECT.parent, check=True)
    write(pins())
    return 0


if __name__ == "__main__":
    sys.exit(main())
