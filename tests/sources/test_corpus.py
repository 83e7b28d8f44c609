"""Every manifest of the corpus yields exactly its diagnostics, and every diagnostic is documented as it is worded."""

import re

import pytest

from reconciler.web.plans import problem_document
from tests.sources.corpus import BEGIN, END, README, ROOT, Case, cases, large_cases, table

CASES = [*cases(), *large_cases()]
MADE_OUTSIDE = {"too-many-files", "symbolic-link", "directory-too-large", "file-too-large"}


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 150
    assert sum(not case.expected for case in CASES) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_manifest_yields_exactly_its_diagnostics(case: Case) -> None:
    found = case.findings()
    told = [f"{severity} {problem.code} {problem.location or '-'}" for severity, problem in found]
    if len(case.expected) == 1 and case.expected[0].endswith("-"):
        told = [f"{severity} {problem.code} -" for severity, problem in found]
    assert sorted(told) == sorted(case.expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_said_is_short_visible_and_says_what_to_do(case: Case) -> None:
    for _, problem in case.findings():
        assert str(problem).isprintable()
        assert len(problem.message) < 400
        assert problem_document(problem).code == problem.code
        assert problem.hint


def test_every_code_of_the_reader_occurs_in_the_corpus() -> None:
    occurring = {line.split()[1] for case in CASES for line in case.expected}
    assert codes_of_the_reader() - occurring - MADE_OUTSIDE == set()


def codes_of_the_reader() -> set[str]:
    """By the calls that make problems, in the reader and in the models."""
    sources = ROOT / "reconciler" / "sources"
    reader = [
        *sources.glob("manifest_*.py"),
        *sources.glob("yaml_*.py"),
        sources / "manifests.py",
        sources / "overlays.py",
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in reader)
    models = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "schemas" / "v1").glob("*.py"))
    made = re.findall(r'(?:code=|\.problem\(|_refusal\(|return )"([a-z0-9]+(?:-[a-z0-9]+)+)"', text)
    refused = re.findall(r'(?:_refuse\(|PydanticCustomError\()\s*"([a-z0-9-]+)"', models)
    return {*made, *refused}


def test_the_table_of_diagnostics_says_what_the_reader_says() -> None:
    written = README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert written == table(), "run `python -m tests.sources.corpus` and read the change"
