import json
from datetime import UTC, datetime

import pytest

from reconciler.core.types import CheckState, MachineState
from reconciler.fly import errors
from reconciler.fly.fleet import FlyFleet

ORGANIZATION = "/v1/orgs/acme-org/machines"
MINE = {"catwalk_fleet": "acme", "catwalk_server": "time", "catwalk_digest": "d1", "catwalk_revision": "r1"}


def listed(machine_id="m1", app="acme-time", state="started", metadata=MINE, **changes: object):
    """A machine as the organization's list shows it."""
    entry = {"id": machine_id, "app_name": app, "name": "time-1", "state": state, "region": "iad", "version": "01V"}
    return entry | {"updated_at": "2026-11-24T12:00:00Z", "config": {"image": "r", "metadata": metadata}} | changes


def detailed(machine_id="m1", state="started", metadata=MINE, **changes: object):
    """The same machine asked for by its id."""
    entry = {"id": machine_id, "name": "time-1", "state": state, "region": "iad", "instance_id": "01V"}
    config = {"image": "r", "init": {"cmd": ["--", "pypi:x@1"]}, "metadata": metadata}
    return entry | {"updated_at": "2026-11-24T12:00:00.123456789Z", "config": config, "host_status": "ok"} | changes


@pytest.fixture
def world(server):
    """One started machine of ours."""
    server.on("GET", ORGANIZATION, {"machines": [listed()], "next_cursor": ""})
    server.on("GET", "/v1/apps", {"apps": [{"name": "acme-time", "network": "acme-time"}, {"name": "blog"}]})
    server.on("GET", "/v1/apps/acme-time/machines/m1", detailed())
    return server


async def test_the_fleet_is_seen_with_its_marks_its_config_and_its_apps(world, fleet):
    observation = await fleet.observe()
    (machine,) = observation.machines
    assert observation.complete
    assert [(app.name, app.network) for app in observation.apps] == [("acme-time", "acme-time")]
    assert (machine.app, machine.id, machine.state, machine.instance_id) == (
        "acme-time",
        "m1",
        MachineState.STARTED,
        "01V",
    )
    assert (machine.fleet, machine.server, machine.digest, machine.revision) == ("acme", "time", "d1", "r1")
    assert json.loads(machine.config)["init"] == {"cmd": ["--", "pypi:x@1"]}


async def test_checks_and_the_last_exit_are_read(world, fleet):
    events = [
        {"type": "start", "timestamp": 3000, "request": None},
        {"type": "exit", "timestamp": 1000, "request": {"exit_event": {"exit_code": 1}}},
        {
            "type": "exit",
            "timestamp": 2000,
            "request": {"MonitorEvent": {"exit_event": {"exit_code": 70, "oom_killed": True}}, "restart_count": 3},
        },
    ]
    checks = [
        {"name": "servicecheck-00-http-8080", "status": "critical", "output": '{"state":"installing"}' + "x" * 9000},
        {"name": "bg_deployments_compat_1", "status": "passing"},
        {"name": "other", "status": "new-word"},
    ]
    world.on("GET", "/v1/apps/acme-time/machines/m1", detailed(events=events, checks=checks))
    (machine,) = (await fleet.observe()).machines
    assert [(check.name, check.state) for check in machine.checks] == [
        ("servicecheck-00-http-8080", CheckState.CRITICAL),
        ("other", CheckState.WARNING),
    ]
    assert len(machine.checks[0].output) == 4096
    assert machine.last_exit is not None
    assert (machine.last_exit.exit_code, machine.last_exit.restart_count) == (70, 3)
    assert machine.last_exit.out_of_memory


async def test_how_an_earlier_version_ended_says_nothing_about_this_one(world, fleet):
    crashed = {"type": "exit", "timestamp": 1000, "request": {"exit_event": {"exit_code": 70}, "restart_count": 3}}
    events = [{"type": "start", "timestamp": 3000}, {"type": "update", "timestamp": 2000}, crashed]
    world.on("GET", "/v1/apps/acme-time/machines/m1", detailed(events=events))
    (machine,) = (await fleet.observe()).machines
    assert machine.last_exit is None


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param(["suspend", "start", "exit"], None, id="suspended after it had come back"),
        pytest.param(["exit", "suspend", "start"], 70, id="ended when it was to be suspended"),
        pytest.param(["start", "exit"], 70, id="came back"),
        pytest.param(["exit", "start", "suspend", "exit"], 70, id="woken, and ended again"),
    ],
)
async def test_a_crash_that_was_got_over_is_no_state_of_a_machine_that_sleeps(world, fleet, events, expected):
    exit_event = {"request": {"exit_event": {"exit_code": 70}}}
    told = [
        {"type": kind, "timestamp": 9000 - number} | (exit_event if kind == "exit" else {})
        for number, kind in enumerate(events)
    ]
    world.on("GET", "/v1/apps/acme-time/machines/m1", detailed(events=told))
    (machine,) = (await fleet.observe()).machines
    assert (machine.last_exit.exit_code if machine.last_exit else None) == expected


