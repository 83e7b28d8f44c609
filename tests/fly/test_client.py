import json
from itertools import pairwise

import anyio
import pytest

from reconciler.core.secret import SecretValue
from reconciler.fly import errors, machines
from reconciler.fly.calls import Call, Effect
from reconciler.fly.client import ATTEMPTS, MachinesAPI, Timing
from reconciler.fly.pools import POOLS
from reconciler.fly.rates import MACHINE_READS
from reconciler.fly.wire import AppEntry

PATH = "/v1/apps/acme-time"
APP = {"name": "acme-time", "network": "acme-time"}


def call(effect=Effect.READ, **changes: object) -> Call:
    given = {"method": "GET", "path": PATH, "purpose": "read app", "action": "get app", "subject": "acme-time"}
    return Call(effect=effect, **(given | changes))


async def test_a_call_carries_the_token_the_agent_and_the_nonce_in_headers_only(server, api):
    server.on("GET", PATH, APP)
    await api.ask(call(nonce="abc"), AppEntry)
    (seen,) = server.seen
    assert seen.headers["authorization"] == "FlyV1 fm2_secret"
    assert seen.headers["user-agent"].startswith("catwalk/")
    assert seen.headers["fly-machine-lease-nonce"] == "abc"
    assert "fm2_secret" not in seen.path + json.dumps(seen.query) + repr(api.__dict__)


async def test_the_affinity_cookie_of_an_app_comes_back_on_its_calls_and_on_no_other(server, api):
    cookie = {"set-cookie": f"fly_flaps_affinity=node7; Path={PATH}"}
    server.on("POST", "/v1/apps", server.reply(status=201, headers=cookie))
    server.on("GET", PATH, APP)
    server.on("GET", "/v1/apps/acme-other", APP)
    await api.tell(call(Effect.WRITE, method="POST", path="/v1/apps", body={"name": "acme-time"}))
    await api.ask(call(), AppEntry)
    await api.ask(call(path="/v1/apps/acme-other"), AppEntry)
    _, own, other = server.seen
    assert own.headers["cookie"] == "fly_flaps_affinity=node7"
    assert "cookie" not in other.headers


async def test_calls_side_by_side_share_the_cookies_whichever_pool_they_go_by(server, api):
    server.on("POST", "/v1/apps", server.reply(headers={"set-cookie": f"fly_flaps_affinity=node7; Path={PATH}"}))
    server.on("GET", PATH, APP)
    await api.tell(call(Effect.WRITE, method="POST", path="/v1/apps", body={"name": "acme-time"}))
    async with anyio.create_task_group() as group:
        for _ in range(2 * POOLS):
            group.start_soon(api.ask, call(rate=MACHINE_READS), AppEntry)
    assert [seen.headers.get("cookie") for seen in server.calls("GET")] == ["fly_flaps_affinity=node7"] * 2 * POOLS


async def test_a_read_is_repeated_until_the_api_is_back(server, api, clock):
    server.on("GET", PATH, (503, {}), server.lost, (429, {}), server.reply(body=APP, cut=True), APP)
    assert (await api.ask(call(), AppEntry)).name == "acme-time"
    assert len(server.seen) == ATTEMPTS
    assert clock.slept


async def test_a_read_gives_up_after_its_attempts(server, api):
    server.on("GET", PATH, (503, {"error": "down"}))
    with pytest.raises(errors.MachinesUnavailable, match="01REQUEST-iad"):
        await api.ask(call(), AppEntry)
    assert len(server.seen) == ATTEMPTS


async def test_the_retry_budget_ends_retries_when_everything_is_down(server, api):
    server.on("GET", PATH, (503, {}))
    sent = []
    for _ in range(30):
        before = len(server.seen)
        with pytest.raises(errors.MachinesUnavailable):
            await api.ask(call(), AppEntry)
        sent.append(len(server.seen) - before)
    assert sent[0] == ATTEMPTS
    assert sent[-1] == 1


