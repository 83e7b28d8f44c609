"""Replays: a machine orders that another one answers its request."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

PROGRAM = Path(__file__).with_name("proxied_program.py")
HOST = {"host": "acme-time.flycast"}


@pytest.fixture
def settings(settings):
    return replace(settings, images={"catwalk-runner": (sys.executable, "-S", str(PROGRAM), "{port}")})


async def ready(bench, **body: object):
    made = await bench.started(**body)
    return await bench.until(made, lambda found: found["checks"] and found["checks"][0]["status"] == "passing")


@pytest.fixture
async def pair(bench):
    return [await ready(bench, region="ams"), await ready(bench, region="fra")]


async def ordered(bench, source, path="/headers", **headers: str):
    """A request that its first machine answers with an order."""
    return await bench.call(path, fly_force_instance_id=source["id"], **headers)


async def codes(bench):
    lines = (await bench.logs())["data"]
    return [line["attributes"]["meta"].get("error", {}).get("code") for line in lines]


async def test_an_order_by_header_sends_the_request_to_the_machine_it_names(bench, pair):
    source, target = pair
    answer = await ordered(bench, source, x_order=f"instance={target['id']};state=session-7", x_own="kept")
    seen = dict(answer.json())
    told = re.fullmatch(r"instance=(\w+);region=(\w+);t=(\d{16});state=(.*)", seen["fly-replay-src"])
    assert (told[1], told[2]) == (source["id"], "ams")
    assert told[4] == "session-7"
    assert seen["x-own"] == "kept"
    assert "fly-replay" not in answer.headers
    assert (await ordered(bench, source, "/", x_order=f"instance={target['id']}")).text == f"hello from {target['id']}"


@pytest.mark.parametrize(
    "order",
    [
        "elsewhere=true",
        "region=fra",
        'region="nrt, fra"',
        "region=eu;elsewhere=true",
        "prefer_instance={target}",
        "region=any;elsewhere=true",
    ],
    ids=["elsewhere", "region", "regions", "region-group", "preferred", "any"],
)
async def test_the_fields_of_an_order_lead_to_the_other_machine(bench, pair, order):
    source, target = pair
    text = order.format(target=target["id"])
    assert (await ordered(bench, source, "/", x_order=text)).text == f"hello from {target['id']}"


async def test_an_order_by_body_may_change_the_request(bench, pair):
    source, target = pair
    order = {
        "instance": target["id"],
        "state": "by body",
        "transform": {
            "path": "/headers?seen",
            "delete_headers": ["X-Own"],
            "set_headers": [{"name": "X-New", "value": "set"}],
        },
    }
    answer = await ordered(bench, source, "/count", x_order_json=json.dumps(order), x_own="gone")
    seen = dict(answer.json())
    assert seen["fly-replay-src"].endswith(";state=by body")
    assert seen["x-new"] == "set"
    assert "x-own" not in seen


async def test_a_replay_may_name_another_app_of_the_network_and_wakes_its_machine(bench, pair):
    await bench.api.post("/apps", json={"name": "acme-git", "org_slug": "personal", "network": "acme-time"})
    target = await bench.make_machine(app="acme-git", skip_launch=True)
    answer = await ordered(bench, pair[0], "/", x_order="app=acme-git")
    assert answer.text == f"hello from {target['id']}"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ("app=nobody", "PA04"),
        ("app=acme-far", "PA05"),
        ("state=alone", "PA03"),
        ("no order at all", "PA03"),
        ("app=acme-time;cache=yes", "PA03"),
        ("app=acme-time;timeout=soon", "PA03"),
    ],
    ids=["no-app", "other-network", "nowhere", "no-pairs", "not-done-here", "no-duration"],
)
async def test_an_order_that_cannot_be_followed_is_a_502_with_its_line(bench, pair, order, code):
    await bench.api.post("/apps", json={"name": "acme-far", "org_slug": "personal", "network": "far"})
    answer = await ordered(bench, pair[0], x_order=order)
    assert (answer.status_code, answer.text[:6]) == (502, f"[{code}]")
    assert code in await codes(bench)


@pytest.mark.parametrize(
    "transform",
    [
        {"set_headers": [{"name": "Content-Length", "value": "0"}]},
        {"delete_headers": ["Transfer-Encoding"]},
        {"set_headers": [{"name": "X", "value": "a\r\nB: c"}]},
        {"set_headers": [{"name": "X: y", "value": "z"}]},
        {"path": "/ HTTP/1.1\r\nX: y"},
        {"path": "no-slash"},
    ],
    ids=["framing-set", "framing-deleted", "line-break", "name-with-colon", "path-with-line", "relative-path"],
)
async def test_a_change_that_would_break_the_request_is_refused(bench, pair, transform):
    order = {"instance": pair[1]["id"], "transform": transform}
    answer = await ordered(bench, pair[0], x_order_json=json.dumps(order))
    assert (answer.status_code, answer.text[:6]) == (502, "[PA03]")


async def test_a_request_is_replayed_ten_times_and_not_more(bench, pair):
    answer = await ordered(bench, pair[0], "/", x_order="app=acme-time", x_always="1")
    assert (answer.status_code, answer.text[:6]) == (502, "[PA02]")


async def test_the_target_of_a_replay_that_is_missing_is_a_503(bench, pair):
    answer = await ordered(bench, pair[0], "/", x_order="instance=00000000000000")
    assert (answer.status_code, answer.text[:6]) == (503, "[PR02]")


@pytest.mark.parametrize("fallback", ["force_self", "prefer_self"])
async def test_a_replay_that_finds_nobody_falls_back_to_whoever_ordered_it(bench, pair, fallback):
    answer = await ordered(bench, pair[0], x_order=f"instance=00000000000000;timeout=2s;fallback={fallback}")
    seen = dict(answer.json())
    assert f"replay_source={pair[0]['id']};reason=no_candidate;elapsed_ms=" in seen["fly-replay-failed"]


async def test_a_fallback_cannot_order_a_replay_again(bench, pair):
    order = "instance=00000000000000;fallback=force_self"
    answer = await ordered(bench, pair[0], x_order=order, x_always="1")
    assert (answer.status_code, answer.text[:6]) == (502, "[PA03]")


@pytest.mark.parametrize("at_once", [True, False], ids=["ordered-before-the-body", "ordered-after-the-body"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "sized"])
async def test_a_body_of_almost_a_megabyte_is_replayed_whole(bench, pair, at_once, chunked):
    source, target = pair
    size = 1_000_000
    headers = {
        **HOST,
        "fly-force-instance-id": source["id"],
        "x-order": f"instance={target['id']}",
        **({"x-at-once": "1"} if at_once else {}),
        **({} if chunked else {"content-length": str(size)}),
    }

    async def body():
        for position in range(0, size, 50_000):
            yield (b"a" if position == 0 else b"z") * 50_000

    answer = await bench.proxy.post("/", content=body(), headers=headers)
    assert answer.json() == {"size": size, "first": "a", "last": "z"}


async def test_a_larger_body_cannot_be_replayed(bench, pair):
    headers = {**HOST, "fly-force-instance-id": pair[0]["id"], "x-order": f"instance={pair[1]['id']}"}
    answer = await bench.proxy.post("/", content=b"x" * 1_100_000, headers=headers)
    assert (answer.status_code, answer.text[:6]) == (502, "[PA01]")
    assert "PA01" in await codes(bench)


async def test_a_caller_cannot_pretend_a_replay(bench, pair):
    answer = await bench.call("/headers", fly_replay_src="instance=x", fly_replay_failed="x", via="1.0 old")
    seen = dict(answer.json())
    assert not {"fly-replay-src", "fly-replay-failed"} & set(seen)
    assert (seen["via"], seen["x-forwarded-ssl"], seen["x-forwarded-proto"]) == ("1.0 old, 1.1 fly.io", "off", "http")


async def test_an_answer_that_breaks_off_leaves_its_line(bench, pair):
    with pytest.raises(httpx.RemoteProtocolError):
        await bench.call("/broken")
    assert "PU02" in await codes(bench)
