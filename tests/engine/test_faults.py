"""Injected faults over real sockets: each one as a client meets it, and what the engine has done by then."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx
import pytest

from reconciler.engine import Behaviour, Simulation, Timings
from reconciler.engine.faults import (
    ClockJump,
    Conflict,
    ConflictReason,
    Faults,
    FlappingChecks,
    ForeignLease,
    InsufficientCapacity,
    LostAnswer,
    LostCookie,
    ManifestUnknown,
    PreconditionFailed,
    PreconditionReason,
    RateLimited,
    Rule,
    ServerError,
    SlowBody,
    StuckTransition,
    TimedOut,
    TruncatedBody,
    UnreachableHost,
)
from reconciler.errors import EnvironmentFault

MACHINES = "/v1/apps/{app}/machines"
MACHINE = f"{MACHINES}/{{machine}}"


@dataclass(slots=True)
class Stage:
    """An engine of simulated machines with faults, and a client that judges no answer."""

    bench: Any
    world: Simulation
    faults: Faults
    api: httpx.AsyncClient

    async def names(self) -> list[str]:
        return [machine["name"] for machine in (await self.bench.api.get("/apps/acme-time/machines")).json()]

    async def create(self, name: str = "time-1", **body: object) -> httpx.Response:
        made = {"name": name, "config": {"image": "catwalk-runner"}, "skip_launch": True, **body}
        return await self.api.post("/apps/acme-time/machines", json=made)


@pytest.fixture
async def stage(open_bench, settings) -> AsyncIterator[Stage]:
    async with staged(open_bench, replace(settings, timings=Timings())) as opened:
        yield opened


@asynccontextmanager
async def staged(open_bench, settings, faults: Faults | None = None) -> AsyncIterator[Stage]:
    world, faults = Simulation(), faults or Faults()
    async with (
        open_bench(settings, simulation=world, faults=faults) as bench,
        httpx.AsyncClient(base_url=bench.api.base_url, headers=bench.api.headers, timeout=20) as api,
    ):
        await bench.make_app()
        yield Stage(bench=bench, world=world, faults=faults, api=api)


# Before, instead of and after the call.


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not-committed"])
@pytest.mark.parametrize(
    ("effect", "status"),
    [(TimedOut, 408), (ServerError, 503), (LostAnswer, None)],
    ids=["timed-out", "server-error", "lost-answer"],
)
async def test_a_create_fails_after_or_before_it_had_its_effect(stage, effect, status, committed):
    stage.faults.add(Rule(effect=effect(committed=committed), method="POST", route=MACHINES, times=1))
    if status is None:
        with pytest.raises(httpx.RemoteProtocolError):
            await stage.create()
    else:
        failed = await stage.create()
        assert failed.status_code == status
        assert failed.headers["fly-request-id"]
        assert failed.json()["error"]
    assert await stage.names() == (["time-1"] if committed else [])
    assert stage.faults.fired() == 1


async def test_a_server_error_can_have_any_status_of_its_class(stage):
    stage.faults.add(Rule(effect=ServerError(status=504)))
    assert (await stage.api.get("/apps/acme-time")).status_code == 504


async def test_an_error_of_the_apps_service_comes_in_its_own_envelope(stage):
    stage.faults.add(Rule(effect=ServerError(status=500)))
    assert list((await stage.api.get("/apps/acme-time")).json()) == ["message"]


CONFLICTS = {
    ConflictReason.VERSION: "aborted: machine update failed due to concurrent update",
    ConflictReason.HOST_MEMORY: "aborted: could not reserve resource for machine: insufficient memory available to "
    "fulfill request on the current host",
    ConflictReason.HOST_CPUS: "aborted: could not reserve resource for machine: insufficient CPUs available to "
    "fulfill request on the current host",
    ConflictReason.NO_ADDRESSES: "aborted: insufficient IPs available to fulfill request",
    ConflictReason.NO_CAPACITY: "aborted: no capacity",
    ConflictReason.HOST_DISABLED: "deploys to this host are temporarily disabled",
    ConflictReason.GOVERNOR: "governor policy blocked start",
    ConflictReason.NO_MESSAGE: "",
}


@pytest.mark.parametrize(("reason", "text"), CONFLICTS.items(), ids=[str(reason) for reason in CONFLICTS])
async def test_a_conflict_has_the_text_of_its_reason_and_changes_nothing(stage, reason, text):
    made = await stage.bench.make_machine(skip_launch=True)
    stage.faults.add(Rule(effect=Conflict(reason=reason), method="POST", route=MACHINE))
    refused = await stage.api.post(stage.bench.path(made), json={"config": made["config"], "skip_launch": True})
    assert (refused.status_code, refused.json()) == (409, {"error": text})
    assert (await stage.bench.show(made))["instance_id"] == made["instance_id"]


async def test_a_conflict_for_want_of_resources_begins_like_the_one_of_a_create(stage):
    stage.faults.add(Rule(effect=Conflict(reason=ConflictReason.NO_RESOURCES)))
    text = (await stage.create()).json()["error"]
    assert text.startswith("aborted: insufficient resources available to fulfill request: ")


async def test_a_conflict_can_have_an_empty_body(stage):
    stage.faults.add(Rule(effect=Conflict(reason=ConflictReason.EMPTY)))
    refused = await stage.create()
    assert (refused.status_code, refused.content) == (409, b"")


async def test_a_conflict_about_a_lease_names_the_machine_and_has_the_envelope_of_its_endpoint(stage):
    made = await stage.bench.make_machine(skip_launch=True)
    stage.faults.add(Rule(effect=Conflict(reason=ConflictReason.LEASE)))
    update = await stage.api.post(stage.bench.path(made), json={"config": made["config"]})
    assert update.json()["error"].startswith(f"aborted: machine ID {made['id']} lease currently held by ")
    lease = await stage.api.post(f"{stage.bench.path(made)}/lease")
    assert (lease.json()["status"], lease.json()["code"]) == ("error", "invalid")


async def test_a_conflict_about_a_name_gives_the_id_of_the_machine_that_has_it(stage):
    made = (await stage.create()).json()
    stage.faults.add(Rule(effect=Conflict(reason=ConflictReason.NAME)))
    taken, free = await stage.create(), await stage.create("time-2")
    assert f'machine ID {made["id"]} already exists with name "time-1"' in taken.json()["error"]
    assert 'machine ID 00000000000000 already exists with name "time-2"' in free.json()["error"]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (PreconditionReason.METADATA, "machine version mismatch"),
        (PreconditionReason.VOLUME, "insufficient resources to create new machine with existing volume id"),
        (PreconditionReason.REPLACING, "machine getting replaced, refusing to start"),
        (PreconditionReason.CREATED, "unable to start machine from current state: 'created'"),
    ],
)
async def test_a_precondition_that_fails_says_which(stage, reason, text):
    stage.faults.add(Rule(effect=PreconditionFailed(reason=reason)))
    refused = await stage.create()
    assert refused.status_code == 412
    assert text in refused.json()["error"]
    assert refused.json().get("status") == ("volume_placement_capacity" if reason == "volume" else None)


async def test_a_region_without_room_refuses_while_another_one_takes_the_machine(stage):
    stage.faults.add(Rule(effect=InsufficientCapacity(), region="bom"))
    refused = await stage.create("one", region="bom")
    body = {"error": "could not find a candidate host", "status": "insufficient_capacity"}
    assert (refused.status_code, refused.json()) == (422, body)
    assert (await stage.create("two", region="iad")).status_code == 200
    assert await stage.names() == ["two"]


async def test_a_burst_of_429_ends_and_gives_no_time(stage):
    stage.faults.add(Rule(effect=RateLimited(), times=3))
    answers = [await stage.api.get("/apps/acme-time/machines") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 429, 200]
    assert all("retry-after" not in answer.headers for answer in answers)


async def test_an_image_becomes_visible_after_some_tries(stage):
    stage.faults.add(Rule(effect=ManifestUnknown(), times=2))
    answers = [await stage.create() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 200]
    assert "MANIFEST_UNKNOWN" in answers[0].json()["error"]


# What happens to answers.


async def test_a_truncated_answer_is_no_json_any_more(stage):
    stage.faults.add(Rule(effect=TruncatedBody(keep=0.7), times=1))
    cut = await stage.create()
    assert cut.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        cut.json()
    assert await stage.names() == ["time-1"]


async def test_a_slow_body_comes_piece_by_piece(stage):
    stage.faults.add(Rule(effect=SlowBody(pause_s=5, pieces=4), times=1))
    async with stage.api.stream("GET", "/apps/acme-time") as answer:
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        async with asyncio.TaskGroup() as reading:
            first = reading.create_task(anext(pieces))
            await stage.world.advance(5)
        body = first.result()
        async with asyncio.TaskGroup() as reading:
            rest = reading.create_task(_joined(pieces))
            await stage.world.advance(15)
        assert len(body) < len(body + rest.result()) == int(answer.headers["content-length"])


async def _joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_lost_cookie_is_missing_on_both_ways(stage):
    stage.faults.add(Rule(effect=LostCookie()))
    body = {"name": "other", "org_slug": "personal"}
    made = await stage.api.post("/apps", json=body, headers={"cookie": "fly_flaps_affinity=a; other=b"})
    assert made.status_code == 201
    assert "fly_flaps_affinity" not in made.headers.get("set-cookie", "")
    assert stage.faults.fired() == 1


# What happens to machines.


@pytest.mark.parametrize("state", ["created", "replacing"])
async def test_a_stuck_machine_stays_as_it_is_until_the_rule_is_removed(stage, state):
    made = await stage.bench.make_machine(skip_launch=True) if state == "replacing" else None
    await stage.world.advance(1)
    rule_id = stage.faults.add(Rule(effect=StuckTransition(state=state)))
    if made is None:
        made = await stage.bench.make_machine()
    else:
        await stage.api.post(stage.bench.path(made), json={"config": made["config"]})
    await stage.world.advance(300)
    assert (await stage.bench.show(made))["state"] == state
    stage.faults.remove(rule_id)
    await stage.world.advance(1)
    assert (await stage.bench.show(made))["state"] == "started"


async def test_a_stuck_machine_can_still_be_destroyed(stage):
    stage.faults.add(Rule(effect=StuckTransition(state="created")))
    made = await stage.bench.make_machine()
    await stage.api.delete(stage.bench.path(made), params={"force": "true"})
    await stage.world.advance(1)
    assert (await stage.bench.show(made))["state"] == "destroyed"


async def test_only_the_first_machine_gets_stuck_when_the_rule_says_once(stage):
    stage.faults.add(Rule(effect=StuckTransition(state="created"), times=1))
    first, second = await stage.bench.make_machine(name="one"), await stage.bench.make_machine(name="two")
    await stage.world.advance(1)
    assert [(await stage.bench.show(made))["state"] for made in (first, second)] == ["created", "started"]


async def test_a_machine_on_a_lost_host_shows_little_and_hides_whose_it_is(stage):
    made = await stage.bench.make_machine(name="time-1", config={"metadata": {"catwalk_server": "time"}})
    await stage.world.advance(1)
    stage.faults.add(Rule(effect=UnreachableHost(), machine="time-1"))
    listed = (await stage.bench.api.get("/apps/acme-time/machines")).json()[0]
    for shown in (await stage.bench.show(made), listed):
        assert shown["host_status"] == "unreachable"
        assert "config" not in shown
        assert set(shown["incomplete_config"]) == {"image", "guest"}
    overview = (await stage.bench.api.get("/orgs/personal/machines")).json()["machines"][0]
    assert "config" not in overview


async def test_on_a_lost_host_lease_and_stop_hang_start_times_out_and_a_forced_destroy_works(stage):
    made = await stage.bench.make_machine()
    await stage.world.advance(1)
    stage.faults.add(Rule(effect=UnreachableHost()))
    for path in ("lease", "stop"):
        with pytest.raises(httpx.ReadTimeout):
            await stage.api.post(f"{stage.bench.path(made)}/{path}", timeout=0.2)
    assert (await stage.api.post(f"{stage.bench.path(made)}/restart")).status_code == 408
    assert (await stage.api.delete(stage.bench.path(made), params={"force": "true"})).status_code == 200


async def test_a_call_that_hangs_goes_on_when_the_host_is_back(stage):
    made = await stage.bench.make_machine()
    await stage.world.advance(1)
    rule_id = stage.faults.add(Rule(effect=UnreachableHost()))
    async with asyncio.TaskGroup() as calls:
        held = calls.create_task(stage.api.post(f"{stage.bench.path(made)}/lease", json={"ttl": 30}))
        with anyio.fail_after(10):
            while not stage.faults.fired(rule_id):  # noqa: ASYNC110 - the call comes over a socket.
                await asyncio.sleep(0)
        stage.faults.remove(rule_id)
    assert held.result().status_code == 201


async def test_a_foreign_lease_refuses_the_call_and_runs_out(stage):
    made = await stage.bench.make_machine(skip_launch=True)
    await stage.world.advance(1)
    effect = ForeignLease(owner="else@tokens.fly.io", ttl_s=30)
    stage.faults.add(Rule(effect=effect, method="POST", route=f"{MACHINE}/start", times=1))
    refused = await stage.api.post(f"{stage.bench.path(made)}/start")
    assert refused.status_code == 409
    assert "lease currently held by else@tokens.fly.io" in refused.json()["error"]
    await stage.world.advance(31)
    assert (await stage.api.post(f"{stage.bench.path(made)}/start")).status_code == 200


async def test_checks_flap_as_the_rule_says(stage):
    stage.faults.add(Rule(effect=FlappingChecks(passing=2, critical=1)))
    made = await stage.bench.make_machine()
    seen = []
    for _ in range(6):
        await stage.world.advance(1)
        seen.append((await stage.bench.show(made))["checks"][0]["status"])
    assert seen.count("critical") == 2
    assert seen.count("passing") == 4


async def test_a_clock_that_jumps_ends_a_lease(stage):
    made = await stage.bench.make_machine(skip_launch=True)
    await stage.api.post(f"{stage.bench.path(made)}/lease", json={"ttl": 600})
    stage.faults.add(Rule(effect=ClockJump(seconds=3600), method="GET", route=f"{MACHINE}/lease", times=1))
    assert (await stage.api.get(f"{stage.bench.path(made)}/lease")).status_code == 404


# The machinery.


async def test_faults_hold_across_a_restart_of_the_engine(open_bench, settings):
    faults = Faults([Rule(effect=StuckTransition(state="created"))])
    async with staged(open_bench, settings, faults=faults) as first:
        made = await first.bench.make_machine()
    world = Simulation()
    async with open_bench(settings, simulation=world, faults=faults) as second:
        await world.advance(5)
        assert (await second.show(made))["state"] == "created"
        faults.clear()
        await world.advance(5)
        assert (await second.show(made))["state"] == "started"


async def test_faults_work_with_real_processes_and_real_time(open_bench, settings):
    faults = Faults([Rule(effect=TimedOut(), method="POST", route=MACHINES, times=1)])
    async with open_bench(settings, faults=faults) as bench:
        await bench.make_app()
        failed = await bench.api.post("/apps/acme-time/machines", json={"config": {"image": "catwalk-runner"}})
        assert failed.status_code == 408
        [machine] = (await bench.api.get("/apps/acme-time/machines")).json()
        assert (await bench.wait(machine))["state"] == "started"


async def test_a_clock_that_cannot_jump_is_refused(open_bench, settings, stepped_clock):
    with pytest.raises(EnvironmentFault, match="cannot jump"):
        async with open_bench(settings, faults=Faults(), clock=stepped_clock):
            pass


async def test_without_a_rule_every_answer_is_the_usual_one(stage):
    stage.world.behave("acme-time", Behaviour())
    made = await stage.bench.make_machine()
    await stage.world.advance(1)
    assert (await stage.bench.show(made))["host_status"] == "ok"
    assert stage.faults.firings() == ()
