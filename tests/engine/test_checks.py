"""Health checks as the engine makes them, and what it publishes."""

import socket
import threading

import pytest

from reconciler.engine.checking import checks_of
from reconciler.engine.config import MachineConfig
from reconciler.engine.prober import OUTPUT_LIMIT, probe
from reconciler.engine.records import CheckStatus
from reconciler.engine.runtime import Probe, ProbeKind

NAME = "servicecheck-00-http-8080"


def critical(found):
    return bool(found["checks"]) and found["checks"][0]["status"] == "critical"


def passing(found):
    return bool(found["checks"]) and found["checks"][0]["status"] == "passing"


async def test_a_check_has_the_name_of_the_platform_and_the_body_as_output(bench):
    made = await bench.started(config={"env": {"HEALTH_BODY": '{"state":"ready","cause":null}'}})
    [check] = (await bench.until(made, passing))["checks"]
    assert (check["name"], check["output"]) == (NAME, '{"state":"ready","cause":null}')


async def test_a_failing_check_is_published_after_its_grace_period(bench):
    made = await bench.make_machine(config=service(grace_period="300ms", HEALTH_STATUS="503", HEALTH_BODY="installing"))
    # Under load the program may listen only after the grace period: what is refused until then is published too.
    found = await bench.until(made, lambda found: critical(found) and found["checks"][0]["output"] == "installing")
    assert found["state"] == "started"


async def test_a_failing_check_says_nothing_within_its_grace_period(bench):
    made = await bench.started(config=service(grace_period="1h", HEALTH_STATUS="503"))
    await bench.until(made, lambda found: found["state"] == "started")
    assert (await bench.show(made))["checks"] == []


async def test_checks_are_empty_again_once_the_machine_has_stopped(bench):
    made = await bench.started()
    await bench.until(made, passing)
    await bench.api.post(f"{bench.path(made)}/stop")
    assert (await bench.wait(made, "stopped"))["checks"] == []


def service(*, grace_period, **env: str):
    check = {"type": "http", "path": "/health", "interval": "1s", "timeout": "2s", "grace_period": grace_period}
    return {"env": env, "services": [{"internal_port": 8080, "autostart": True, "checks": [check]}]}


def test_checks_are_counted_over_services_and_named_ones_keep_their_names():
    config = MachineConfig.model_validate(
        {
            "image": "x",
            "services": [
                {"internal_port": 8080, "checks": [{"type": "http"}, {"type": "tcp"}]},
                {"internal_port": 9090, "checks": [{"type": "tcp", "port": 9191}]},
            ],
            "checks": {"alive": {"type": "tcp", "kind": "informational"}, "fit": {"type": "http", "kind": "readiness"}},
        }
    )
    names = {check.name: check.routes for check in checks_of(config)}
    assert names == {
        "servicecheck-00-http-8080": True,
        "servicecheck-01-tcp-8080": True,
        "servicecheck-02-tcp-9191": True,
        "alive": False,
        "fit": True,
    }


def answering(raw: bytes) -> int:
    """A port that gives one raw answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            connection.recv(4096)
            connection.sendall(raw)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("raw", "status", "output"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nfine", CheckStatus.PASSING, "fine"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", CheckStatus.PASSING, "HTTP 204"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", CheckStatus.CRITICAL, "HTTP 302"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy", CheckStatus.CRITICAL, "busy"),
        (b"SSH-2.0\r\n\r\n", CheckStatus.CRITICAL, "the answer is no HTTP"),
        (b"", CheckStatus.CRITICAL, "the answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, CheckStatus.PASSING, "x" * OUTPUT_LIMIT),
    ],
    ids=["passing", "no-content", "redirect", "critical", "not-http", "empty", "long"],
)
async def test_an_answer_is_judged_and_quoted(raw, status, output):
    answer = await probe("127.0.0.1", answering(raw), Probe(kind=ProbeKind.HTTP))
    assert answer.status is status
    assert answer.output.startswith(output)


async def test_a_port_that_nobody_listens_on_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = await probe("127.0.0.1", port, Probe(kind=ProbeKind.TCP))
    assert (answer.status, answer.output) == (CheckStatus.CRITICAL, "connect: connection refused")


async def test_a_machine_that_does_not_answer_is_given_up_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wanted = Probe(kind=ProbeKind.HTTP, timeout_s=0.05)
        answer = await probe("127.0.0.1", listener.getsockname()[1], wanted)
    assert (answer.status, answer.output) == (CheckStatus.CRITICAL, "no answer within 0.05 s")
