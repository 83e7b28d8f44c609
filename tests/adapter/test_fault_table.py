"""Every fault that README.md lists has a test that exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`(\w+/\w+\.py)::(test_\w+)`")


def rows() -> list[str]:
    lines = (Path(__file__).parent / "README.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(("| fault |", "| complaint |"))]


def test_every_row_names_tests_that_exist():
    named = {row.split("|")[1].strip(): NAMED.findall(row) for row in rows()}
    assert len(named) >= 25
    assert [fault for fault, tests in named.items() if not tests] == []
    missing = [
        f"{file}::{test}"
        for tests in named.values()
        for file, test in tests
        if f"def {test}(" not in (TESTS / file).read_text(encoding="utf-8")
    ]
    assert missing == []
