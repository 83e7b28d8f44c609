"""Damaged copies of the corpus: whatever stands in a manifest, the reader answers with a fleet or with problems."""

from random import Random
from typing import Final

import pytest

from reconciler.core.problems import Problem
from reconciler.errors import InvalidManifests
from reconciler.sources.folders import source_folders
from reconciler.sources.manifests import read_manifests
from tests.sources.corpus import Case, cases

CASES: Final = tuple(cases())
PIECES: Final = (
    *(b": ", b"\n", b"  ", b"- ", b"[", b"]", b"{", b"}", b'"', b"'", b"#", b"\t", b"%", b"@", b"~"),
    *(b"&a ", b"*a", b"!x ", b"? ", b"| ", b"> ", b"<<: ", b"0x", b"9" * 30, b"1e999", b".inf", b"---\n", b"...\n"),
    *(b"\xff", b"\xe2\x80\xae"),
)
PER_SEED: Final = 250


def damaged(case: Case, dice: Random) -> dict[str, bytes]:
    """One file of the case with one to four pieces put in, taken out, or copied to another place."""
    files = dict(case.files)
    name = dice.choice(sorted(files))
    content = bytearray(files[name])
    for _ in range(dice.randint(1, 4)):
        place, other = dice.randint(0, len(content)), dice.randint(0, len(content))
        match dice.choice(("put", "put", "take", "copy")):
            case "put":
                content[place:place] = dice.choice(PIECES)
            case "take":
                del content[place : place + dice.randint(1, 8)]
            case _:
                content[place:place] = content[other : other + dice.randint(1, 30)]
    return {**files, name: bytes(content)}


def refusal(case: Case, files: dict[str, bytes]) -> tuple[Problem, ...]:
    source_folders(files)
    try:
        assert read_manifests(files, case.environment).fleet
    except InvalidManifests as invalid:
        return invalid.problems
    return ()


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_manifest_is_read_or_refused_and_nothing_else(seed: int) -> None:
    dice = Random(seed)
    answers = [refusal(case, damaged(case, dice)) for case in dice.choices(CASES, k=PER_SEED)]
    assert all(problem.message and str(problem).isprintable() for problems in answers for problem in problems)
    assert any(answers)


def test_some_damage_does_no_harm() -> None:
    dice = Random(0)
    good = [case for case in CASES if not case.expected]
    answers = [refusal(case, damaged(case, dice)) for case in dice.choices(good, k=PER_SEED)]
    assert any(answers)
    assert not all(answers)
