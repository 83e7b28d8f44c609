"""Files that the product writes, read by its reader; edits that touch nothing else; failures that leave nothing."""

import difflib
import errno
import importlib.util
import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.secret import SecretValue
from reconciler.errors import CatwalkError
from reconciler.sops.document import decrypt
from reconciler.sops.errors import KeyMismatch, MergeDamage, Tampered, UnsupportedSops
from reconciler.sops.identities import Identities
from reconciler.sops.master_keys import KeyGroups
from reconciler.sops.nodes import ValueType
from reconciler.sops.rules import RuleKind
from reconciler.sops.secret_file import read_secret_file
from reconciler.sops.shamir import combine
from reconciler.sops.writing.age_recipients import checked_recipient
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.disk import replace_file
from reconciler.sops.writing.editing import open_to_edit
from reconciler.sops.writing.errors import CannotEdit, ChangedMeanwhile, InvalidRecipient, NotWritten
from reconciler.sops.writing.recipients import age_key, age_keys
from reconciler.sops.writing.sealed import plain_leaves, verified_leaves
from reconciler.sops.writing.secret_files import new_secret_file
from reconciler.sops.writing.shares import split

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
MANIFEST = """\
# The fleet of acme.
apiVersion: catwalk.dev/v1
fleet: 'acme'
servers:
  github:   # keeps   its spaces
    package: npm:server@1
    secrets:
      TOKEN: {token} # a note
      KEY: |
        two
        lines

  time:
    package: "pypi:time@1"
  flow: {{package: pypi:x@1, secrets: {{A: a, B: 'b'}}}}
  empty:
    secrets:   # nothing yet
  nothing:
    secrets: {{}}

# the end
"""
SECRETS_ONLY = (RuleKind.ENCRYPTED_REGEX, "^secrets$")


