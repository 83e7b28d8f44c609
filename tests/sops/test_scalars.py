"""Plain YAML scalars as go-yaml v3 types them, and timestamps and floats as Go prints them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sops.nodes import ValueType
from reconciler.sops.scalars import UnreadableScalarError, resolve
from reconciler.sops.text_forms import canonical_text, float_text
from reconciler.sops.timestamps import rfc_3339

INT, FLOAT, STR, TIME, NULL, BOOL = (
    ValueType.INT,
    ValueType.FLOAT,
    ValueType.STR,
    ValueType.TIME,
    ValueType.NULL,
    ValueType.BOOL,
)

PLAIN = [
    *((text, STR, text) for text in ("yes", "no", "on", "off", "y", "n", "Yes", "nUll", "tRue", "<<", "=", "12:30:45")),
    *((text, NULL, "") for text in ("", "~", "null", "Null", "NULL")),
    *((text, BOOL, "True") for text in ("true", "True", "TRUE")),
    *((text, BOOL, "False") for text in ("false", "False", "FALSE")),
    ("0777", INT, "511"),
    ("-0777", INT, "-511"),
    ("0o17", INT, "15"),
    ("-0o17", INT, "-15"),
    ("0b101", INT, "5"),
    ("0x1F", INT, "31"),
    ("-0x1f", INT, "-31"),
    ("1_000", INT, "1000"),
    ("1__0", INT, "10"),
    ("0_7", INT, "7"),
    ("0x_f", INT, "15"),
    ("-1_0", INT, "-10"),
    ("+12", INT, "12"),
    ("00", INT, "0"),
    ("-0", INT, "0"),
    ("0b-1", INT, "-1"),
    ("0o+7", INT, "7"),
    ("0b+7", STR, "0b+7"),
    ("9223372036854775807", INT, "9223372036854775807"),
    ("-9223372036854775808", INT, "-9223372036854775808"),
    ("-9223372036854775809", FLOAT, "-9223372036854776000"),
    ("99999999999999999999", FLOAT, "100000000000000000000"),
    ("_1", STR, "_1"),
    ("0o", STR, "0o"),
    ("0b", STR, "0b"),
    ("0x", STR, "0x"),
    ("-", STR, "-"),
    ("+", STR, "+"),
    (".", STR, "."),
    ("08", FLOAT, "8"),
    ("1e3", FLOAT, "1000"),
    ("1e+5", FLOAT, "100000"),
    ("0e0", FLOAT, "0"),
    (".5", FLOAT, "0.5"),
    (".1_0", FLOAT, "0.1"),
    ("._1", STR, "._1"),
    (".1__0", STR, ".1__0"),
    ("1.", FLOAT, "1"),
    ("1_0.5", FLOAT, "10.5"),
    ("-0.0", FLOAT, "-0"),
    ("1e21", FLOAT, "1000000000000000000000"),
    ("1e-7", FLOAT, "0.0000001"),
    ("1e400", STR, "1e400"),
    (".5e400", STR, ".5e400"),
    (".inf", FLOAT, "+Inf"),
    ("+.inf", FLOAT, "+Inf"),
    ("-.INF", FLOAT, "-Inf"),
    (".NaN", FLOAT, "NaN"),
    ("٣", STR, "٣"),
    ("1٣", STR, "1٣"),
    ("2024-01-02", TIME, "2024-01-02T00:00:00Z"),
    ("2024-1-2", TIME, "2024-01-02T00:00:00Z"),
    ("2024-01-02 03:04:05", TIME, "2024-01-02T03:04:05Z"),
    ("2024-01-02   3:4:5", TIME, "2024-01-02T03:04:05Z"),
    ("2024-01-02T03:04:05+02:00", TIME, "2024-01-02T03:04:05+02:00"),
    ("2024-01-02t03:04:05Z", TIME, "2024-01-02T03:04:05Z"),
    ("2024-01-02T03:04:05+00:00", TIME, "2024-01-02T03:04:05Z"),
    ("2024-01-02T03:04:05.120Z", TIME, "2024-01-02T03:04:05.12Z"),
    ("2024-01-02T03:04:05.1234567899Z", TIME, "2024-01-02T03:04:05.123456789Z"),
    ("2024-01-02T03:04:05+01:60", TIME, "2024-01-02T03:04:05+02:00"),
    ("2024-01-02T03:04:05+0200", STR, "2024-01-02T03:04:05+0200"),
    ("2024-01-02 03:04:05 +02:00", STR, "2024-01-02 03:04:05 +02:00"),
    ("2024-13-45", STR, "2024-13-45"),
    ("2024-02-30", STR, "2024-02-30"),
    ("2024-01-02T24:00:00Z", STR, "2024-01-02T24:00:00Z"),
]


@pytest.mark.parametrize(("text", "value_type", "content"), PLAIN, ids=[repr(row[0]) for row in PLAIN])
def test_a_plain_scalar_has_the_type_and_text_of_go_yaml(text, value_type, content):
    assert resolve(text, quoted=False, tag=None) == (value_type, content.encode())


@pytest.mark.parametrize("text", [row[0] for row in PLAIN])
def test_a_quoted_scalar_is_a_string(text):
    assert resolve(text, quoted=True, tag=None) == (STR, text.encode())


TAGGED = [
    ("5", False, "str", STR, "5"),
    ("5", True, "int", INT, "5"),
    ("1", False, "float", FLOAT, "1"),
    ("", False, "null", NULL, ""),
    ("2024-1-2", True, "timestamp", TIME, "2024-01-02T00:00:00Z"),
    ("2024-01-02", False, "str", STR, "2024-01-02"),
    ("aGVsbG8=", False, "binary", STR, "hello"),
    ("aGVs\nbG8=\n", True, "binary", STR, "hello"),
    ("<<", False, "merge", STR, "<<"),
]


@pytest.mark.parametrize(("text", "quoted", "tag", "value_type", "content"), TAGGED)
def test_a_core_tag_decides_the_type(text, quoted, tag, value_type, content):
    assert resolve(text, quoted=quoted, tag=f"tag:yaml.org,2002:{tag}") == (value_type, content.encode())


def test_an_unknown_tag_makes_a_string():
    assert resolve("5", quoted=False, tag="!custom") == (STR, b"5")


def test_the_tag_that_says_nothing_changes_nothing():
    assert resolve("5", quoted=False, tag="!") == (INT, b"5")
    assert resolve("5", quoted=True, tag="!") == (STR, b"5")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("9223372036854775808", None),
        ("18446744073709551615", None),
        ("0xFFFFFFFFFFFFFFFF", None),
        ("2024-01-02T03:04:05+24:00", None),
        ("abc", "tag:yaml.org,2002:int"),
        ("yes", "tag:yaml.org,2002:bool"),
        ("2024-01-02", "tag:yaml.org,2002:int"),
        ("!!!", "tag:yaml.org,2002:binary"),
        ("\ud83d", None),
    ],
)
def test_what_sops_cannot_hold_is_refused_without_quoting_it(text, tag):
    with pytest.raises(UnreadableScalarError) as refusal:
        resolve(text, quoted=False, tag=tag)
    assert text not in str(refusal.value)


@given(st.text())
def test_any_text_resolves_or_is_refused(text):
    try:
        value_type, content = resolve(text, quoted=False, tag=None)
    except UnreadableScalarError:
        return
    assert content == text.encode() or value_type is not STR


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_a_decimal_integer_keeps_its_text(value):
    assert resolve(str(value), quoted=False, tag=None) == (INT, str(value).encode())


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_printed_without_exponent_and_reads_back(value):
    text = float_text(value)
    assert "e" not in text
    assert float(text) == value


CANONICAL = [
    (INT, "007", "7"),
    (INT, "+5", "5"),
    (FLOAT, "1.50", "1.5"),
    (FLOAT, "1e3", "1000"),
    (FLOAT, "nan", "NaN"),
    (FLOAT, "-Inf", "-Inf"),
    (BOOL, "t", "True"),
    (BOOL, "FALSE", "False"),
    (TIME, "2024-01-02T03:04:05.100+00:00", "2024-01-02T03:04:05.1Z"),
    (STR, "anything", "anything"),
    (ValueType.BYTES, "anything", "anything"),
]


@pytest.mark.parametrize(("value_type", "plaintext", "canonical"), CANONICAL)
def test_a_decrypted_value_enters_the_mac_as_go_prints_it(value_type, plaintext, canonical):
    assert canonical_text(value_type, plaintext.encode()) == canonical.encode()


@pytest.mark.parametrize(
    ("value_type", "plaintext"),
    [
        (INT, b"secret"),
        (INT, b"1_0"),
        (INT, b"9" * 30),
        (INT, b"1" * 10_000),
        (FLOAT, b"secret"),
        (FLOAT, b"1e999"),
        (BOOL, b"yes"),
        (TIME, b"2024-01-02"),
        (INT, b"\xff"),
    ],
)
def test_a_decrypted_value_that_is_not_of_its_type_is_refused(value_type, plaintext):
    with pytest.raises(ValueError, match=r"^not ") as refusal:
        canonical_text(value_type, plaintext)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["", "2024-01-02", "2024-1-2T03:04:05Z", "2024-01-02T03:04:05", "2024-02-30T03:04:05Z"]
)
def test_what_is_no_rfc_3339_timestamp_is_refused(text):
    with pytest.raises(ValueError, match="RFC 3339"):
        rfc_3339(text, keep_fraction=False)


def test_the_fraction_of_lastmodified_is_dropped():
    assert rfc_3339("2026-01-02T03:04:05.678+00:00", keep_fraction=False) == "2026-01-02T03:04:05Z"
