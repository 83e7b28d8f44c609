"""Everything that fuzzing has kept, through the target that it was kept for."""

import pytest

from tests.fuzz.sops_fuzz import kept
from tests.fuzz.sops_targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_stands_what_it_has_been_fuzzed_with(name):
    found = kept(name)
    assert len(found) > 20
    for content in [b"", *seeds()[name], *found]:
        TARGETS[name](content)
