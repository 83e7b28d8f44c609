"""Files of our own, written by the SOPS tool 3.11, Catwalk and the old Python tool, against what they hold."""

import pytest

from reconciler.sops.document import decrypt_document
from reconciler.sops.errors import KeyMismatch, NoKeyConfigured
from reconciler.sops.formats import format_by_content
from reconciler.sops.services.configured import load_services
from tests.sops.fixtures import FOLDER, fixtures, pgp_key

NAMES = list(fixtures())


@pytest.fixture
def services(fixture_key_ring):
    """The key ring with the key of the fixtures."""

    def loaded(names):
        if "pgp" not in names:
            return ()
        fixture_key_ring.take(pgp_key().encode())
        return load_services(fixture_key_ring.environment)

    return loaded


def _shown(document):
    return [(leaf.document, leaf.path, leaf.type.value, leaf.plaintext) for leaf in document.leaves()]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_opens_leaf_by_leaf_for_everybody_who_may(services, name):
    fixture = fixtures()[name]
    for names in fixture.opened_by:
        identities = fixture.identities(names, services(names))
        opened = decrypt_document(fixture.content, format=fixture.format, identities=identities, file=name)
        assert _shown(opened) == list(fixture.leaves)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_does_not_open_for_others(services, assert_shows_nothing, name):
    fixture = fixtures()[name]
    for names in fixture.refused_for:
        identities = fixture.identities(names, services(names))
        with pytest.raises(NoKeyConfigured if fixture.needs_gpg else KeyMismatch) as refusal:
            decrypt_document(fixture.content, format=fixture.format, identities=identities, file=name)
        assert_shows_nothing(refusal.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_format_of_a_file_is_found_by_its_content(name):
    fixture = fixtures()[name]
    assert format_by_content(fixture.content.decode()) is fixture.format


def test_every_file_is_in_the_index():
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert files == {"index.json", *NAMES}
