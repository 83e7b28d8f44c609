"""Servers that really failed are explained by what was done to them."""

import re
from pathlib import Path

import pytest

from tests.failures import judged
from tests.failures.provoked import Provoked

ALL = [one for each in judged.SETS.values() for one in each]
ENOUGH = 0.95
MACHINE = re.compile(r"/root\b|/tmp/(?!scratch)|\.pyenv|\b\w*(?:npmjs|pypi|pythonhosted)\w*\.(?:org|com)\b")
"""What would tell of the machine that a log was recorded on, or of a registry."""


def test_every_failure_has_its_log_and_every_log_its_failure():
    names = [one.name for one in ALL]
    assert len(names) == len(set(names)) >= 100
    assert {path.stem for path in judged.LOGS.glob("*.log")} == set(names)


@pytest.mark.parametrize("provoked", judged.SETS.values(), ids=judged.SETS)
def test_nineteen_of_twenty_failures_are_explained_rightly(provoked: tuple[Provoked, ...]):
    assert len(judged.right(provoked)) >= ENOUGH * len(provoked), judged.wrong(provoked)


def test_the_table_is_that_of_the_logs():
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    assert judged.table() in text


@pytest.mark.parametrize("provoked", ALL, ids=lambda one: one.name)
def test_a_log_tells_of_a_failure_and_of_no_machine(provoked: Provoked):
    log = judged.log_of(provoked)
    assert any(line.startswith('{"catwalk": "failed"') for line in log)
    assert [line for line in log if MACHINE.search(line)] == []