@pytest.mark.parametrize("reply", ["lost", "cut", "500", "408", "not json"])
async def test_a_write_whose_answer_is_lost_is_sent_once_and_its_outcome_is_unknown(server, api, reply):
    replies = {
        "lost": server.lost,
        "cut": server.reply(body=APP, cut=True),
        "500": (500, {}),
        "408": (408, {}),
        "not json": server.reply(body=b'{"name": '),
    }
    server.on("POST", PATH, replies[reply])
    with pytest.raises(errors.AnswerLost):
        await api.ask(call(Effect.WRITE, method="POST"), AppEntry)
    assert len(server.seen) == 1


async def test_a_write_that_was_refused_for_haste_is_sent_again_after_the_pause(server, api, clock):
    server.on("POST", PATH, server.reply(status=429, headers={"retry-after": "7"}), {})
    await api.tell(call(Effect.WRITE, method="POST"))
    assert len(server.seen) == 2
    assert max(clock.slept) >= 7


async def test_a_write_that_may_happen_twice_is_repeated(server, api):
    server.on("DELETE", PATH, server.lost, (502, {}), {})
    await api.tell(call(Effect.REPEATABLE, method="DELETE"))
    assert len(server.seen) == 3


async def test_a_conflict_is_never_repeated(server, api):
    server.on("POST", PATH, (409, {}))
    with pytest.raises(errors.UnexplainedConflict):
        await api.tell(call(Effect.REPEATABLE, method="POST"))
    assert len(server.seen) == 1


async def test_an_answer_larger_than_its_limit_is_not_read_to_the_end(server, api):
    server.on("POST", PATH, server.reply(body=b'{"name":"' + b"x" * 5000 + b'"}'))
    with pytest.raises(errors.AnswerLost, match="larger than"):
        await api.ask(call(Effect.WRITE, method="POST", limit_bytes=1000), AppEntry)


async def test_a_call_that_takes_too_long_ends_at_its_timeout(server, api):
    server.on("POST", PATH, server.mute)
    with pytest.raises(errors.AnswerLost, match="within"):
        await api.tell(call(Effect.WRITE, method="POST", timeout_s=0.05))
    assert len(server.seen) == 1


async def test_an_address_where_nobody_listens_is_no_lost_answer(clock):
    async with MachinesAPI(base_url="http://127.0.0.1:9", token=None, timing=clock.timing) as api:
        with pytest.raises(errors.NotSent, match=r"no connection to 127\.0\.0\.1"):
            await api.tell(call(Effect.WRITE, method="POST"))


async def test_an_address_that_is_no_machines_api_is_named_as_such(server, api):
    with pytest.raises(errors.WrongAddress) as refusal:
        await api.ask(call(), AppEntry)
    assert "CATWALK_FLY_API_URL" in refusal.value.problem.hint


async def test_steady_work_stays_under_the_rate_of_each_machine(server, api, clock):
    sent = []
    server.on("POST", f"{PATH}/machines/m1/start", lambda _: sent.append(clock.now_s) or {})
    for _ in range(6):
        await machines.start(api, "acme-time", "m1")
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(sent[1:]))


async def test_a_wait_is_clamped_to_what_fly_accepts_and_names_the_version(server, api):
    server.on("GET", f"{PATH}/machines/m1/wait", {"ok": True})
    target = machines.MachineVersion(app="acme-time", machine_id="m1", version="01V")
    await machines.wait(api, target, state="started", timeout_s=600)
    assert server.seen[0].query == {"state": "started", "timeout": "60", "version": "01V"}


async def test_a_name_from_outside_cannot_leave_its_path_segment(server, api):
    with pytest.raises(errors.WrongAddress):
        await machines.get(api, "acme-time", "../../orgs/x")
    assert server.seen[0].path.startswith("/v1/apps/acme-time/machines/")
    assert server.seen[0].path.count("/") == 5


async def test_the_token_never_appears_in_an_error(server):
    async with MachinesAPI(base_url=server.url, token=SecretValue("fm2_canary"), timing=Timing()) as api:
        server.on("GET", PATH, (401, {"error": "Authenticate: token validation error"}))
        with pytest.raises(errors.Unauthorized) as refusal:
            await api.ask(call(), AppEntry)
    assert "canary" not in repr(refusal.value) + str(refusal.value) + repr(refusal.value.problem)