async def test_strangers_show_only_where_they_sit_in_an_app_of_our_name_and_without_a_mark(world, fleet):
    machines = [
        listed(),
        listed("m2", app="acme-time", metadata={}),
        listed("m3", app="acme-eu-time", metadata={"catwalk_fleet": "acme-eu", "catwalk_server": "time"}),
        listed("m4", app="blog", metadata={"catwalk_fleet": "other"}),
    ]
    world.on("GET", ORGANIZATION, {"machines": machines})
    world.on("GET", "/v1/apps/acme-time/machines/m2", detailed("m2", metadata={}))
    world.on("GET", "/v1/apps/acme-eu-time/machines/m3", detailed("m3", metadata={"catwalk_fleet": "acme-eu"}))
    observation = await fleet.observe()
    assert {machine.id: machine.fleet for machine in observation.machines} == {"m1": "acme", "m2": "", "m3": ""}
    assert {machine.server for machine in observation.machines if not machine.fleet} == {""}


async def test_every_page_is_read_also_after_an_empty_one(world, fleet):
    world.on(
        "GET",
        ORGANIZATION,
        {"machines": [], "next_cursor": "a"},
        {"machines": None, "next_cursor": "b"},
        {"machines": [listed()], "next_cursor": ""},
    )
    observation = await fleet.observe()
    assert [machine.id for machine in observation.machines] == ["m1"]
    assert [seen.query.get("cursor") for seen in world.calls("GET", ORGANIZATION)] == [None, "a", "b"]


async def test_a_cursor_that_repeats_ends_the_list(world, fleet):
    world.on("GET", ORGANIZATION, {"machines": [listed()], "next_cursor": "a"})
    observation = await fleet.observe()
    assert observation.complete
    assert len(world.calls("GET", ORGANIZATION)) == 2


async def test_a_region_that_did_not_answer_makes_the_view_incomplete(world, fleet):
    world.on("GET", ORGANIZATION, {"machines": [listed()], "error_regions": ["ams"]})
    observation = await fleet.observe()
    assert not observation.complete
    assert "ams" in observation.incomplete_reason
    assert len(observation.machines) == 1


async def test_a_later_page_that_fails_makes_the_view_incomplete_and_keeps_what_came(world, fleet):
    world.on("GET", ORGANIZATION, {"machines": [listed()], "next_cursor": "a"}, (503, {"error": "down"}))
    observation = await fleet.observe()
    assert not observation.complete
    assert [machine.id for machine in observation.machines] == ["m1"]


@pytest.mark.parametrize("failure", [(503, {"error": "down"}), (404, {"error": "machine not found"})])
async def test_details_that_fail_make_the_view_incomplete_and_claim_no_drift(world, fleet, failure):
    world.on("GET", "/v1/apps/acme-time/machines/m1", failure)
    observation = await fleet.observe()
    assert not observation.complete
    assert [(machine.digest, machine.config) for machine in observation.machines] == [("d1", "")]


async def test_a_list_of_apps_that_fails_makes_the_view_incomplete(world, fleet):
    world.on("GET", "/v1/apps", (500, {}))
    observation = await fleet.observe()
    assert not observation.complete
    assert [app.name for app in observation.apps] == ["acme-time"]


async def test_nothing_read_at_all_is_an_error_and_no_empty_fleet(world, fleet):
    world.on("GET", ORGANIZATION, (503, {}))
    with pytest.raises(errors.MachinesUnavailable):
        await fleet.observe()


async def test_a_token_that_is_refused_is_an_error_and_no_empty_fleet(world, fleet):
    world.on("GET", ORGANIZATION, (401, {"error": "Authenticate: token validation error"}))
    with pytest.raises(errors.Unauthorized):
        await fleet.observe()


async def test_a_sleeping_machine_whose_host_was_silent_is_read_until_the_host_answers(world, fleet):
    world.on("GET", ORGANIZATION, {"machines": [listed(state="stopped")]})
    silent = detailed(host_status="unreachable", state="stopped")
    world.on("GET", "/v1/apps/acme-time/machines/m1", silent, silent, detailed(state="stopped"))
    seen = [machine.host_ok for _ in range(4) for machine in (await fleet.observe()).machines]
    assert seen == [False, False, True, True]


async def test_a_sleeping_machine_is_read_again_only_when_the_list_says_that_it_changed(world, fleet):
    asleep = listed(state="stopped")
    changed = listed(state="stopped", updated_at="2026-11-24T13:00:00Z")
    world.on("GET", ORGANIZATION, *({"machines": [entry]} for entry in (asleep, asleep, changed)))
    world.on("GET", "/v1/apps/acme-time/machines/m1", detailed(state="stopped"))
    read = []
    for _ in range(3):
        (machine,) = (await fleet.observe()).machines
        read.append(len(world.calls("GET", "/v1/apps/acme-time/machines/m1")))
        assert json.loads(machine.config)["image"] == "r"
    assert read == [1, 1, 2]


