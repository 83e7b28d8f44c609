"""The corpus of broken and odd manifests, and the table of diagnostics that is made from it.

`tests/data/manifests` holds folders of cases: a file for a manifest alone, a folder where more than one file belongs to
a case. `expected.txt` beside them names each case, the environment it is read in, and below it every diagnostic that it
must yield: severity, code, and place (`-` for none). A case with nothing below it is a good manifest.

`python -m tests.sources.corpus` writes the table of reconciler/sources/README.md from what the first case of each code
says, so that it can be reviewed like any other change of wording.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from reconciler.core.problems import Problem
from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

ROOT: Final = Path(__file__).parents[2]
CORPUS: Final = ROOT / "tests" / "data" / "manifests"
README: Final = ROOT / "reconciler" / "sources" / "README.md"
BEGIN, END = "<!-- diagnostics -->\n", "<!-- end of diagnostics -->\n"
HEAD: Final = "apiVersion: catwalk.dev/v1\nfleet: acme\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fleet and what must be said about it."""

    name: str
    files: Mapping[str, bytes] = field(repr=False)
    environment: str = ""
    expected: tuple[str, ...] = ()

    def findings(self) -> list[tuple[str, Problem]]:
        """What the reader says, each with its severity, in its order."""
        try:
            return [("warning", warning) for warning in read_manifests(self.files, self.environment).warnings]
        except InvalidManifests as invalid:
            return [("error", problem) for problem in invalid.problems]


def cases() -> Iterator[Case]:
    """All of the corpus, in the order of its folders."""
    for listing in sorted(CORPUS.glob("*/expected.txt")):
        yield from _listed(listing)


def _listed(listing: Path) -> Iterator[Case]:
    for entry in re.split(r"\n(?=\S)", listing.read_text(encoding="utf-8").rstrip()):
        title, *expected = entry.split("\n")
        name, _, environment = title.partition(" --environment ")
        yield Case(
            name=f"{listing.parent.name}/{name}",
            files=_files(listing.parent, name),
            environment=environment,
            expected=tuple(line.strip() for line in expected),
        )


def _files(folder: Path, name: str) -> dict[str, bytes]:
    alone = folder / f"{name}.yaml"
    if alone.is_file():
        return {"catwalk.yaml": alone.read_bytes()}
    paths = [path for path in (folder / name).rglob("*") if path.is_file()]
    return {path.relative_to(folder / name).as_posix(): path.read_bytes() for path in paths}


def large_cases() -> Iterator[Case]:
    """Cases that are too large to keep as files."""
    many = "".join(f"  s{number}: {{package: x}}\n" for number in range(150))
    noise = Random(1).randbytes(300_000)
    folder = f"{HEAD}servers:\n  notes: {{directory: ./notes}}\n"
    yield _large("large/file", b"#" * (1024 * 1024 + 1), "error file-too-large catwalk.yaml:1:1")
    told = [f"error bad-package catwalk.yaml:{line}:{16 + len(str(line - 4))}" for line in range(4, 104)]
    more = f"error more-problems catwalk.yaml:104:{16 + len('100')}"
    yield _large("large/problems", f"{HEAD}servers:\n{many}".encode(), *told, more)
    yield Case(
        name="large/folder",
        files={"catwalk.yaml": folder.encode(), "notes/package.json": b"{}", "notes/noise": noise},
        expected=("error directory-too-large catwalk.yaml:4:22",),
    )


def _large(name: str, content: bytes, *expected: str) -> Case:
    return Case(name=name, files={"catwalk.yaml": content}, expected=expected)


def rows() -> Iterator[str]:
    """One row for each code: what the first case of it says."""
    first: dict[str, tuple[str, Problem]] = {}
    for case in (*cases(), *large_cases()):
        for severity, problem in case.findings():
            first.setdefault(problem.code, (severity, problem))
    severities = {code: sorted(_severities(code)) for code in first}
    for code, (_, problem) in sorted(first.items()):
        yield f"| `{code}` | {', '.join(severities[code])} | {_cell(problem.message)} | {_cell(problem.hint)} |"


def _severities(code: str) -> set[str]:
    lines = (line.split() for case in (*cases(), *large_cases()) for line in case.expected)
    return {severity for severity, found, _ in lines if found == code}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def table() -> str:
    """The table as the README has it."""
    return "\n".join(["| code | severity | for example | what to do |", "|---|---|---|---|", *rows(), ""])


def main() -> int:
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
