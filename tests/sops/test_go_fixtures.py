"""Files made by the Go tool, versions 3.2 to 3.13, leaf by leaf."""

import dataclasses
from itertools import combinations

import pytest

from reconciler.sops.document import decrypt, is_encrypted
from reconciler.sops.errors import KeyMismatch, Tampered, UnsupportedSops
from reconciler.sops.identities import Identities

GO_TYPES = {"str": "string", "float": "float64", "time": "time.Time"}

OPENED = [
    "flux-age",
    "flux-file-bin",
    "gen-json",
    "gen-maconly-regex",
    "gen-multidoc",
    "gen-shamir",
    "gen-ssh-ed25519",
    "rops-empty",
    "rops-encregex",
    "rops-example",
    "rops-maconly",
    "sopsage-yaml",
]
HELD_BY_PGP = [
    "flux-pgp",
    "getsops-comments",
    "getsops-example-bin",
    "getsops-example-yaml",
    "getsops-json-3131",
    "getsops-multikeys",
    "tf-complex-list",
    "tf-yaml",
]
OTHER_FORMATS = ["flux-env", "getsops-env", "getsops-ini-3132", "sopsage-env"]


@pytest.mark.parametrize("name", OPENED)
def test_a_file_made_by_the_go_tool_opens_to_the_byte(go_fixture, name):
    fixture = go_fixture(name)
    decrypted = decrypt(fixture.text, fixture.identities(), file=fixture.name)
    leaves = [
        (leaf.document, leaf.path, GO_TYPES.get(leaf.type.value, leaf.type.value), leaf.plaintext)
        for leaf in decrypted.leaves()
    ]
    assert leaves == list(fixture.expected())


@pytest.mark.parametrize("name", HELD_BY_PGP)
def test_a_file_held_by_pgp_alone_is_refused_and_the_service_named(go_fixture, name):
    fixture = go_fixture(name)
    with pytest.raises(UnsupportedSops, match="PGP") as refusal:
        decrypt(fixture.text, fixture.identities(), file=fixture.name)
    assert refusal.value.problem.code == "sops-unsupported-key-service"


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_dotenv_and_ini_are_refused_and_the_supported_formats_named(go_fixture, name):
    fixture = go_fixture(name)
    with pytest.raises(UnsupportedSops, match=r"\.yaml.*\.json") as refusal:
        decrypt(fixture.text, fixture.identities(), file=fixture.name)
    assert refusal.value.problem.code == "sops-unsupported-format"


def test_a_file_without_mac_is_refused(go_fixture):
    fixture = go_fixture("getsops-no-mac")
    with pytest.raises(Tampered) as refusal:
        decrypt(fixture.text, fixture.identities(), file=fixture.name)
    assert refusal.value.problem.code == "sops-mac-missing"


def test_every_fixture_is_in_exactly_one_of_these_lists(shared_data, go_fixture):
    listed = sorted([*OPENED, *HELD_BY_PGP, *OTHER_FORMATS, "getsops-no-mac"])
    files = sorted(path.name for path in (shared_data / "sops" / "enc").iterdir())
    assert [go_fixture(name).text != b"" for name in listed] == [True] * len(files)


@pytest.mark.parametrize("name", [*OPENED, *HELD_BY_PGP, *OTHER_FORMATS])
def test_every_fixture_is_recognised_as_encrypted(go_fixture, name):
    assert is_encrypted(go_fixture(name).text)


def test_any_two_of_three_key_groups_open_a_file_with_threshold_two(go_fixture):
    fixture = go_fixture("gen-shamir")
    whole = fixture.identities()
    for pair in combinations(whole.keys, 2):
        assert decrypt(fixture.text, Identities(keys=pair), file=fixture.name).leaves()


def test_one_of_three_key_groups_does_not_open_a_file_with_threshold_two(go_fixture):
    fixture = go_fixture("gen-shamir")
    for key in fixture.identities().keys:
        with pytest.raises(KeyMismatch, match="1 of 3 key groups and 2 are needed"):
            decrypt(fixture.text, Identities(keys=(key,)), file=fixture.name)


def test_recipients_are_told(go_fixture):
    fixture = go_fixture("gen-ssh-ed25519")
    decrypted = decrypt(fixture.text, fixture.identities(), file=fixture.name)
    assert [dataclasses.asdict(each)["name"].split()[0] for each in decrypted.recipients] == ["ssh-ed25519"]
