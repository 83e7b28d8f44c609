"""The small values of the core: secrets that do not leak, redaction, digests, configs, prices."""

import base64
import copy
import json
import pickle
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapter.options import parse_options
from reconciler.core.cost import guest_price, running_cost
from reconciler.core.digests import canonical_json, keyed_digest, machine_digest
from reconciler.core.drift import field_changes
from reconciler.core.problems import Location, Problem
from reconciler.core.redact import Redactor
from reconciler.core.resolve import adapter_arguments, duration, machine_config
from reconciler.core.secret import MASK, SecretValue
from reconciler.core.serving import Serving, SessionMode, TransportType
from reconciler.core.types import Guest, Scale
from tests.core.conftest import World

CANARY = "canary-5f0c/ü+value"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, lambda value: f"{value:>40}"])
def test_a_secret_never_shows_itself(show: Callable[[SecretValue], str]) -> None:
    assert CANARY not in show(SecretValue(CANARY))


def test_a_secret_refuses_pickle_json_and_hash() -> None:
    secret = SecretValue(CANARY)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps({"secret": secret})
    with pytest.raises(TypeError):
        hash(secret)
    assert copy.deepcopy(secret) is secret
    assert secret == SecretValue(CANARY) != SecretValue("other")


@pytest.mark.parametrize(
    "text",
    [
        CANARY,
        json.dumps(CANARY),
        quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"user:{CANARY}".encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
    ],
    ids=["plain", "json", "url", "base64", "basic-auth", "base64url"],
)
def test_known_secrets_are_masked_in_every_usual_form(text: str) -> None:
    masked = Redactor([SecretValue(CANARY)])(f"before {text} after")
    assert MASK in masked
    assert text not in masked
    assert masked.startswith("before ")


def test_very_short_secrets_do_not_destroy_the_text() -> None:
    assert Redactor([SecretValue("1")])("1 of 10") == "1 of 10"


@given(st.text(min_size=4), st.text())
def test_a_masked_text_never_contains_the_secret(secret: str, around: str) -> None:
    masked = Redactor([SecretValue(secret)])(f"{around}{secret}{around}")
    assert secret not in masked or secret in MASK * 3


def test_a_keyed_digest_depends_on_key_and_value() -> None:
    digest = keyed_digest(b"k" * 32, SecretValue("value"))
    assert digest == keyed_digest(b"k" * 32, SecretValue("value"))
    assert len({digest, keyed_digest(b"l" * 32, SecretValue("value")), keyed_digest(b"k" * 32, SecretValue("v"))}) == 3


def test_the_machine_digest_ignores_the_order_of_secrets() -> None:
    assert machine_digest("{}", "iad", {"A": "1", "B": "2"}) == machine_digest("{}", "iad", {"B": "2", "A": "1"})
    assert machine_digest("{}", "iad", {}) != machine_digest("{}", "fra", {})


def test_the_config_is_complete_and_says_autostop_and_autostart(world: World) -> None:
    config = json.loads(canonical_json(machine_config(world.spec(environment={"TZ": "UTC"}), "runner:1")))
    service = config["services"][0]
    assert (service["autostop"], service["autostart"], service["internal_port"]) == ("suspend", True, 8080)
    assert config["env"] == {"TZ": "UTC"}
    assert config["init"]["cmd"] == ["--", "pypi:mcp-server-time@2026.10.19"]


def test_fly_puts_only_those_machines_to_sleep_that_need_not_be_awake(world: World) -> None:
    server = world.server(world.spec(scale=Scale(minimum=2, maximum=4), regions=("iad", "fra")))
    services = [json.loads(machine.config)["services"][0]["autostop"] for machine in server.machines]
    assert services == ["off", "off", "suspend", "suspend"]


def test_options_of_the_adapter_stand_before_the_package(world: World) -> None:
    spec = world.spec(resolve_as_of="latest", entrypoint="mcp", arguments=("--x",))
    assert list(adapter_arguments(spec)) == [
        "--resolve-as-of",
        "latest",
        "--entrypoint",
        "mcp",
        "--",
        "pypi:mcp-server-time@2026.10.19",
        "--x",
    ]


def test_what_the_adapter_does_by_itself_is_not_written_down(world: World) -> None:
    http = Serving(transport=TransportType.STREAMABLE_HTTP)
    assert next(adapter_arguments(world.spec(serving=Serving()))) == "--"
    assert list(adapter_arguments(world.spec(serving=http)))[:3] == ["--transport", "streamable-http", "--"]


def test_the_adapter_is_told_how_the_server_speaks(world: World) -> None:
    http = Serving(transport=TransportType.STREAMABLE_HTTP, port=3000, path="/x", sessions=SessionMode.ISOLATED)
    options = [*adapter_arguments(world.spec(serving=http))]
    told = parse_options(options)
    assert (told.transport.value, told.server_port, told.server_path) == ("streamable-http", 3000, "/x")
    assert told.sessions.value == "isolated"


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (0.5, "500ms"), (300, "300s")])
def test_durations_are_written_as_the_api_wants_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_changed_fields_are_named_by_path() -> None:
    before = canonical_json({"env": {"A": "1"}, "services": [{"port": 80}], "image": "x"})
    after = canonical_json({"env": {"B": "1"}, "services": [{"port": 81}], "image": "x"})
    changes = [(change.path, change.before, change.after) for change in field_changes(before, after)]
    assert changes == [("env.A", '"1"', ""), ("env.B", "", '"1"'), ("services[0].port", "80", "81")]


def test_an_unreadable_config_changes_nothing() -> None:
    assert field_changes("", "{}") == ()


@pytest.mark.parametrize(
    ("guest", "price"),
    [
        (Guest(memory_mb=256), 1.94),
        (Guest(memory_mb=512), 3.19),
        (Guest(memory_mb=1024), 5.69),
        (Guest(cpus=2, memory_mb=512), 3.88),
        (Guest(cpu_kind="performance", memory_mb=2048), None),
    ],
)
def test_prices_agree_with_the_published_ones(guest: Guest, price: float | None) -> None:
    computed = guest_price(guest)
    assert computed == (None if price is None else pytest.approx(price))


def test_a_fleet_costs_the_sum_and_names_what_has_no_price(world: World) -> None:
    two = world.server(world.spec("a", scale=Scale(maximum=2)))
    large = world.server(world.spec("b", guest=Guest(cpu_kind="performance", memory_mb=2048)))
    cost = running_cost([world.machine(machine) for server in (two, large) for machine in server.machines])
    assert (cost.awake, cost.unpriced) == (6.38, ("b",))


def test_running_machines_cost_what_their_config_says(world: World) -> None:
    machine = world.machine(world.server().machines[0])
    hidden = world.machine(world.server(world.spec("other")).machines[0], config="")
    cost = running_cost([machine, hidden])
    assert (cost.awake, cost.unpriced) == (3.19, ("other",))


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem(code="x", message="bad", hint="fix it", location=Location(file="catwalk.yaml", line=3, column=5)),
            "catwalk.yaml:3:5: bad (fix it)",
        ),
        (Problem(code="x", message="bad", server="time"), "time: bad"),
        (Problem(code="x", message="bad"), "bad"),
    ],
)
def test_a_problem_reads_like_a_compiler_message(problem: Problem, text: str) -> None:
    assert str(problem) == text
