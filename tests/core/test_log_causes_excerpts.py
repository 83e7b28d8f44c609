"""Logs of things that really failed, each cut to a few lines around the failure, and what they must be explained as.

The logs stand beside this file. Each was made by running the thing with npm 11, uv, Node 20 or Python 3.11; `machine-…`
came from the adapter.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.log_causes import explain

LOGS = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
HEADING = re.compile(r"^=== (\S+): (\S+) in line (\d+)$", re.MULTILINE)


def failures() -> Iterator[pytest.ParameterSet]:
    _, *parts = HEADING.split(LOGS)
    for name, cause, number, log in zip(*(iter(parts),) * 4, strict=True):
        yield pytest.param(cause, int(number), log.strip("\n").splitlines(), id=name)


FAILED = list(failures())


@pytest.mark.parametrize(("cause", "number", "log"), FAILED)
def test_a_real_log_is_explained_by_the_line_that_shows_the_cause(cause, number, log):
    found = explain(log)
    assert found is not None
    assert (found.cause, found.line) == (cause, log[number - 1].strip())
