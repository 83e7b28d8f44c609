import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.digests import canonical_json
from reconciler.core.health_policy import HealthPolicy
from reconciler.core.resolve import duration as resolved_duration
from reconciler.core.resolve import machine_config
from reconciler.core.types import (
    Guest,
    IdleAction,
    PackageReference,
    Registry,
    Scale,
    ServerSpec,
)
from reconciler.fly.normalise import canonical_config, duration, normalise

SPECS = st.builds(
    ServerSpec,
    fleet=st.just("acme"),
    name=st.just("time"),
    package=st.just(PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="2026.10.19")),
    arguments=st.lists(st.text(), max_size=3).map(tuple),
    environment=st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
    guest=st.builds(Guest, cpus=st.integers(1, 8), memory_mb=st.integers(256, 4096)),
    scale=st.builds(Scale, minimum=st.integers(0, 2), idle=st.sampled_from(IdleAction)),
    health=st.builds(HealthPolicy, interval_s=st.integers(1, 600), timeout_s=st.sampled_from([0.5, 1.5, 4.0, 90.0])),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
OWNED_KEYS = ["image", "init", "env", "guest", "services", "restart", "stop_config", "autostop", "checks", "timeout"]
LIKE_CONFIGS = st.dictionaries(st.sampled_from(OWNED_KEYS) | st.text(max_size=5), JSON, max_size=8)


def read_back(config, *, nanoseconds=False, sparse=False):
    """What Fly answers for a config that it was sent, with the rewrites that the field notes list."""
    answered = json.loads(json.dumps(config))
    for service in answered["services"]:
        service["autostop"] = {"off": False, "stop": True}.get(service["autostop"], service["autostop"])
        service["force_instance_key"] = None
        service["ports"][0]["force_https"] = False
        service["checks"][0]["headers"] = None
        for key in ("interval", "timeout", "grace_period"):
            service["checks"][0][key] = rewritten(service["checks"][0][key], nanoseconds=nanoseconds)
        if sparse and not service["min_machines_running"]:
            del service["min_machines_running"]
    if sparse and not answered["env"]:
        del answered["env"]
    answered["stop_config"]["timeout"] = rewritten(answered["stop_config"]["timeout"], nanoseconds=nanoseconds)
    answered |= {"dns": {}, "metadata": {"catwalk_fleet": "acme", "fly_platform_version": "v2"}, "auto_destroy": False}
    answered["guest"]["persist_rootfs"] = "never"
    answered["init"]["tty"] = False
    return answered


def rewritten(text, *, nanoseconds):
    """A duration in Go's notation, or as the integer that a page of the documentation shows."""
    ms = float(text[:-2]) if text.endswith("ms") else float(text[:-1]) * 1000
    if nanoseconds:
        return int(ms * 1_000_000)
    minutes, rest_ms = divmod(ms, 60_000)
    return f"{minutes:.0f}m{rest_ms / 1000:g}s" if minutes else text


@given(spec=SPECS, nanoseconds=st.booleans(), sparse=st.booleans())
def test_a_read_back_of_a_desired_config_is_the_desired_config_to_the_letter(spec, nanoseconds, sparse):
    config = machine_config(spec, "registry.fly.io/catwalk-runner:0.1.0")
    answered = read_back(config, nanoseconds=nanoseconds, sparse=sparse)
    assert canonical_config(answered) == canonical_json(config)


@given(config=LIKE_CONFIGS)
def test_normalising_is_total_and_doing_it_twice_changes_nothing(config):
    once = normalise(config)
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("answered", "word"), [(True, "stop"), (False, "off"), ("suspend", "suspend"), ("stop", "stop"), (None, "off")]
)
def test_the_booleans_of_autostop_become_words(answered, word):
    config = normalise({"services": [{"autostop": answered}]})
    assert json.loads(canonical_json(config))["services"][0]["autostop"] == word


DURATIONS = [
    ("5s", "5s"),
    ("1m0s", "60s"),
    ("2m30s", "150s"),
    ("1h", "3600s"),
    ("1.5s", "1500ms"),
    ("500ms", "500ms"),
    ("1000ms", "1s"),
    (15_000_000_000, "15s"),
    ("soon", "soon"),
    ("", ""),
]


@pytest.mark.parametrize(("answered", "canonical"), DURATIONS)
def test_a_duration_has_one_form(answered, canonical):
    assert duration(answered) == canonical


@given(seconds=st.integers(0, 100_000) | st.sampled_from([0.25, 0.5, 1.5]))
def test_durations_of_the_resolver_are_already_in_that_form(seconds):
    assert duration(resolved_duration(seconds)) == resolved_duration(seconds)


def test_a_change_made_by_hand_is_seen(request):
    spec = ServerSpec(fleet="acme", name="time", package=PackageReference(registry=Registry.NPM, name="x", version="1"))
    config = machine_config(spec, "runner:1")
    changed = read_back(config)
    changed["guest"]["memory_mb"] = 4096
    assert canonical_config(changed) != canonical_json(config)


def test_the_hidden_config_of_a_silent_host_is_empty_and_not_a_difference():
    assert canonical_config({}) == ""
