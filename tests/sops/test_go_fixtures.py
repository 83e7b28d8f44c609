"""Files made by the Go tool, versions 3.2 to 3.13, leaf by leaf."""

import base64
import dataclasses
import json
import re
from itertools import combinations, pairwise

import pytest
import yaml

from reconciler.errors import CatwalkError
from reconciler.sops.document import decrypt, decrypt_document, is_encrypted
from reconciler.sops.errors import KeyMismatch, MalformedSops, MergeDamage, NotEncrypted, Tampered
from reconciler.sops.formats import Format, format_by_content
from reconciler.sops.identities import Identities

GO_TYPES = {"str": "string", "float": "float64", "time": "time.Time"}

OPENED = [
    "flux-age",
    "flux-env",
    "flux-file-bin",
    "flux-pgp",
    "gen-json",
    "gen-maconly-regex",
    "gen-multidoc",
    "gen-shamir",
    "gen-ssh-ed25519",
    "getsops-comments",
    "getsops-env",
    "getsops-example-bin",
    "getsops-example-yaml",
    "getsops-ini-3132",
    "getsops-json-3131",
    "getsops-multikeys",
    "rops-empty",
    "rops-encregex",
    "rops-example",
    "rops-maconly",
    "sopsage-env",
    "sopsage-yaml",
    "tf-complex-list",
    "tf-yaml",
]
# The Go tool writes these in another layout than they were encrypted in: same values, other indentation or spelling.
LAID_OUT_ANEW = {
    "flux-age",
    "flux-pgp",
    "gen-json",
    "getsops-example-yaml",
    "rops-empty",
    "rops-encregex",
    "rops-example",
    "rops-maconly",
    "sopsage-yaml",
    "tf-complex-list",
}


def _open(fixture, data=None):
    return decrypt_document(
        fixture.text if data is None else data,
        format=fixture.format,
        identities=fixture.identities(),
        file=fixture.name,
    )


@pytest.mark.parametrize("name", OPENED)
def test_a_file_made_by_the_go_tool_opens_to_the_byte(go_fixture, name):
    fixture = go_fixture(name)
    leaves = [
        (leaf.document, leaf.path, GO_TYPES.get(leaf.type.value, leaf.type.value), leaf.plaintext)
        for leaf in _open(fixture).leaves()
    ]
    assert leaves == list(fixture.expected())


@pytest.mark.parametrize("name", OPENED)
def test_the_format_is_found_without_being_stated(go_fixture, name):
    fixture = go_fixture(name)
    assert format_by_content(fixture.text.decode()) is fixture.format
    unnamed = decrypt_document(fixture.text, format=None, identities=fixture.identities(), file="secret")
    assert unnamed.format is fixture.format


@pytest.mark.parametrize("name", [name for name in OPENED if name not in LAID_OUT_ANEW])
def test_the_plaintext_is_that_of_the_go_tool_to_the_byte(go_fixture, name):
    fixture = go_fixture(name)
    assert _open(fixture).plaintext() == (fixture.root / fixture.entry["expected"]).read_bytes()


@pytest.mark.parametrize("name", sorted(LAID_OUT_ANEW))
def test_the_plaintext_holds_the_values_of_the_go_tool(go_fixture, name):
    fixture = go_fixture(name)
    load = json.loads if fixture.format is Format.JSON else lambda text: list(yaml.safe_load_all(text))
    expected = (fixture.root / fixture.entry["expected"]).read_bytes()
    ours = load(_open(fixture).plaintext())
    if name == "getsops-example-yaml":  # 1.234568e+09 is a string for YAML 1.1, which wants the point and the sign.
        ours[0]["number"], expected = (
            "1.234568e+09",
            expected.replace(b"number: 1.2", b"number: '1.2").replace(b"e+09", b"e+09'"),
        )
    assert ours == load(expected)


CIPHERTEXT = re.compile(rb"ENC\[AES256_GCM,data:([^,]+),iv:([^,]+),tag:([^,]+),type:([a-z]+)\]")


def _other(character):
    return b"B" if character == b"A" else b"A"


def _flipped(text):
    """Every part of every ciphertext with its first character changed, the MAC's and those of comments included."""
    for match in CIPHERTEXT.finditer(text):
        for part in (1, 2, 3):
            at = match.start(part)
            yield text[:at] + _other(text[at : at + 1]) + text[at + 1 :]


def _deprived(text):
    """Every ciphertext replaced by plain text, by a number, and by nothing. No MAC covers comments."""
    for match in CIPHERTEXT.finditer(text):
        if match[4] == b"comment":
            continue
        for replacement in (b"plain", b"7", b""):
            yield text[: match.start()] + replacement + text[match.end() :]


def _swapped(text):
    """Neighbouring ciphertexts exchanged. Comments of one mapping may change places."""
    found = [match for match in CIPHERTEXT.finditer(text) if match[4] != b"comment"]
    for first, second in pairwise(found):
        between = text[first.end() : second.start()]
        yield text[: first.start()] + second[0] + between + first[0] + text[second.end() :]