def _round_trips():
    path = Path(__file__).with_name("test_round_trips.py")
    specification = importlib.util.spec_from_file_location("sops_round_trips", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


GENERATED = _round_trips()


def _encryption(*recipients: str, **options: object) -> Encryption:
    return Encryption(keys=age_keys(*recipients), **options)


@pytest.fixture
def manifest(keys, canary):
    encryption = _encryption(keys.recipient, rule=SECRETS_ONLY, mac_only_encrypted=True)
    return encrypt(MANIFEST.format(token=canary).encode(), encryption, file="catwalk.yaml", last_modified=NOW)


def _values(content, identities, *path: str, file="catwalk.yaml"):
    return {name: value.reveal() for name, value in decrypt(content, identities, file=file).values_under(path).items()}


def _rotated_in_place(edited):
    return edited.rotated(edited.keys, LATER)


def _difference(before, after):
    """Lines taken out, and lines put in."""
    old, new = before.decode().splitlines(), after.decode().splitlines()
    changes = [line for line in difflib.ndiff(old, new) if line[0] in "+-"]
    return [line[2:] for line in changes if line[0] == "-"], [line[2:] for line in changes if line[0] == "+"]


# Creation


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(GENERATED.MAPPINGS, min_size=1, max_size=3),
    rule=GENERATED.RULES,
    mac_only_encrypted=st.booleans(),
)
def test_every_document_that_is_written_reads_back(keys, documents, rule, mac_only_encrypted):
    text = "---\n".join("\n".join(GENERATED._lines(document, "")) + "\n" for document in documents)
    encryption = _encryption(keys.recipient, rule=rule, mac_only_encrypted=mac_only_encrypted)
    expected = [
        (number, path, value_type, content)
        for number, document in enumerate(documents)
        for path, value_type, content in GENERATED._leaves(document, ())
    ]
    # One value that every rule covers, because a rule that covers nothing is refused.
    covered = {None: "a", RuleKind.ENCRYPTED_SUFFIX: "zs", RuleKind.UNENCRYPTED_REGEX: "z"}.get(rule and rule[0], "env")
    text = f"{covered}: x\n---\n" + text
    written = encrypt(text.encode(), encryption, file="s.yaml", last_modified=NOW)
    opened = decrypt(written, keys.identities, file="s.yaml").leaves()
    assert [(leaf.document - 1, leaf.path, leaf.type, leaf.plaintext) for leaf in opened[1:]] == expected


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10).filter(lambda text: "ENC[" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(
    document=st.dictionaries(
        st.text(max_size=5).filter(lambda key: key != "sops"), JSON_VALUES, min_size=1, max_size=4
    ),
    indent=st.sampled_from([None, 2, "\t"]),
)
def test_every_json_document_that_is_written_reads_back(keys, document, indent):
    text = json.dumps({**document, "always": "x"}, indent=indent).encode()
    written = encrypt(text, _encryption(keys.recipient), file="s.json", last_modified=NOW)
    plain = _plain(text)
    opened = decrypt(written, keys.identities, file="s.json").leaves()
    assert [(leaf.path, leaf.type, leaf.plaintext) for leaf in opened] == plain
    assert json.loads(written)["sops"]["lastmodified"] == "2026-11-24T12:00:00Z"


def _plain(text):
    return [(leaf.path, leaf.type, leaf.plaintext) for leaf in plain_leaves(text, "s.json")]


def test_a_new_file_needs_public_keys_alone_and_opens_for_each_of_them(keys, other_keys):
    written = encrypt(b"a: x\n", _encryption(keys.recipient, other_keys.recipient), file="s.yaml", last_modified=NOW)
    for each in (keys, other_keys):
        assert _values(written, each.identities, file="s.yaml") == {"a": "x"}


def test_what_the_rule_leaves_in_clear_stays_as_it_was_written(manifest, canary):
    text = manifest.decode()
    assert canary not in text
    assert text.startswith(
        "# The fleet of acme.\napiVersion: catwalk.dev/v1\nfleet: 'acme'\nservers:\n  github:   # keeps "
    )
    assert "\n# the end\nsops:\n    age:\n        - enc: |\n" in text
    assert text.count("ENC[") == 5


REFUSED = {
    "encrypted already": (b"a: x\nsops: {mac: x}\n", {}, "encrypted already"),
    "a rule that covers nothing": (b"a: x\n", {"rule": SECRETS_ONLY}, "encrypt none"),
    "a rule by comment": (b"a: x\n", {"rule": (RuleKind.ENCRYPTED_COMMENT_REGEX, "x")}, "rules by comment"),
    "an alias in what is encrypted": (b"a: &x y\nb: *x\n", {}, "anchor or alias"),
    "a flow mapping at the top": (b"{a: x}\n", {}, "one key a line"),
}


@pytest.mark.parametrize(("text", "options", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_encrypted_is_refused(keys, text, options, reason):
    with pytest.raises(CannotEdit, match=reason):
        encrypt(text, _encryption(keys.recipient, **options), file="s.yaml", last_modified=NOW)


def test_a_file_for_nobody_is_refused():
    with pytest.raises(CannotEdit, match="nobody"):
        encrypt(b"a: x\n", _encryption(), file="s.yaml", last_modified=NOW)


def test_a_pattern_that_is_not_re2_is_refused_rather_than_ignored(keys):
    encryption = _encryption(keys.recipient, rule=(RuleKind.ENCRYPTED_REGEX, "^(?!name).*"))
    with pytest.raises(UnsupportedSops):
        encrypt(b"a: x\n", encryption, file="s.yaml", last_modified=NOW)


def test_a_value_that_looks_encrypted_is_not_encrypted_twice(keys):
    text = b"a: ENC[AES256_GCM,data:AAAA,iv:AA==,tag:AA==,type:str]\n"
    with pytest.raises(Tampered):
        encrypt(text, _encryption(keys.recipient), file="s.yaml", last_modified=NOW)


def test_conflict_markers_are_refused(keys):
    text = b"a: x\n<<<<<<< HEAD\nb: y\n=======\nb: z\n>>>>>>> side\n"
    with pytest.raises(MergeDamage):
        encrypt(text, _encryption(keys.recipient), file="s.yaml", last_modified=NOW)
    with pytest.raises(MergeDamage):
        open_to_edit(text, keys.identities, file="s.yaml")


# Edits


def test_a_new_value_changes_its_line_the_mac_and_the_time(manifest, keys):
    edited = open_to_edit(manifest, keys.identities, file="catwalk.yaml")
    after = edited.with_value(("servers", "github", "secrets", "TOKEN"), SecretValue("new")).sealed(LATER)
    gone, come = _difference(manifest, after)
    assert [line.split(":")[0].strip() for line in gone] == ["TOKEN", "lastmodified", "mac"]
    assert [line.split(":")[0].strip() for line in come] == ["TOKEN", "lastmodified", "mac"]
    assert come[0].endswith(" # a note")
    assert _values(after, keys.identities, "servers", "github", "secrets") == {"TOKEN": "new", "KEY": "two\nlines\n"}


PLACES = {
    "beside others": ("github", "NEW", 1),
    "in a flow mapping": ("flow", "C", 0),
    "where nothing stands": ("empty", "X", 1),
    "in an empty mapping": ("nothing", "X", 1),
    "under a key that is missing": ("time", "X", 2),
}


@pytest.mark.parametrize(("server", "name", "lines"), PLACES.values(), ids=PLACES.keys())
def test_a_value_is_added_where_it_belongs(manifest, keys, server, name, lines):
    before = _values(manifest, keys.identities, "servers", server, "secrets")
    edited = open_to_edit(manifest, keys.identities, file="catwalk.yaml")
    after = edited.with_value(("servers", server, "secrets", name), SecretValue("added: x")).sealed(LATER)
    assert _values(after, keys.identities, "servers", server, "secrets") == {**before, name: "added: x"}
    assert after.count(b"\n") == manifest.count(b"\n") + lines
    assert b"# nothing yet" in after
    assert b"# the end" in after


@pytest.mark.parametrize(("server", "name"), [("github", "KEY"), ("github", "TOKEN"), ("flow", "A"), ("flow", "B")])
def test_a_value_is_taken_out_alone(manifest, keys, server, name):
    before = _values(manifest, keys.identities, "servers", server, "secrets")
    edited = open_to_edit(manifest, keys.identities, file="catwalk.yaml")
    after = edited.without_value(("servers", server, "secrets", name)).sealed(LATER)
    del before[name]
    assert _values(after, keys.identities, "servers", server, "secrets") == before


def test_the_last_value_is_taken_out_and_put_in_again(keys):
    path = ("secrets", "A")
    text = b"secrets:\n  A: a\nz_unencrypted: 1\n"
    written = encrypt(text, _encryption(keys.recipient), file="s.yaml", last_modified=NOW)
    without = open_to_edit(written, keys.identities, file="s.yaml").without_value(path).sealed(NOW)
    assert _values(without, keys.identities, "secrets", file="s.yaml") == {}
    again = open_to_edit(without, keys.identities, file="s.yaml").with_value(path, SecretValue("b")).sealed(NOW)
    assert _values(again, keys.identities, "secrets", file="s.yaml") == {"A": "b"}


@settings(max_examples=60, deadline=None)
@given(
    document=GENERATED.MAPPINGS,
    value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    windows=st.booleans(),
    bom=st.booleans(),
)
def test_an_edit_of_any_document_changes_one_value_and_at_most_14_lines(keys, document, value, windows, bom):
    text = "target: old\n" + "\n".join(GENERATED._lines({"rest": document}, "")) + "\n"
    content = text.replace("\n", "\r\n") if windows else text
    content = ("\ufeff" if bom else "").encode() + content.encode()
    written = encrypt(content, _encryption(keys.recipient), file="s.yaml", last_modified=NOW)
    edited = open_to_edit(written, keys.identities, file="s.yaml")
    after = edited.with_value(("target",), SecretValue(value)).sealed(LATER)
    before_leaves = decrypt(written, keys.identities, file="s.yaml").leaves()
    after_leaves = decrypt(after, keys.identities, file="s.yaml").leaves()
    assert after_leaves[0].plaintext == value.encode()
    assert [leaf.plaintext for leaf in after_leaves[1:]] == [leaf.plaintext for leaf in before_leaves[1:]]
    old, new = written.split(b"\n"), after.split(b"\n")
    assert len(old) == len(new)
    assert sum(one != other for one, other in zip(old, new, strict=True)) == 3
    assert (after.count(b"\r\n") == after.count(b"\n")) is windows


def test_a_multi_document_file_keeps_one_mac_in_every_copy(keys):
    written = encrypt(b"a: x\n---\nb: y\n", _encryption(keys.recipient), file="s.yaml", last_modified=NOW)
    after = open_to_edit(written, keys.identities, file="s.yaml").with_value(("a",), SecretValue("z")).sealed(LATER)
    assert after.count(b'lastmodified: "2026-11-24T13:00:00Z"') == 2
    assert [leaf.plaintext for leaf in decrypt(after, keys.identities, file="s.yaml").leaves()] == [b"z", b"y"]


NOT_EDITED = {
    "a place in clear": (("fleet",), "x", "does not encrypt"),
    "an empty value": (("servers", "github", "secrets", "TOKEN"), "", "would be empty"),
    "below a string": (("servers", "github", "secrets", "TOKEN", "x"), "x", "not a mapping"),
    "over a mapping": (("servers", "github", "secrets"), "x", "not a mapping"),
}


@pytest.mark.parametrize(("path", "value", "reason"), NOT_EDITED.values(), ids=NOT_EDITED.keys())
def test_an_edit_that_makes_no_sense_is_refused(manifest, keys, assert_shows_nothing, path, value, reason):
    edited = open_to_edit(manifest, keys.identities, file="catwalk.yaml")
    with pytest.raises(CannotEdit, match=reason) as refusal:
        edited.with_value(path, SecretValue(value)).sealed(LATER)
    assert_shows_nothing(refusal.value)


def test_a_tampered_file_is_not_opened_for_changes(manifest, keys):
    with pytest.raises(Tampered):
        open_to_edit(manifest.replace(b'"2026-11-24T12', b'"2026-11-24T11'), keys.identities, file="catwalk.yaml")


# Recipients


def test_one_more_recipient_leaves_every_value_as_it_was(manifest, keys, other_keys):
    edited = open_to_edit(manifest, keys.identities, file="catwalk.yaml").with_recipient(
        age_key(other_keys.recipient), LATER
    )
    after = edited.sealed(LATER)
    gone, come = _difference(manifest, after)
    assert [line.split(":")[0].strip() for line in gone] == ["lastmodified", "mac"]
    assert any(other_keys.recipient in line for line in come)
    assert _values(after, other_keys.identities, "servers", "flow", "secrets") == {"A": "a", "B": "b"}


def test_a_recipient_who_is_there_already_changes_nothing(manifest, keys):
    edited = open_to_edit(manifest, keys.identities, file="catwalk.yaml")
    assert edited.with_recipient(age_key(keys.recipient), LATER) is edited


@pytest.mark.parametrize("file", ["s.yaml", "s.json"])
def test_who_is_removed_opens_the_new_file_with_nothing_that_was_kept(keys, other_keys, file):
    text = b"a: x\nb: [y, 5]\n" if file == "s.yaml" else b'{"a": "x", "b": ["y", 5]}'
    encryption = _encryption(keys.recipient, other_keys.recipient)
    written = encrypt(text, encryption, file=file, last_modified=NOW)
    old = open_to_edit(written, other_keys.identities, file=file)
    after = open_to_edit(written, keys.identities, file=file).rotated(age_keys(keys.recipient), LATER).sealed(LATER)
    assert [leaf.plaintext for leaf in decrypt(after, keys.identities, file=file).leaves()] == [b"x", b"y", b"5"]
    with pytest.raises(KeyMismatch):
        decrypt(after, other_keys.identities, file=file)
    with pytest.raises(Tampered):
        verified_leaves(after, old.data_key, file)


def test_a_rotation_keeps_comments_that_the_sops_tool_encrypted(go_fixture):
    fixture = go_fixture("gen-maconly-regex")
    recipients = tuple(fixture.identities().recipients)
    edited = open_to_edit(fixture.text, fixture.identities(), file=fixture.name).rotated(age_keys(*recipients), LATER)
    after = edited.sealed(LATER)
    assert after.count(b"#ENC[") == fixture.text.count(b"#ENC[") == 1
    again = open_to_edit(after, fixture.identities(), file=fixture.name).rotated(age_keys(*recipients), LATER)
    assert again.source.text.count("#ENC[") == 1
    assert b"# catwalk server manifest" in after


GO_FIXTURES = [
    "sopsage-yaml",
    "gen-multidoc",
    "gen-maconly-regex",
    "gen-ssh-ed25519",
    "flux-age",
    "gen-json",
    "rops-example",
]


@pytest.mark.parametrize("name", GO_FIXTURES)
def test_files_of_the_sops_tool_are_edited_and_rotated(go_fixture, other_keys, name):
    fixture = go_fixture(name)
    identities = fixture.identities()
    opened = decrypt(fixture.text, identities, file=fixture.name)
    target = next(
        leaf
        for leaf in opened.leaves()
        if leaf.was_encrypted and leaf.document == 0 and all(isinstance(part, str) for part in leaf.path)
    )
    edited = open_to_edit(fixture.text, identities, file=fixture.name).with_value(target.path, SecretValue("changed"))
    after = edited.with_recipient(age_key(other_keys.recipient), LATER).sealed(LATER)
    leaves = decrypt(after, other_keys.identities, file=fixture.name).leaves()
    assert [leaf.plaintext for leaf in leaves if leaf.path == target.path and leaf.document == 0] == [b"changed"]
    assert len(leaves) == len(opened.leaves())
    rotated = (
        open_to_edit(after, identities, file=fixture.name).rotated(age_keys(other_keys.recipient), LATER).sealed(LATER)
    )
    again = decrypt(rotated, other_keys.identities, file=fixture.name).leaves()
    assert [leaf.plaintext for leaf in again] == [leaf.plaintext for leaf in leaves]


def test_a_recipient_is_not_added_to_key_groups_by_guess(encrypt, keys, other_keys):
    sealed = encrypt("a: x\n", groups=[[keys.recipient], [other_keys.recipient]])
    both = Identities(keys=keys.identities.keys + other_keys.identities.keys)
    edited = open_to_edit(sealed, both, file="s.yaml")
    with pytest.raises(CannotEdit, match="key groups"):
        edited.with_recipient(age_key(keys.recipient), LATER)
    assert _values(edited.with_value(("a",), SecretValue("y")).sealed(NOW), both, file="s.yaml") == {"a": "y"}


def test_a_rotation_makes_one_group_of_several_and_several_of_one(encrypt, keys, other_keys):
    sealed = encrypt("a: x\n", groups=[[keys.recipient], [other_keys.recipient]])
    both = Identities(keys=keys.identities.keys + other_keys.identities.keys)
    single = open_to_edit(sealed, both, file="s.yaml").rotated(age_keys(keys.recipient), LATER).sealed(LATER)
    assert _values(single, keys.identities, file="s.yaml") == {"a": "x"}
    assert b"key_groups" not in single
    two = KeyGroups(groups=(age_keys(keys.recipient).keys, age_keys(other_keys.recipient).keys))
    again = open_to_edit(single, both, file="s.yaml").rotated(two, LATER).sealed(LATER)
    assert _values(again, both, file="s.yaml") == {"a": "x"}
    with pytest.raises(KeyMismatch):
        decrypt(again, keys.identities, file="s.yaml")


def test_a_rotation_shares_the_new_key_among_the_same_groups(go_fixture):
    fixture = go_fixture("gen-shamir")
    everybody = fixture.identities()
    before = decrypt(fixture.text, everybody, file=fixture.name)
    rotated = _rotated_in_place(open_to_edit(fixture.text, everybody, file=fixture.name)).sealed(LATER)
    assert decrypt(rotated, everybody, file=fixture.name).recipients == before.recipients
    for left_out in range(3):
        two = Identities(keys=tuple(key for number, key in enumerate(everybody.keys) if number != left_out))
        leaves = decrypt(rotated, two, file=fixture.name).leaves()
        assert [leaf.plaintext for leaf in leaves] == [leaf.plaintext for leaf in before.leaves()]
        with pytest.raises(KeyMismatch):
            decrypt(rotated, Identities(keys=everybody.keys[left_out : left_out + 1]), file=fixture.name)


@given(
    secret=st.binary(min_size=32, max_size=32),
    numbers=st.tuples(st.integers(2, 8), st.integers(2, 8)).filter(lambda pair: pair[0] <= pair[1]),
    picks=st.randoms(use_true_random=False),
)
def test_any_threshold_of_shares_gives_the_secret_back(secret, numbers, picks):
    threshold, count = numbers
    shares = split(secret, shares=count, threshold=threshold)
    assert combine(picks.sample(shares, threshold)) == secret


@pytest.mark.parametrize("name", ["age1", "age1pq1" + "q" * 80, "ssh-ed25519 AAAA", "me@example.org", ""])
def test_what_is_no_recipient_is_refused(name):
    with pytest.raises(InvalidRecipient):
        checked_recipient(name)


def test_a_secret_key_in_the_place_of_a_recipient_is_not_repeated(keys, assert_shows_nothing):
    with pytest.raises(InvalidRecipient) as refusal:
        checked_recipient(keys.secret)
    assert_shows_nothing(refusal.value, keys.secret)


def test_the_comment_of_an_ssh_key_is_not_kept():
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFb6A+6GmGSVyrLGGUUIY3GoglCNISZZNPHoSMF/v4x1"
    assert checked_recipient(f" {key} me@home ") == key


# Values of every kind


@settings(max_examples=60, deadline=None)
@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_a_secret_in_a_file_of_its_own(keys, value):
    written = new_secret_file(
        SecretValue(value), "acme/github/TOKEN", _encryption(keys.recipient), file="s.yaml", last_modified=NOW
    )
    assert read_secret_file(written, keys.identities, file="s.yaml", place="acme/github/TOKEN").reveal() == value


# The disk


def _replace(path, content, *, before, check=lambda _: None):
    replace_file(path, content, check, before=before)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = tmp_path / "a" / "s.yaml"
    _replace(path, b"one", before=None)
    path.chmod(0o640)
    _replace(path, b"two", before=b"one")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_fails_its_check_never_takes_the_name(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"old")

    def refuse(_content):
        raise Tampered("sops-mac-mismatch", "no")

    with pytest.raises(Tampered):
        _replace(path, b"new", before=b"old", check=refuse)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_somebody_else_changed_is_left_alone(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"theirs")
    with pytest.raises(ChangedMeanwhile):
        _replace(path, b"new", before=b"old")
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_disk_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"old")

    def full(*_: object):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"reconciler.sops.writing.disk.os.{step}", full)
    with pytest.raises(NotWritten, match="No space left"):
        _replace(path, b"new", before=b"old")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    target.write_bytes(b"old")
    link.symlink_to(target)
    _replace(link, b"new", before=b"old")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_folder_that_is_a_file_is_explained(tmp_path):
    (tmp_path / "secrets").write_text("", encoding="utf-8")
    with pytest.raises(NotWritten, match="cannot be written"):
        _replace(tmp_path / "secrets" / "s.yaml", b"new", before=None)


def test_no_error_of_the_writer_shows_what_it_was_given(keys, canary, assert_shows_nothing):
    texts = [f"a: {canary}\n<<: [\n", f"{{a: {canary}}}", f"a: &x {canary}\nb: *x\n", f"- {canary}\n"]
    for text in texts:
        with pytest.raises(CatwalkError) as refusal:
            encrypt(text.encode(), _encryption(keys.recipient), file="s.yaml", last_modified=NOW)
        assert_shows_nothing(refusal.value)


def test_types_survive_a_rotation(keys):
    text = b"i: 007\nf: 1.10\nb: true\nt: 2024-01-02\nn: null\ne: ''\nm: {}\n"
    written = encrypt(text, _encryption(keys.recipient), file="s.yaml", last_modified=NOW)
    after = open_to_edit(written, keys.identities, file="s.yaml").rotated(age_keys(keys.recipient), LATER).sealed(NOW)
    types = {leaf.path[0]: leaf.type for leaf in decrypt(after, keys.identities, file="s.yaml").leaves()}
    assert types == {
        "i": ValueType.INT,
        "f": ValueType.FLOAT,
        "b": ValueType.BOOL,
        "t": ValueType.TIME,
        "n": ValueType.NULL,
        "e": ValueType.STR,
        "m": ValueType.EMPTY_MAP,
    }
