"""Create, update, start, stop and destroy against everything that the Machines API does to a reconciler."""

import json
from dataclasses import replace

import anyio
import pytest

from reconciler.core.actions import Cordon, Create, Destroy, Start, Stop, Uncordon, Update
from reconciler.core.setbacks import HOST_FULL
from reconciler.core.types import DesiredMachine, OutcomeKind
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.session import Patience

APP = "/v1/apps/acme-time"
MACHINES = f"{APP}/machines"
M1 = f"{MACHINES}/m1"
CONFIG = {"image": "runner:1", "init": {"cmd": ["--", "pypi:x@1"]}}
DESIRED = DesiredMachine(
    app="acme-time", server="time", name="time-1", region="iad", config=json.dumps(CONFIG), digest="d2"
)
CREATE = Create(server="time", app="acme-time", machine=DESIRED, reason="")
UPDATE = Update(
    server="time", app="acme-time", machine=DESIRED, machine_id="m1", instance_id="01A", changes=(), reason=""
)
START = Start(server="time", app="acme-time", machine_id="m1", reason="")
STOP = Stop(server="time", app="acme-time", machine_id="m1", reason="")
CORDON = Cordon(server="time", app="acme-time", machine_id="m1", machine_name="time-1", reason="")
UNCORDON = Uncordon(server="time", app="acme-time", machine_id="m1", machine_name="time-1", reason="")
DESTROY = Destroy(server="time", app="acme-time", machine_id="m1", machine_name="time-1", reason="")
MARK = {
    "catwalk_fleet": "acme",
    "catwalk_server": "time",
    "catwalk_digest": "d2",
    "catwalk_revision": "c" * 40,
}
EXISTS = (
    409,
    {
        "error": "already_exists: unique machine name violation, machine ID a1b2c3d4e5f607 already exists "
        'with name "time-1"'
    },
)
LEASE = {"status": "success", "data": {"nonce": "n0nce", "version": "01A", "owner": "me", "expires_at": 1}}
LEASED = (409, {"error": "aborted: machine ID m1 lease currently held by x@tokens.fly.io, expires at …"})
OLD = MARK | {"catwalk_digest": "d1"}


def machine(machine_id="m1", state="started", version="01A", metadata=MARK, **changes: object):
    entry = {"id": machine_id, "name": "time-1", "state": state, "instance_id": version, "region": "iad"}
    return entry | {"host_status": "ok", "config": {"image": "runner:1", "metadata": metadata}} | changes


def expired(state="started"):
    return (408, {"error": f"deadline_exceeded: machine failed to reach desired state, {state}, currently stopped"})


async def do(fleet, action, revision):
    return await fleet.apply(action, secrets={}, revision=revision)


async def test_a_machine_is_created_with_its_name_region_config_and_mark_and_awaited_at_its_version(
    server, fleet, revision
):
    server.on("POST", MACHINES, machine(state="created", version="01N"))
    server.on("GET", f"{M1}/wait", {"ok": True})
    outcome = await do(fleet, CREATE, revision)
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.APPLIED, "m1")
    sent = server.calls("POST", MACHINES)[0].json
    assert sent == {"name": "time-1", "region": "iad", "config": CONFIG | {"metadata": MARK}}
    assert server.calls("GET", f"{M1}/wait")[0].query["version"] == "01N"


@pytest.mark.parametrize("answer", ["lost", "408", "503", "cut"])
async def test_a_create_that_happened_without_an_answer_is_found_and_never_repeated(server, fleet, revision, answer):
    replies = {
        "lost": server.lost,
        "408": (408, {"error": "timeout"}),
        "503": (503, {}),
        "cut": server.reply(body=machine(), cut=True),
    }
    server.on("POST", MACHINES, replies[answer])
    server.on("GET", MACHINES, [machine("m9", name="other"), machine()])
    server.on("GET", M1, machine())
    server.on("GET", f"{M1}/wait", {"ok": True})
    outcome = await do(fleet, CREATE, revision)
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.ADOPTED, "m1")
    assert len(server.calls("POST", MACHINES)) == 1