MUTATIONS = {"flipped": _flipped, "deprived": _deprived, "swapped": _swapped}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mutate", MUTATIONS.values(), ids=MUTATIONS.keys())
@pytest.mark.parametrize("name", OPENED)
def test_every_tampered_copy_is_refused(go_fixture, name, mutate):
    fixture = go_fixture(name)
    identities = _unwrapping_once(fixture.identities())
    copies = accepted = 0
    for copy in mutate(fixture.text):
        copies += copy != fixture.text
        try:
            decrypt_document(copy, format=fixture.format, identities=identities, file=fixture.name)
        except (Tampered, MalformedSops):
            continue
        accepted += copy != fixture.text
    assert copies > 0 or text_has_one_ciphertext(fixture.text)
    assert accepted == 0


def text_has_one_ciphertext(text):
    return len(set(CIPHERTEXT.findall(text))) == 1


def _unwrapping_once(identities):
    """gpg takes some 50 ms: the same wrapped key need not be sent to it for every copy."""
    return dataclasses.replace(identities, services=tuple(_Remembering(each) for each in identities.services))


class _Remembering:
    def __init__(self, service) -> None:
        self.kind = service.kind
        self._service = service
        self._known = {}

    def unwrap(self, key):
        if key.wrapped not in self._known:
            self._known[key.wrapped] = self._service.unwrap(key)
        return self._known[key.wrapped]


METADATA_CHANGES = {
    "lastmodified": (lambda text: re.sub(rb"(lastmodified\S*\s*[:=]\s*[\"']?)20", rb"\g<1>19", text), Tampered),
    "mac dropped": (
        lambda text: re.sub(rb'(?m)^[ \t]*"?(?:sops_)?mac"?\s*[:=].*\n', b"", text),
        Tampered,
    ),
    "conflict": (lambda text: b"<<<<<<< HEAD\n" + text + b"\n=======\n" + text + b"\n>>>>>>> topic\n", MergeDamage),
    "metadata dropped": (lambda text: re.sub(rb"(?m)sops(?=[_:\]\"])", b"soaps", text), NotEncrypted),
    "cut in half": (lambda text: text[: len(text) // 2], CatwalkError),
}


@pytest.mark.parametrize(("change", "kind"), METADATA_CHANGES.values(), ids=METADATA_CHANGES.keys())
@pytest.mark.parametrize("name", OPENED)
def test_changed_metadata_is_refused_with_the_right_error(go_fixture, assert_shows_nothing, name, change, kind):
    fixture = go_fixture(name)
    changed = change(fixture.text)
    assert changed != fixture.text
    with pytest.raises(kind) as refusal:
        _open(fixture, changed)
    assert_shows_nothing(refusal.value)


@pytest.mark.parametrize("name", OPENED)
def test_nothing_configured_and_nothing_fitting_are_told_apart(go_fixture, keys, name):
    fixture = go_fixture(name)
    for identities, code in (
        (Identities(), "sops-no-key"),
        (Identities(keys=keys.identities.keys), "sops-key-mismatch"),
    ):
        with pytest.raises(CatwalkError) as refusal:
            decrypt_document(fixture.text, format=fixture.format, identities=identities, file=fixture.name)
        expected = code if "age" in fixture.entry["recipients"] else "sops-no-key"
        assert refusal.value.problem.code == expected


def test_a_key_ring_without_the_secret_key_does_not_fit(go_fixture, new_key_ring):
    fixture = go_fixture("flux-pgp")
    ring = new_key_ring()
    ring.take((fixture.root / "keys" / "getsops-pgp.asc").read_bytes())
    stranger = dataclasses.replace(fixture.identities(), services=fixture.services_of(ring))
    with pytest.raises(KeyMismatch, match="PGP"):
        decrypt(fixture.text, stranger, file=fixture.name)


@pytest.mark.parametrize("name", ["flux-pgp", "getsops-example-yaml"])
def test_a_pgp_message_cut_short_is_tampering(go_fixture, name):
    fixture = go_fixture(name)
    cut = re.sub(rb"(?m)^ +[A-Za-z0-9+/=]{60,}\n", b"", fixture.text, count=0)
    assert cut != fixture.text
    with pytest.raises(Tampered) as refusal:
        _open(fixture, cut)
    assert refusal.value.problem.code == "sops-key-tampered"


def test_leaves_carry_what_the_command_line_prints(go_fixture):
    leaf = _open(go_fixture("getsops-ini-3132")).leaves()[1]
    printed = {
        "document": leaf.document,
        "path": list(leaf.path),
        "type": leaf.type.value,
        "bytes_base64": base64.b64encode(leaf.plaintext).decode(),
    }
    assert printed == {"document": 0, "path": ["foo", "bar"], "type": "str", "bytes_base64": "YmF6"}


def test_a_file_without_mac_is_refused(go_fixture):
    fixture = go_fixture("getsops-no-mac")
    with pytest.raises(Tampered) as refusal:
        decrypt(fixture.text, fixture.identities(), file=fixture.name)
    assert refusal.value.problem.code == "sops-mac-missing"


def test_every_fixture_is_in_exactly_one_of_these_lists(shared_data, go_fixture):
    listed = sorted([*OPENED, "getsops-no-mac"])
    files = sorted(path.name for path in (shared_data / "sops" / "enc").iterdir())
    assert [go_fixture(name).text != b"" for name in listed] == [True] * len(files)


@pytest.mark.parametrize("name", OPENED)
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
