"""The Flycast stand-in with real machines behind it."""

import asyncio
import json

import anyio
import httpx
import pytest


async def test_a_request_goes_to_the_app_that_its_host_names(bench):
    made = await bench.started()
    answer = await bench.call("/")
    assert (answer.status_code, answer.text) == (200, f"hello from {made['id']}")
    assert answer.headers["fly-request-id"]


async def test_the_machine_sees_the_headers_of_the_platform_and_not_those_a_caller_made_up(bench):
    await bench.started()
    answer = await bench.call(
        "/headers", fly_client_ip="6.6.6.6", x_forwarded_for="7.7.7.7", x_own="kept", te="trailers"
    )
    seen = dict(json.loads(answer.text))
    assert seen["fly-client-ip"] == "127.0.0.1"
    assert seen["x-forwarded-for"] == "7.7.7.7, 127.0.0.1"
    assert seen["fly-region"] == "local"
    assert seen["fly-forwarded-port"] == str(bench.engine.proxy_port)
    assert seen["x-own"] == "kept"
    assert seen["host"] == "acme-time.flycast"
    assert "te" not in seen
    assert answer.headers["fly-request-id"] == seen["fly-request-id"]


async def test_events_pass_as_they_come(bench):
    await bench.started()
    async with bench.proxy.stream("GET", "/events", headers={"host": "acme-time.flycast"}) as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces) == "data: one\n\n"
        await bench.call("/release")
        assert "".join([piece async for piece in pieces]) == "data: two\n\n"


async def test_a_request_body_passes_as_it_comes_whatever_its_size(bench):
    await bench.started()
    size, block = 40 * 1024 * 1024, b"x" * 65536

    async def body():
        for _ in range(size // len(block)):
            yield block

    for headers in ({}, {"content-length": str(size)}):
        answer = await bench.proxy.post("/", content=body(), headers={"host": "acme-time.flycast", **headers})
        assert answer.json() == {"size": size, "first": "x", "last": "x"}


async def test_a_caller_that_leaves_ends_the_answer_in_the_machine(bench):
    await bench.started()
    async with bench.proxy.stream("GET", "/endless", headers={"host": "acme-time.flycast"}) as answer:
        assert await anext(answer.aiter_text())
    assert (await bench.call("/left")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [("HEAD", "/", 200, ""), ("GET", "/until_close", 200, "to the end"), ("POST", "/", 200, None)],
    ids=["head", "until-close", "empty-post"],
)
async def test_every_kind_of_framing_passes_and_the_connection_stays_usable(bench, method, path, status, body):
    await bench.started()
    for _ in range(2):
        answer = await bench.proxy.request(method, path, headers={"host": "acme-time.flycast"})
        assert answer.status_code == status
        assert body is None or answer.text == body


async def test_a_machine_that_speaks_no_http_is_a_502_and_a_line_in_the_log(bench):
    await bench.started()
    answer = await bench.call("/nonsense")
    assert answer.status_code == 502
    assert "[PU02]" in await bench.log_text()


async def test_an_answer_that_breaks_off_is_not_completed(bench):
    await bench.started()
    with pytest.raises(httpx.RemoteProtocolError):
        await bench.call("/broken")


async def test_a_forced_machine_gets_the_request_and_nobody_else(bench):
    first, second = await bench.started(), await bench.started()
    for machine in (first, second, first):
        assert (await bench.call("/", fly_force_instance_id=machine["id"])).text == f"hello from {machine['id']}"
    missing = await bench.call("/", fly_force_instance_id="00000000000000")
    assert missing.status_code == 503
    assert "[PR02] machine not found" in await bench.log_text()
    codes = [line["attributes"]["meta"].get("error", {}).get("code") for line in (await bench.logs())["data"]]
    assert "PR02" in codes


async def test_a_preferred_machine_that_is_missing_is_replaced_and_told(bench):
    made = await bench.started()
    seen = dict((await bench.call("/headers", fly_prefer_instance_id="00000000000000")).json())
    assert seen["fly-preferred-instance-unavailable"] == "00000000000000"
    seen = dict((await bench.call("/headers", fly_prefer_instance_id=made["id"])).json())
    assert "fly-preferred-instance-unavailable" not in seen


async def test_a_machine_whose_checks_fail_gets_no_requests(open_bench, quick):
    async with open_bench(quick(wake_s=0.2)) as bench:
        await bench.make_app()
        check = {"type": "http", "path": "/health", "interval": "1s", "grace_period": "1ms"}
        services = [{"internal_port": 8080, "autostart": True, "checks": [check]}]
        made = await bench.make_machine(config={"env": {"HEALTH_STATUS": "503"}, "services": services})
        await bench.until(made, lambda found: bool(found["checks"]))
        answer = await bench.call("/")
        assert answer.status_code == 503


async def test_fifty_callers_wake_a_sleeping_machine_once_and_all_are_answered(bench):
    made = await bench.started()
    await bench.api.post(f"{bench.path(made)}/stop")
    stopped = await bench.wait(made, "stopped")
    starts = [event["id"] for event in stopped["events"] if event["type"] == "start"]
    answers = await asyncio.gather(*(bench.call("/") for _ in range(50)))
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, f"hello from {made['id']}")}
    found = await bench.show(made)
    new = [e["status"] for e in found["events"] if e["type"] == "start" and e["id"] not in starts]
    assert new == ["started", "starting"]


async def test_a_machine_without_autostart_sleeps_on(bench):
    services = [{"internal_port": 8080, "autostart": False}]
    made = await bench.started(config={"services": services})
    await bench.api.post(f"{bench.path(made)}/stop")
    await bench.wait(made, "stopped")
    assert (await bench.call("/")).status_code == 503
    assert (await bench.show(made))["state"] == "stopped"


async def test_a_foreign_lease_blocks_waking(bench):
    made = await bench.started()
    await bench.api.post(f"{bench.path(made)}/stop")
    await bench.wait(made, "stopped")
    await bench.api.post(f"{bench.path(made)}/lease", json={"ttl": 60})
    assert (await bench.call("/")).status_code == 503
    assert "[PM01] machines API returned an error" in await bench.log_text()


@pytest.mark.parametrize("host", ["nobody.flycast", "acme-time.example", "127.0.0.1"])
async def test_a_host_that_names_no_app_is_refused(bench, host):
    answer = await bench.proxy.get("/", headers={"host": host})
    assert answer.status_code == 503


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.flycast\r\nHost: b.flycast\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.flycast\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.flycast\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.flycast\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["no-host", "two-hosts", "both-lengths", "two-lengths", "large-head", "no-http"],
)
async def test_a_malformed_request_ends_at_the_proxy(bench, raw):
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.engine.proxy_port)
    try:
        writer.write(raw)
        with anyio.fail_after(10):
            answer = await reader.read()
    finally:
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_requests_that_come_in_one_piece_are_answered_in_order(bench):
    made = await bench.started()
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.engine.proxy_port)
    one = b"GET /%b HTTP/1.1\r\nHost: acme-time.flycast\r\n%b\r\n"
    try:
        writer.write(one % (b"headers", b"") + one % (b"", b"Connection: close\r\n"))
        with anyio.fail_after(10):
            answer = await reader.read()
    finally:
        writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(f"hello from {made['id']}".encode())