async def test_a_lost_create_is_searched_twice_before_it_is_sent_again(server, fleet, revision):
    server.on("POST", MACHINES, server.lost, machine(version="01N"))
    server.on("GET", MACHINES, [])
    server.on("GET", f"{M1}/wait", {"ok": True})
    outcome = await do(fleet, CREATE, revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert [seen.call for seen in server.seen[:4]] == [
        f"POST {MACHINES}",
        f"GET {MACHINES}",
        f"GET {MACHINES}",
        f"POST {MACHINES}",
    ]


async def test_a_search_that_lags_is_corrected_by_the_name_which_refuses_a_second_machine(server, fleet, revision):
    server.on("POST", MACHINES, server.lost, EXISTS)
    server.on("GET", MACHINES, [])
    server.on("GET", f"{MACHINES}/a1b2c3d4e5f607", machine("a1b2c3d4e5f607"))
    server.on("GET", f"{MACHINES}/a1b2c3d4e5f607/wait", {"ok": True})
    outcome = await do(fleet, CREATE, revision)
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.ADOPTED, "a1b2c3d4e5f607")


async def test_a_lost_create_whose_search_fails_is_unknown_and_not_absent(server, fleet, revision):
    server.on("POST", MACHINES, server.lost)
    server.on("GET", MACHINES, (503, {}))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.problem is not None
    assert outcome.problem.remedy.value == "wait"
    assert len(server.calls("POST", MACHINES)) == 1


async def test_a_create_that_stays_lost_is_given_up_after_the_second(server, fleet, revision):
    server.on("POST", MACHINES, server.lost)
    server.on("GET", MACHINES, [])
    outcome = await do(fleet, CREATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "fly-outcome-unknown"
    assert len(server.calls("POST", MACHINES)) == 2


async def test_a_machine_that_exists_with_the_same_digest_is_adopted_as_it_is(server, fleet, revision):
    server.on("POST", MACHINES, EXISTS)
    server.on("GET", f"{MACHINES}/a1b2c3d4e5f607", machine("a1b2c3d4e5f607", state="suspended"))
    outcome = await do(fleet, CREATE, revision)
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.ADOPTED, "a1b2c3d4e5f607")
    assert not server.calls("POST", f"{MACHINES}/a1b2c3d4e5f607")


async def test_an_adopted_machine_with_another_digest_gets_the_config(server, fleet, revision):
    held = f"{MACHINES}/a1b2c3d4e5f607"
    server.on("POST", MACHINES, EXISTS)
    server.on("GET", held, machine("a1b2c3d4e5f607", metadata=OLD))
    server.on("POST", f"{held}/lease", (201, LEASE))
    server.on("POST", held, machine("a1b2c3d4e5f607", version="01B"))
    server.on("DELETE", f"{held}/lease", {})
    server.on("GET", f"{held}/wait", {"ok": True})
    outcome = await do(fleet, CREATE, revision)
    assert outcome.kind is OutcomeKind.ADOPTED
    (update,) = server.calls("POST", held)
    assert update.json["current_version"] == "01A"
    assert update.json["config"]["metadata"] == MARK


async def test_a_machine_that_serves_with_another_digest_is_left_to_the_next_plan(server, fleet, revision):
    passing = {"name": "servicecheck-00-http-8080", "status": "passing", "updated_at": "2026-01-01T00:00:00Z"}
    server.on("POST", MACHINES, EXISTS)
    server.on("GET", f"{MACHINES}/a1b2c3d4e5f607", machine("a1b2c3d4e5f607", metadata=OLD, checks=[passing]))
    outcome = await do(fleet, CREATE, revision)
    assert (outcome.kind, outcome.detail) == (OutcomeKind.ADOPTED, "it serves with another configuration")
    assert [seen.call for seen in server.calls("POST")] == [f"POST {MACHINES}"]


REFUSED_ADOPTIONS = [
    pytest.param({"metadata": {}}, "machine-not-ours", id="without a mark"),
    pytest.param({"metadata": MARK | {"catwalk_fleet": "acme-eu"}}, "machine-not-ours", id="of another fleet"),
    pytest.param({"metadata": MARK | {"catwalk_server": "wiki"}}, "machine-not-ours", id="of another server"),
    pytest.param({"name": "time-2"}, "machine-conflict", id="of another name"),
    pytest.param({"host_status": "unreachable", "config": None}, "machine-host-silent", id="on a silent host"),
]


@pytest.mark.parametrize(("difference", "code"), REFUSED_ADOPTIONS)
async def test_a_machine_that_is_not_certainly_ours_is_not_adopted(server, fleet, revision, difference, code):
    server.on("POST", MACHINES, EXISTS)
    server.on("GET", f"{MACHINES}/a1b2c3d4e5f607", machine("a1b2c3d4e5f607", **difference))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == code
    assert {seen.method for seen in server.seen[1:]} == {"GET"}


