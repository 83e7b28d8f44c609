"""Three versions of a file to one: whatever only one side did is kept, and a conflict stays one, in ciphertext."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.secret import SecretValue
from reconciler.sops.document import decrypt
from reconciler.sops.errors import KeyMismatch, MergeDamage
from reconciler.sops.rules import RuleKind
from reconciler.sops.writing.creation import Encryption, encrypt
from reconciler.sops.writing.editing import Editing, open_to_edit
from reconciler.sops.writing.merging import Merged, Versions, merge
from reconciler.sops.writing.recipients import age_key, age_keys
from reconciler.sops.writing.three_way import merge_lines

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
TEXT = """\
# top
fleet: acme
secrets:
  A: a  # note
  B: b
  C: c
other:
  size: 1
"""


@pytest.fixture(scope="session")
def base(keys) -> bytes:
    encryption = Encryption(
        keys=age_keys(keys.recipient), rule=(RuleKind.ENCRYPTED_REGEX, "^secrets$"), mac_only_encrypted=True
    )
    return encrypt(TEXT.encode(), encryption, file="s.yaml", last_modified=NOW)


@pytest.fixture(scope="session")
def change(keys, base):
    """One side: values set, values removed (`None`), clear text replaced."""

    def _change(values=None, *, clear=(), source=base) -> bytes:
        edited: Editing = open_to_edit(source, keys.identities, file="s.yaml")
        for name, value in (values or {}).items():
            path = ("secrets", name)
            edited = edited.without_value(path) if value is None else edited.with_value(path, SecretValue(value))
        sealed = edited.sealed(LATER).decode()
        for old, new in clear:
            sealed = sealed.replace(old, new)
        return sealed.encode()

    return _change


@pytest.fixture(scope="session")
def merged(keys):
    def _merged(base, ours, theirs) -> Merged:
        versions = Versions(base=base, ours=ours, theirs=theirs)
        return merge(versions, keys.identities, file="s.yaml", last_modified=LATER)

    return _merged


def _values(content, keys):
    values = decrypt(content, keys.identities, file="s.yaml").values_under(("secrets",))
    return {name: value.reveal() for name, value in values.items()}


CLEAN = {
    "values side by side": ({"A": "1"}, {"B": "2"}, {"A": "1", "B": "2", "C": "c"}),
    "the same change": ({"A": "1"}, {"A": "1"}, {"A": "1", "B": "b", "C": "c"}),
    "both add at one place": ({"D": "1"}, {"E": "2"}, {"A": "a", "B": "b", "C": "c", "D": "1", "E": "2"}),
    "both add the same": ({"D": "1"}, {"D": "1"}, {"A": "a", "B": "b", "C": "c", "D": "1"}),
    "one removes, the other changes another": ({"A": None}, {"C": "2"}, {"B": "b", "C": "2"}),
    "they remove, we add": ({"D": "1"}, {"B": None}, {"A": "a", "C": "c", "D": "1"}),
    "both remove": ({"A": None}, {"A": None}, {"B": "b", "C": "c"}),
    "we change what they leave": ({"A": "1", "B": "2", "C": "3"}, {}, {"A": "1", "B": "2", "C": "3"}),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), CLEAN.values(), ids=CLEAN.keys())
def test_what_only_one_side_did_is_kept(base, change, merged, keys, ours, theirs, expected):
    result = merged(base, change(ours), change(theirs))
    assert result.conflicts == ()
    assert _values(result.content, keys) == expected
    assert b"# note" in result.content or "A" not in expected


CONFLICTS = {
    "one value in two ways": ({"A": "1"}, {"A": "2"}, ("secrets.A",)),
    "changed and removed": ({"A": "1"}, {"A": None}, ("secrets.A",)),
    "added in two ways": ({"D": "1"}, {"D": "2"}, ("secrets.D",)),
}


@pytest.mark.parametrize(("ours", "theirs", "paths"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_conflict_stays_one_that_nothing_opens(base, change, merged, keys, ours, theirs, paths):
    result = merged(base, change(ours), change(theirs))
    assert result.conflicts == paths
    assert b"<<<<<<< ours" in result.content
    with pytest.raises(MergeDamage):
        decrypt(result.content, keys.identities, file="s.yaml")


def test_a_conflict_shows_no_plaintext(base, change, merged, canary):
    result = merged(base, change({"A": f"{canary}-1"}), change({"A": f"{canary}-2"}))
    assert canary.encode() not in result.content
    assert canary not in repr(result) + repr(result.conflicts)


def test_clear_lines_are_merged_with_the_values(base, change, merged, keys):
    ours = change({"A": "1"}, clear=[("size: 1", "size: 2")])
    theirs = change({"B": "2"}, clear=[("fleet: acme", "fleet: acme # theirs")])
    result = merged(base, ours, theirs)
    assert result.conflicts == ()
    assert b"size: 2" in result.content
    assert b"# theirs" in result.content
    assert _values(result.content, keys) == {"A": "1", "B": "2", "C": "c"}


def test_clear_lines_in_conflict_are_one(base, change, merged):
    ours = change({"A": "1"}, clear=[("size: 1", "size: 2")])
    result = merged(base, ours, change({"B": "2"}, clear=[("size: 1", "size: 3")]))
    assert result.conflicts == ("lines that both sides changed",)


def test_two_files_without_an_ancestor_are_joined_where_they_agree(change, merged, keys):
    result = merged(b"", change({"A": "1"}), change({"A": "1"}))
    assert _values(result.content, keys) == {"A": "1", "B": "b", "C": "c"}


def test_recipients_of_both_sides_open_the_result(base, change, merged, keys, other_keys):
    theirs = (
        open_to_edit(base, keys.identities, file="s.yaml")
        .with_recipient(age_key(other_keys.recipient), LATER)
        .sealed(LATER)
    )
    result = merged(base, change({"A": "1"}), theirs)
    assert _values(result.content, other_keys) == {"A": "1", "B": "b", "C": "c"}


def test_who_was_shut_out_by_one_side_is_shut_out(base, change, merged, keys, other_keys):
    both = (
        open_to_edit(base, keys.identities, file="s.yaml")
        .with_recipient(age_key(other_keys.recipient), LATER)
        .sealed(NOW)
    )
    theirs = open_to_edit(both, keys.identities, file="s.yaml").rotated(age_keys(keys.recipient), LATER).sealed(LATER)
    result = merged(both, change({"A": "1"}, source=both), theirs)
    assert _values(result.content, keys) == {"A": "1", "B": "b", "C": "c"}
    with pytest.raises(KeyMismatch):
        decrypt(result.content, other_keys.identities, file="s.yaml")


def test_files_with_key_groups_are_merged_as_long_as_their_recipients_stay(encrypt, keys, other_keys, merged):
    both = type(keys.identities)(keys=keys.identities.keys + other_keys.identities.keys)
    start = encrypt("a: x\nb: y\n", groups=[[keys.recipient], [other_keys.recipient]])
    opened = open_to_edit(start, both, file="s.yaml")
    ours = opened.with_value(("a",), SecretValue("1")).sealed(LATER)
    theirs = opened.with_value(("b",), SecretValue("2")).sealed(LATER)
    versions = Versions(base=start, ours=ours, theirs=theirs)
    result = merge(versions, both, file="s.yaml", last_modified=LATER)
    assert [leaf.plaintext for leaf in decrypt(result.content, both, file="s.yaml").leaves()] == [b"1", b"2"]


def test_a_new_data_key_on_one_side_does_not_hurt(base, change, merged, keys):
    theirs = open_to_edit(base, keys.identities, file="s.yaml").rotated(age_keys(keys.recipient), LATER).sealed(LATER)
    result = merged(base, change({"A": "1"}), theirs)
    assert _values(result.content, keys) == {"A": "1", "B": "b", "C": "c"}


SIDES = st.dictionaries(st.sampled_from("ABCDE"), st.one_of(st.none(), st.sampled_from(["1", "2"])), max_size=3)


@settings(max_examples=60, deadline=None)
@given(ours=SIDES, theirs=SIDES)
def test_no_change_is_lost_and_no_conflict_is_silent(base, change, merged, keys, ours, theirs):
    start = {"A": "a", "B": "b", "C": "c"}
    sides = [{k: v for k, v in side.items() if v is not None or k in start} for side in (ours, theirs)]
    result = merged(base, change(sides[0]), change(sides[1]))
    ends = [{k: v for k, v in {**start, **side}.items() if v is not None} for side in sides]
    expected, conflicts = {}, set()
    for name in "ABCDE":
        before, left, right = start.get(name), ends[0].get(name), ends[1].get(name)
        if left != right and before not in (left, right):
            conflicts.add(f"secrets.{name}")
        expected[name] = right if left == before else left
    if result.conflicts:
        assert conflicts == set(result.conflicts) or result.conflicts == ("lines that both sides changed",)
    else:
        assert not conflicts
        assert _values(result.content, keys) == {k: v for k, v in expected.items() if v is not None}


LINES = {
    "nothing": ("a\nb\n", "a\nb\n", "a\nb\n", "a\nb\n", 0),
    "ours": ("a\nb\n", "x\nb\n", "a\nb\n", "x\nb\n", 0),
    "theirs": ("a\nb\n", "a\nb\n", "a\ny\n", "a\ny\n", 0),
    "both apart": ("a\nb\nc\n", "x\nb\nc\n", "a\nb\nz\n", "x\nb\nz\n", 0),
    "both alike": ("a\n", "x\n", "x\n", "x\n", 0),
    "a conflict": ("a\n", "x\n", "y\n", "<<<<<<< ours\nx\n=======\ny\n>>>>>>> theirs\n", 1),
    "an end without a line break": ("a", "x", "y", "<<<<<<< ours\nx\n=======\ny\n>>>>>>> theirs\n", 1),
    "insertions apart": ("a\nb\n", "0\na\nb\n", "a\nb\n9\n", "0\na\nb\n9\n", 0),
}


@pytest.mark.parametrize(("base", "ours", "theirs", "text", "conflicts"), LINES.values(), ids=LINES.keys())
def test_lines_are_merged_as_git_merges_them(base, ours, theirs, text, conflicts):
    result = merge_lines(base, ours, theirs)
    assert (result.text, result.conflicts) == (text, conflicts)
