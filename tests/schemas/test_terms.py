"""The small languages of the manifest: packages, durations, sizes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.v1.sizes import SIZE_RULES, size_fault
from schemas.v1.terms import (
    NAME_PATTERN,
    PACKAGE_PATTERN,
    PackageParts,
    package_parts,
    seconds,
)


@pytest.mark.parametrize(
    ("text", "registry", "name", "version"),
    [
        pytest.param("npm:x@1.2.3", "npm", "x", "1.2.3", id="npm"),
        pytest.param("npm:@scope/x@1.2.3-rc.1", "npm", "@scope/x", "1.2.3-rc.1", id="scoped"),
        pytest.param("npm:@scope/x", "npm", "@scope/x", "", id="scoped and unpinned"),
        pytest.param("pypi:mcp-server-time@2026.10.19", "pypi", "mcp-server-time", "2026.10.19", id="pypi"),
        pytest.param("pypi:a", "pypi", "a", "", id="one letter"),
    ],
)
def test_a_package_comes_apart(text, registry, name, version) -> None:
    assert re.fullmatch(PACKAGE_PATTERN, text)
    assert package_parts(text) == PackageParts(registry=registry, name=name, version=version)


@given(st.from_regex(PACKAGE_PATTERN, fullmatch=True))
def test_every_valid_package_comes_apart_and_together_again(text) -> None:
    parts = package_parts(text)
    version = f"@{parts.version}" if parts.version else ""
    assert f"{parts.registry}:{parts.name}{version}" == text


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("5m", 300), ("1h", 3600)])
def test_a_duration_is_counted_in_seconds(text, expected) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("name", ["a", "time", "server-2", "a1"])
def test_a_name_fits(name) -> None:
    assert re.fullmatch(NAME_PATTERN, name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "1a", "A", "a_b", "a.b", "é"])
def test_a_name_that_is_no_app_name_does_not_fit(name) -> None:
    assert not re.fullmatch(NAME_PATTERN, name)


@pytest.mark.parametrize(
    ("kind", "cpus", "memory_mb"),
    [
        ("shared", 1, 256),
        ("shared", 1, 2048),
        ("shared", 8, 16384),
        ("performance", 1, 2048),
        ("performance", 16, 32768),
    ],
)
def test_a_size_on_sale_has_no_fault(kind, cpus, memory_mb) -> None:
    assert size_fault(kind, cpus, memory_mb) is None


@pytest.mark.parametrize(
    ("kind", "cpus", "memory_mb", "field", "hint"),
    [
        pytest.param("shared", 3, 512, "cpus", "choose one of 1, 2, 4, 6, 8", id="count of CPUs"),
        pytest.param("performance", 20, 65536, "cpus", "choose one of 1 to 16, 32, 64, 128", id="count, performance"),
        pytest.param("shared", 1, 300, "memory_mb", "512 MB fits", id="step"),
        pytest.param("shared", 2, 256, "memory_mb", "512 MB fits", id="too little for the CPUs"),
        pytest.param("shared", 1, 4096, "memory_mb", "2048 MB fits", id="too much for the CPUs"),
        pytest.param("performance", 1, 512, "memory_mb", "2048 MB fits", id="performance starts at 2 GB"),
    ],
)
def test_a_size_that_nobody_sells_names_the_field_and_the_nearest(kind, cpus, memory_mb, field, hint) -> None:
    fault = size_fault(kind, cpus, memory_mb)
    assert fault is not None
    assert fault.field == field
    assert hint in fault.hint


@given(
    kind=st.sampled_from(sorted(SIZE_RULES)),
    cpus=st.sampled_from(SIZE_RULES["shared"].cpus),
    memory_mb=st.integers(1, 1_000_000),
)
def test_the_size_in_the_hint_is_on_sale(kind, cpus, memory_mb) -> None:
    if cpus not in SIZE_RULES[kind].cpus or (fault := size_fault(kind, cpus, memory_mb)) is None:
        return
    suggested = int(fault.hint.partition(" ")[0])
    assert size_fault(kind, cpus, suggested) is None
