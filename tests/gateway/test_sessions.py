"""Capsules: what was sealed comes out, and nothing else ever does."""

import base64
import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sessions import BadCapsule, BadSession, CapsuleSealer, PinnedSession

KEY = b"k" * 32
SEALER = CapsuleSealer(KEY)
VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))

machines = st.text(string.ascii_letters + string.digits + "_-", max_size=64)
session_ids = st.text(VISIBLE, min_size=1, max_size=300).map(str.encode)
names = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)
sessions = st.builds(PinnedSession, server=names, machine=machines, session_id=session_ids)


def session(**changes: object) -> PinnedSession:
    values: dict[str, object] = {"server": "time", "machine": "148e", "session_id": b"abc", **changes}
    return PinnedSession(**values)


@given(sessions)
def test_what_was_sealed_comes_out(value):
    assert SEALER.open(SEALER.seal(value).encode(), server=value.server) == value


@given(sessions)
def test_a_capsule_is_a_legal_session_id(value):
    assert set(SEALER.seal(value)) <= set(VISIBLE)


@given(sessions)
def test_every_replica_makes_the_same_capsule(value):
    assert CapsuleSealer(KEY).seal(value) == SEALER.seal(value)


@given(st.binary(max_size=5000))
def test_garbage_is_refused(capsule):
    with pytest.raises(BadCapsule):
        SEALER.open(capsule, server="time")


@given(st.binary(max_size=200))
def test_well_formed_text_without_our_tag_is_refused(payload):
    capsule = b"cw1." + base64.urlsafe_b64encode(payload).rstrip(b"=")
    with pytest.raises(BadCapsule):
        SEALER.open(capsule, server="time")


@given(sessions, st.data())
def test_a_capsule_with_one_changed_character_is_refused(value, data):
    capsule = bytearray(SEALER.seal(value).encode())
    position = data.draw(st.integers(0, len(capsule) - 1))
    capsule[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != capsule[position]))
    with pytest.raises(BadCapsule):
        SEALER.open(bytes(capsule), server=value.server)


@given(sessions, st.integers(0, 400))
def test_a_cut_capsule_is_refused(value, length):
    capsule = SEALER.seal(value).encode()
    with pytest.raises(BadCapsule):
        SEALER.open(capsule[: min(length, len(capsule) - 1)], server=value.server)


@given(sessions, st.binary(min_size=32, max_size=64).filter(lambda key: key != KEY))
def test_another_key_opens_nothing(value, key):
    with pytest.raises(BadCapsule):
        CapsuleSealer(key).open(SEALER.seal(value).encode(), server=value.server)


@given(sessions, names)
def test_a_capsule_is_good_for_its_server_only(value, other):
    if other != value.server:
        with pytest.raises(BadCapsule):
            SEALER.open(SEALER.seal(value).encode(), server=other)


def authentic(payload: bytes) -> bytes:
    """A capsule that carries the right tag, whatever is inside."""
    tag = hmac.digest(KEY, b"cw1." + payload, "sha256")
    return b"cw1." + base64.urlsafe_b64encode(payload + tag).rstrip(b"=")


FIELDS = b"\x01\x00\x01m\x02\x00\x01s\x03\x00\x04time"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="no field"),
        pytest.param(FIELDS[:-1], id="a field cut short"),
        pytest.param(FIELDS + b"\x07\x00\x01x", id="a field of a later version"),
        pytest.param(FIELDS + b"\x01\x00\x01m", id="a field twice"),
        pytest.param(FIELDS[4:], id="no machine"),
        pytest.param(FIELDS + b"\x05", id="a number without a length"),
    ],
)
def test_an_authentic_capsule_with_unknown_contents_is_refused(payload):
    assert SEALER.open(authentic(FIELDS), server="time").machine == "m"
    with pytest.raises(BadCapsule):
        SEALER.open(authentic(payload), server="time")


@given(st.binary(max_size=100))
def test_no_authentic_payload_breaks_the_reader(payload):
    try:
        opened = SEALER.open(authentic(payload), server="time")
    except BadCapsule:
        return
    assert opened.server == "time"


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"session_id": b""}, id="empty session id"),
        pytest.param({"session_id": b"a b"}, id="space in the session id"),
        pytest.param({"session_id": b"a\n"}, id="line end in the session id"),
        pytest.param({"session_id": "ä".encode()}, id="session id outside ASCII"),
        pytest.param({"session_id": b"a" * 2049}, id="session id too long"),
        pytest.param({"machine": "a b"}, id="space in the machine id"),
        pytest.param({"machine": "a\r\nx: y"}, id="line end in the machine id"),
        pytest.param({"machine": "a" * 65}, id="machine id too long"),
    ],
)
def test_a_session_that_no_header_can_carry_is_not_sealed(bad):
    with pytest.raises(BadSession):
        SEALER.seal(session(**bad))


def test_the_longest_allowed_session_fits_into_the_longest_allowed_capsule():
    restrictions = {"principal": "p" * 512, "expires_at_s": 2**40, "opening": b"o" * 1024}
    value = session(session_id=b"a" * 2048, machine="m" * 64, server="s" * 63, **restrictions)
    assert SEALER.open(SEALER.seal(value).encode(), server=value.server) == value


@pytest.mark.parametrize(
    ("principal", "now_s", "opens"),
    [
        pytest.param("alice", 99, True, id="hers, in time"),
        pytest.param("bob", 99, False, id="somebody else's"),
        pytest.param("alice", 100, False, id="over"),
    ],
)
def test_a_capsule_is_good_for_its_principal_and_its_time(principal, now_s, opens):
    capsule = SEALER.seal(session(principal="alice", expires_at_s=100)).encode()
    if opens:
        assert SEALER.open(capsule, server="time", principal=principal, now_s=now_s).expires_at_s == 100
    else:
        with pytest.raises(BadCapsule):
            SEALER.open(capsule, server="time", principal=principal, now_s=now_s)


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="at least 32"):
        CapsuleSealer(b"k" * 31)