async def test_not_found_right_after_a_create_is_a_lagging_replica(server, fleet, revision):
    server.on("POST", MACHINES, machine(state="created", version="01N"))
    server.on("GET", f"{M1}/wait", (404, {"error": "machine not found"}), {"ok": True})
    server.on("GET", M1, (404, {"error": "machine not found"}), machine(state="starting", version="01N"))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.kind is OutcomeKind.APPLIED


async def test_not_found_for_longer_than_a_minute_is_believed(server, fleet, revision, clock):
    server.on("POST", MACHINES, machine(state="created", version="01N"))
    server.on("GET", f"{M1}/wait", (404, {"error": "machine not found"}))
    server.on("GET", M1, (404, {"error": "machine not found"}))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "fly-not-found"
    assert 1060 <= clock.now_s < 1075


async def test_an_image_that_is_not_visible_yet_is_tried_again(server, fleet, revision, clock):
    server.on("POST", MACHINES, (400, {"error": "failed: MANIFEST_UNKNOWN"}), machine(version="01N"))
    server.on("GET", f"{M1}/wait", {"ok": True})
    outcome = await do(fleet, CREATE, revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert 10.0 in clock.slept


async def test_a_full_region_is_told_with_what_to_do(server, fleet, revision):
    full = {"error": "could not find a candidate host", "status": "insufficient_capacity"}
    server.on("POST", MACHINES, (422, full))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.problem is not None
    assert (outcome.problem.code, outcome.problem.server) == ("region-full", "time")
    assert "region" in outcome.problem.hint
    assert len(server.calls("POST")) == 1


async def test_a_machine_whose_process_ends_is_noticed_before_the_time_is_over(server, fleet, revision, clock):
    events = [
        {"type": "exit", "timestamp": 2, "request": {"exit_event": {"exit_code": 70}}},
        {"type": "start", "timestamp": 1},
    ]
    server.on("POST", MACHINES, machine(state="created", version="01N"))
    server.on("GET", f"{M1}/wait", expired())
    server.on("GET", M1, machine(state="stopped", version="01N", events=events))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-failed"
    assert "exit code 70" in outcome.problem.message
    assert clock.now_s < 1010


async def test_a_machine_that_never_starts_is_given_up_in_time(server, fleet, revision, clock):
    def slow(_seen):
        clock.now_s += 10
        return expired()

    server.on("POST", MACHINES, machine(state="created", version="01N"))
    server.on("GET", f"{M1}/wait", slow)
    server.on("GET", M1, machine(state="created", version="01N"))
    outcome = await do(fleet, CREATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-not-started"
    assert clock.now_s < 1135


@pytest.fixture
def leased(server):
    """A machine that can be leased, updated and awaited."""
    server.on("POST", f"{M1}/lease", (201, LEASE))
    server.on("DELETE", f"{M1}/lease", {})
    server.on("POST", M1, machine(version="01B"))
    server.on("GET", f"{M1}/wait", {"ok": True})
    return server


async def test_an_update_holds_the_lease_for_the_one_call_and_waits_without_it(leased, fleet, revision):
    outcome = await do(fleet, UPDATE, revision)
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.APPLIED, "m1")
    assert [seen.call for seen in leased.seen] == [
        f"POST {M1}/lease",
        f"POST {M1}",
        f"DELETE {M1}/lease",
        f"GET {M1}/wait",
    ]
    lease, update, release, wait = leased.seen
    assert lease.json["ttl"] == 90
    assert update.json["current_version"] == "01A"
    assert update.headers["fly-machine-lease-nonce"] == release.headers["fly-machine-lease-nonce"] == "n0nce"
    assert wait.query["version"] == "01B"


async def test_a_flat_lease_as_in_the_document_is_read_too(leased, fleet, revision):
    leased.on("POST", f"{M1}/lease", LEASE["data"])
    await do(fleet, UPDATE, revision)
    assert leased.calls("POST", M1)[0].headers["fly-machine-lease-nonce"] == "n0nce"


CONFLICTS = [
    pytest.param(LEASED, "machine-leased", id="lease"),
    pytest.param((409, {"error": "current_version mismatch"}), "machine-changed", id="version"),
    pytest.param(
        (409, {"error": "aborted: could not reserve resource for machine: insufficient memory available"}),
        "host-full",
        id="host capacity",
    ),
    pytest.param((409, b""), "machine-conflict", id="empty body"),
    pytest.param((412, {"error": "failed_precondition: machine getting replaced"}), "machine-not-ready", id="412"),
    pytest.param((404, {"error": "machine not found"}), "fly-not-found", id="vanished"),
]


@pytest.mark.parametrize(("answer", "code"), CONFLICTS)
async def test_a_refused_update_gives_the_lease_back_and_changes_nothing_else(leased, fleet, revision, answer, code):
    leased.on("POST", M1, answer)
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == code
    assert [seen.call for seen in leased.seen] == [f"POST {M1}/lease", f"POST {M1}", f"DELETE {M1}/lease"]


async def test_a_machine_that_somebody_else_holds_is_not_touched(server, fleet, revision):
    server.on("POST", f"{M1}/lease", LEASED)
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-leased"
    assert len(server.seen) == 1


async def test_a_machine_that_changed_since_it_was_seen_is_not_updated(leased, fleet, revision):
    leased.on("POST", f"{M1}/lease", (201, {"status": "success", "data": LEASE["data"] | {"version": "01Z"}}))
    leased.on("GET", M1, machine(version="01Z"))
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-changed"
    assert not leased.calls("POST", M1)
    assert leased.calls("DELETE", f"{M1}/lease")


async def test_an_update_that_happened_without_an_answer_is_recognised(leased, fleet, revision):
    leased.on("POST", M1, leased.lost)
    leased.on("GET", M1, machine(version="01B"))
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert len(leased.calls("POST", M1)) == 1
    assert leased.calls("GET", f"{M1}/wait")[0].query["version"] == "01B"


async def test_an_update_that_did_not_happen_is_not_taken_for_done(leased, fleet, revision):
    leased.on("POST", M1, leased.lost)
    leased.on("GET", M1, machine(version="01A"))
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "fly-outcome-unknown"
    assert leased.calls("DELETE", f"{M1}/lease")


async def test_a_lease_that_cannot_be_given_back_does_not_spoil_the_update(leased, fleet, revision):
    leased.on("DELETE", f"{M1}/lease", (404, {"error": "lease not found"}))
    assert (await do(fleet, UPDATE, revision)).kind is OutcomeKind.APPLIED


async def test_a_cancelled_update_gives_the_lease_back(leased, fleet, revision):
    with anyio.CancelScope() as scope:

        def cancel(_seen):
            scope.cancel()
            return leased.mute

        leased.on("POST", M1, cancel)
        await do(fleet, UPDATE, revision)
    assert scope.cancelled_caught
    assert leased.seen[-1].call == f"DELETE {M1}/lease"


async def test_a_machine_that_rests_after_its_update_is_started_once(leased, fleet, revision):
    crashed_before = [
        {"type": "update", "timestamp": 5},
        {"type": "exit", "timestamp": 4, "request": {"exit_event": {"exit_code": 1}}},
    ]
    leased.on("GET", f"{M1}/wait", expired(), {"ok": True})
    leased.on("GET", M1, machine(state="stopped", version="01B", events=crashed_before))
    leased.on("POST", f"{M1}/start", (412, {"error": "failed_precondition: machine getting replaced"}), {})
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert len(leased.calls("POST", f"{M1}/start")) == 2


async def test_an_old_version_that_runs_does_not_satisfy_the_wait(leased, fleet, revision):
    leased.on("GET", f"{M1}/wait", expired(), {"ok": True})
    leased.on("GET", M1, machine(state="started", version="01C"))
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-changed"


async def test_a_sleeping_machine_is_started_and_awaited(server, fleet, revision):
    server.on("POST", f"{M1}/start", {"previous_state": "stopped"})
    server.on("GET", f"{M1}/wait", {"ok": True})
    assert (await do(fleet, START, revision)).kind is OutcomeKind.APPLIED


async def test_a_start_that_stays_refused_is_given_up(server, fleet, revision):
    server.on("POST", f"{M1}/start", (412, {"error": "unable to start machine from current state: 'created'"}))
    outcome = await do(fleet, START, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-not-ready"


async def test_a_stop_asks_for_the_lease_first_and_names_its_version(server, fleet, revision):
    server.on("GET", M1, machine())
    server.on("GET", f"{M1}/lease", (404, {"error": "lease not found"}))
    server.on("POST", f"{M1}/stop", {"ok": True})
    server.on("GET", f"{M1}/wait", {"ok": True})
    outcome = await do(fleet, STOP, revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert server.calls("GET", f"{M1}/wait")[0].query["version"] == "01A"


@pytest.mark.parametrize("action", [STOP, CORDON, DESTROY], ids=["stop", "cordon", "destroy"])
async def test_a_machine_of_somebody_else_is_neither_stopped_nor_taken_out_of_rotation(server, fleet, revision, action):
    server.on("GET", M1, machine(metadata={"catwalk_fleet": "other"}))
    outcome = await do(fleet, action, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-not-ours"
    assert {seen.method for seen in server.seen} == {"GET"}


async def test_a_machine_that_is_gone_need_not_be_stopped(server, fleet, revision):
    server.on("GET", M1, (404, {"error": "machine not found"}))
    assert (await do(fleet, STOP, revision)).detail == "it was gone already"


async def test_a_machine_made_beside_another_is_made_once(server, fleet, revision):
    beside = replace(DESIRED, name="time-1-0a1b2c3d")
    server.on("POST", MACHINES, (408, {"error": "deadline_exceeded"}))
    server.on("GET", MACHINES, [machine(), machine("m2", name=beside.name)])
    server.on("GET", f"{MACHINES}/m2", machine("m2", name=beside.name))
    server.on("GET", f"{MACHINES}/m2/wait", {"ok": True})
    outcome = await do(fleet, replace(CREATE, machine=beside), revision)
    assert (outcome.kind, outcome.machine_id) == (OutcomeKind.ADOPTED, "m2")
    assert len(server.calls("POST", MACHINES)) == 1


async def test_an_update_that_finds_no_room_says_so_by_its_code(server, fleet, revision):
    full = "aborted: could not reserve resource for machine: insufficient memory available on the current host"
    server.on("GET", M1, machine(metadata=OLD))
    server.on("POST", f"{M1}/lease", LEASE)
    server.on("DELETE", f"{M1}/lease", {"ok": True})
    server.on("POST", M1, (409, {"error": full}))
    outcome = await do(fleet, UPDATE, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == HOST_FULL


@pytest.mark.parametrize("action", [STOP, DESTROY], ids=["stop", "destroy"])
async def test_an_order_that_would_block_on_a_foreign_lease_is_not_given(server, fleet, revision, action):
    server.on("GET", M1, machine())
    server.on("GET", f"{M1}/lease", {"status": "success", "data": {"owner": "x@tokens.fly.io"}})
    outcome = await do(fleet, action, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == "machine-leased"
    assert {seen.method for seen in server.seen} == {"GET"}


async def test_a_machine_is_destroyed_and_its_end_awaited(server, fleet, revision):
    server.on("GET", M1, machine())
    server.on("GET", f"{M1}/lease", (404, {"error": "lease not found"}))
    server.on("DELETE", M1, {"ok": True})
    server.on("GET", f"{M1}/wait", {"ok": True})
    assert (await do(fleet, DESTROY, revision)).kind is OutcomeKind.APPLIED
    assert server.calls("GET", f"{M1}/wait")[0].query["state"] == "destroyed"


GONE = [
    pytest.param((404, {"error": "machine not found"}), id="404"),
    pytest.param(machine(state="destroyed"), id="200"),
]


@pytest.mark.parametrize("answer", GONE)
async def test_a_machine_that_is_gone_is_destroyed(server, fleet, revision, answer):
    server.on("GET", M1, answer)
    assert (await do(fleet, DESTROY, revision)).kind is OutcomeKind.APPLIED
    assert not server.calls("DELETE")


STRANGERS = [
    pytest.param(machine(metadata={}), "machine-not-ours", id="without a mark"),
    pytest.param(machine(metadata={"catwalk_fleet": "acme-eu"}), "machine-not-ours", id="of another fleet"),
    pytest.param(machine(host_status="unreachable", config=None), "machine-host-silent", id="on a silent host"),
]


@pytest.mark.parametrize(("answer", "code"), STRANGERS)
async def test_a_machine_that_is_not_certainly_ours_is_never_destroyed(server, fleet, revision, answer, code):
    server.on("GET", M1, answer)
    outcome = await do(fleet, DESTROY, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == code
    assert not server.calls("DELETE")


ROTATIONS = [pytest.param(CORDON, "cordon", id="cordon"), pytest.param(UNCORDON, "uncordon", id="uncordon")]


@pytest.mark.parametrize(("action", "verb"), ROTATIONS)
async def test_a_machine_of_ours_is_taken_out_of_rotation_and_put_back(server, fleet, revision, action, verb):
    server.on("GET", M1, machine())
    server.on("POST", f"{M1}/{verb}", {"ok": True})
    assert (await do(fleet, action, revision)).kind is OutcomeKind.APPLIED
    assert len(server.calls("POST", f"{M1}/{verb}")) == 1


@pytest.mark.parametrize(("answer", "code"), STRANGERS)
@pytest.mark.parametrize("action", [CORDON, UNCORDON], ids=["cordon", "uncordon"])
async def test_the_rotation_of_a_strangers_machine_is_left_alone(server, fleet, revision, action, answer, code):
    server.on("GET", M1, answer)
    outcome = await do(fleet, action, revision)
    assert outcome.problem is not None
    assert outcome.problem.code == code
    assert not server.calls("POST")


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        pytest.param(CORDON, OutcomeKind.APPLIED, id="cordon"),
        pytest.param(UNCORDON, OutcomeKind.FAILED, id="uncordon"),
    ],
)
async def test_a_machine_that_is_gone_is_out_of_rotation_and_cannot_come_back(server, fleet, revision, action, kind):
    server.on("GET", M1, (404, {"error": "machine not found"}))
    assert (await do(fleet, action, revision)).kind is kind


async def test_what_was_just_touched_is_asked_for_by_id_until_lists_catch_up(server, fleet, revision):
    server.on("POST", MACHINES, machine(state="created", version="01N"))
    server.on("GET", f"{M1}/wait", {"ok": True})
    server.on("GET", M1, machine(version="01N"))
    server.on("GET", "/v1/orgs/acme-org/machines", {"machines": []})
    server.on("GET", "/v1/apps", {"apps": []})
    await do(fleet, CREATE, revision)
    observation = await fleet.observe()
    assert [(found.id, found.instance_id) for found in observation.machines] == [("m1", "01N")]
    assert observation.complete


RUNNER = {"image": "registry.example/acme/catwalk-runner:0.1.0@sha256:" + "0" * 64}


def machine_of(image: str, **changes: object) -> dict[str, object]:
    made = machine(**changes)
    made["config"] = made["config"] | {"image": image}
    return made


async def test_a_machine_gets_time_to_finish_before_it_is_taken_out_of_rotation(server, api, clock, revision):
    fleet = FlyFleet(api, fleet="acme", organization="acme-org", patience=Patience(handover_s=7))
    server.on("GET", M1, machine_of(RUNNER["image"]))
    server.on("POST", f"{M1}/signal", {"ok": True})
    server.on("POST", f"{M1}/cordon", {"ok": True})
    assert (await do(fleet, CORDON, revision)).kind is OutcomeKind.APPLIED
    assert [seen.call for seen in server.seen if seen.method == "POST"] == [f"POST {M1}/signal", f"POST {M1}/cordon"]
    assert server.calls("POST", f"{M1}/signal")[0].body == b'{"signal":"SIGUSR1"}'
    assert 7 in clock.slept


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(machine_of("registry.example/acme/search:1"), id="an image that may not know the signal"),
        pytest.param(machine_of(RUNNER["image"], state="suspended"), id="asleep"),
        pytest.param(machine_of(RUNNER["image"], state="starting"), id="not up yet"),
    ],
)
async def test_a_machine_that_cannot_hand_over_goes_at_once(server, api, clock, revision, found):
    fleet = FlyFleet(api, fleet="acme", organization="acme-org", patience=Patience(handover_s=7))
    server.on("GET", M1, found)
    server.on("POST", f"{M1}/cordon", {"ok": True})
    assert (await do(fleet, CORDON, revision)).kind is OutcomeKind.APPLIED
    assert [seen.call for seen in server.seen if seen.method == "POST"] == [f"POST {M1}/cordon"]
    assert 7 not in clock.slept


async def test_a_machine_that_stops_in_the_moment_of_the_hand_over_goes_at_once(server, api, clock, revision):
    fleet = FlyFleet(api, fleet="acme", organization="acme-org", patience=Patience(handover_s=7))
    server.on("GET", M1, machine_of(RUNNER["image"]))
    server.on("POST", f"{M1}/signal", (412, {"error": "failed_precondition: unable to signal machine, not running"}))
    server.on("POST", f"{M1}/cordon", {"ok": True})
    assert (await do(fleet, CORDON, revision)).kind is OutcomeKind.APPLIED
    assert 7 not in clock.slept