async def test_a_machine_that_the_list_still_shows_and_that_is_destroyed_is_gone(world, fleet):
    world.on("GET", "/v1/apps/acme-time/machines/m1", detailed(state="destroyed"))
    observation = await fleet.observe()
    assert observation.complete
    assert observation.machines == ()


async def test_a_silent_host_hides_the_config_but_not_whose_machine_it_is(world, fleet):
    hidden = detailed(config=None, incomplete_config={"metadata": MINE}, host_status="unreachable")
    world.on("GET", "/v1/apps/acme-time/machines/m1", hidden)
    (machine,) = (await fleet.observe()).machines
    assert (machine.fleet, machine.host_ok, machine.config) == ("acme", False, "")


async def test_a_thousand_machines_are_one_list_call(server, api):
    many = [listed(f"m{number}", state="stopped") for number in range(1000)]
    server.on("GET", ORGANIZATION, {"machines": many})
    server.on("GET", "/v1/apps", {"apps": []})
    for number in range(1000):
        server.on("GET", f"/v1/apps/acme-time/machines/m{number}", detailed(f"m{number}", state="stopped"))
    fleet = FlyFleet(api, fleet="acme", organization="acme-org")
    first = await fleet.observe()
    before = len(server.seen)
    second = await fleet.observe()
    assert len(first.machines) == len(second.machines) == 1000
    assert len(server.seen) - before == 2


WELL = {"checks": [{"name": "servicecheck-00-http-8080", "status": "passing"}]}
UNWELL = {"checks": [{"name": "servicecheck-00-http-8080", "status": "critical"}]}
M1 = "/v1/apps/acme-time/machines/m1"


async def reads_of_a_glance(world, fleet, clock, *, after_s=1.0) -> int:
    """How often the machine is read by a glance that follows a full look."""
    await fleet.observe()
    before = len(world.calls("GET", M1))
    clock.now_s += after_s
    await fleet.observe(glance=True)
    return len(world.calls("GET", M1)) - before


@pytest.mark.parametrize(("after_s", "reads"), [(1.0, 0), (4.9, 0), (5.0, 1)])
async def test_a_glance_takes_a_machine_for_well_that_was_so_a_moment_ago(world, fleet, clock, after_s, reads):
    world.on("GET", M1, detailed(**WELL))
    assert await reads_of_a_glance(world, fleet, clock, after_s=after_s) == reads


async def test_a_full_look_reads_each_machine_that_is_awake(world, fleet):
    world.on("GET", M1, detailed(**WELL), detailed(**UNWELL))
    await fleet.observe()
    (machine,) = (await fleet.observe()).machines
    assert machine.checks[0].state is CheckState.CRITICAL


async def test_a_glance_reads_what_is_unwell_and_what_has_no_check_result_yet(world, fleet, clock):
    world.on("GET", M1, detailed(**UNWELL))
    assert await reads_of_a_glance(world, fleet, clock) == 1
    world.on("GET", M1, detailed())
    assert await reads_of_a_glance(world, fleet, clock) == 1


@pytest.mark.parametrize(
    "change",
    [{"version": "02V"}, {"updated_at": "2026-11-24T13:00:00Z"}, {"state": "starting"}],
    ids=str,
)
async def test_a_glance_reads_what_changed(world, fleet, clock, change):
    world.on("GET", M1, detailed(**WELL))
    pages = [{"machines": [listed()]}, {"machines": [listed(**change)]}]
    world.on("GET", ORGANIZATION, *pages)
    assert await reads_of_a_glance(world, fleet, clock) == 1


async def test_a_glance_reads_machines_that_share_an_app(world, fleet, clock):
    world.on("GET", M1, detailed(**WELL))
    world.on("GET", "/v1/apps/acme-time/machines/m2", detailed("m2", **WELL))
    world.on("GET", ORGANIZATION, {"machines": [listed(), listed("m2", name="time-2")]})
    assert await reads_of_a_glance(world, fleet, clock) == 1


async def test_the_time_of_the_platform_is_told_with_what_was_seen(world, fleet, clock):
    page = {"machines": [listed()]}
    world.on("GET", ORGANIZATION, world.reply(body=page, headers={"date": "Tue, 24 Nov 2026 12:00:05 GMT"}))
    seen = await fleet.observe()
    assert seen.platform_time == datetime(2026, 11, 24, 12, 0, 5, tzinfo=UTC)
    world.on("GET", ORGANIZATION, page)
    clock.now_s += 2.5
    assert (await fleet.observe()).platform_time == datetime(2026, 11, 24, 12, 0, 7, 500_000, tzinfo=UTC)


async def test_a_platform_that_tells_no_time_leaves_it_open(world, fleet):
    world.on("GET", "/v1/apps", world.reply(body={"apps": []}, headers={"date": "yesterday"}))
    assert (await fleet.observe()).platform_time is None
