"""Everything that can be done to a file without its key, over all files of our own, and single bytes of each."""

import pytest

from tests.sops.fixtures import fixtures
from tests.sops.mutations import ANY, CLASSES, Subject, flipped_bytes, judge

FILES = {name: each for name, each in fixtures().items() if not each.needs_gpg}
STEP = 97
"""One byte in so many here; `tests.bench.sops_mutations` takes every one."""


def _subject(name):
    fixture = FILES[name]
    return Subject(
        content=fixture.content, format=fixture.format, identities=fixture.age_identities(), file=f"s.{name[-4:]}"
    )


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", FILES)
def test_a_mutation_is_refused_with_the_right_error(assert_shows_nothing, name, kind):
    mutate, kinds = CLASSES[kind]
    subject = _subject(name)
    held = {leaf.plaintext.decode("latin-1") for leaf in subject.open(subject.content).leaves()}
    secrets = [text for text in held if len(text) > 7 and text.isascii() and text != "plain text"]
    verdict = judge(subject, mutate(subject.content), kinds, lambda error: assert_shows_nothing(error, *secrets))
    assert verdict.faults == ()
    # What is cut off may be the wrapped key of somebody else.
    assert verdict.harmless == 0 or kind == "cut short"


@pytest.mark.parametrize("name", FILES)
def test_no_changed_byte_changes_a_value(assert_shows_nothing, name):
    subject = _subject(name)
    verdict = judge(subject, flipped_bytes(subject.content, STEP), ANY, assert_shows_nothing)
    assert verdict.faults == ()
    assert verdict.refused > 0
