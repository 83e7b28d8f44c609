"""One pass in a world without faults, and the order in which it does things."""

from dataclasses import replace

import anyio
import pytest

from reconciler.core.actions import Create, Pass
from reconciler.core.types import MachineState, OutcomeKind, ServerState, Trigger
from reconciler.errors import Refused, Unavailable
from reconciler.loop.progress import (
    ActionFinished,
    ActionStarted,
    PassFinished,
    PassStarted,
    PlanMade,
    RevisionAccepted,
    ServerChanged,
    ServerRemoved,
)


async def test_a_pass_brings_an_empty_fleet_to_ready(world):
    wanted = world.commit("one", "time memory")
    finished = await world.run(Trigger.START)
    assert world.states(finished) == {"memory": "ready", "time": "ready"}
    assert finished.settled
    assert finished.revision == finished.applied_revision == wanted
    assert sorted(world.fleet.machines) == ["memory-1", "time-1"]
    assert world.memory.good == [wanted]


async def test_actions_of_one_server_happen_in_the_order_of_the_plan(world):
    world.commit("one", "time=secret memory=secret")
    finished = await world.run()
    for app in ("acme-time", "acme-memory"):
        planned = [action for action in finished.plan.actions if action.app == app]
        assert [action for action in world.fleet.applied if action.app == app] == planned


async def test_servers_are_changed_side_by_side_up_to_the_limit(world):
    world.commit("one", " ".join(f"s{number}" for number in range(30)))
    finished = await world.run()
    assert len(finished.statuses) == 30
    assert world.fleet.most_running == world.settings.concurrency


async def test_a_second_pass_does_nothing(world):
    world.commit("one", "time memory")
    await world.run()
    world.fleet.applied.clear()
    finished = await world.run()
    assert finished.plan.empty
    assert world.fleet.applied == []
    assert world.states(finished) == {"memory": "ready", "time": "ready"}


async def test_a_changed_server_is_the_only_one_touched(world):
    world.commit("one", "time memory")
    await world.run()
    world.fleet.applied.clear()
    world.commit("two", "time memory=changed@2")
    finished = await world.run()
    assert {action.server for action in world.fleet.applied} == {"memory"}
    assert finished.statuses[0].revision == finished.revision.commit


async def test_a_server_that_left_the_manifest_is_destroyed(world):
    world.commit("one", "time memory")
    await world.run()
    world.commit("two", "time")
    finished = await world.run()
    assert list(world.fleet.machines) == ["time-1"]
    assert world.fleet.apps == {"acme-time"}
    assert world.states(finished) == {"time": "ready"}
    assert [event.server for event in world.ear.heard(ServerRemoved)] == ["memory"]


async def test_intents_are_durable_before_the_first_action_and_outcomes_follow_each(world):
    world.commit("one", "time")
    diary = world.memory.diary
    seen: list[list[str]] = []
    world.fleet.before_apply = lambda _: seen.append([name for name, _ in diary])
    finished = await world.run()
    assert all("intents" in names for names in seen)
    assert [names.count("outcome") for names in seen] == list(range(len(finished.plan.actions)))


async def test_secrets_reach_the_fleet_and_nothing_else(world):
    world.commit("one", "time=secret")
    finished = await world.run()
    assert world.fleet.secrets == {"acme-time": [world.canary]}
    assert world.canary not in repr((finished, world.memory.diary, world.ear.events, world.reporter.reported))


async def test_a_changed_secret_updates_its_server(world):
    world.commit("one", "time=secret memory")
    await world.run()
    world.fleet.applied.clear()
    world.secrets.value = "another-value"
    await world.run()
    assert world.done() == ["SetSecrets time", "Update time"]
    assert world.fleet.secrets["acme-time"] == ["another-value"]


async def test_what_a_server_prints_about_its_secret_is_masked(world):
    world.commit("one", "time=secret")
    world.fleet.boot_s = 10_000
    world.fleet.output = f'{{"state": "failed", "cause": "crash-loop", "detail": "bad token {world.canary}"}}'
    finished = await world.run()
    assert finished.statuses[0].detail == "bad token ********"
    assert world.canary not in repr(world.ear.events)


async def test_the_health_window_watches_until_servers_have_arrived(world):
    world.commit("one", "time")
    world.fleet.boot_s = 7
    finished = await world.run()
    assert world.states(finished) == {"time": "ready"}
    assert len(world.pauses) == 7
    states = [event.status.state for event in world.ear.heard(ServerChanged)]
    assert states == [ServerState.INSTALLING, ServerState.READY]


async def test_a_change_that_is_well_before_anybody_looks_is_told_by_its_version(world):
    world.fleet.boot_s = 0
    world.commit("one", "time memory")
    await world.run()
    world.ear.events.clear()
    changed = world.commit("two", "time memory=changed@2")
    await world.run()
    (event,) = world.ear.heard(ServerChanged)
    assert (event.status.server, event.status.state) == ("memory", ServerState.READY)
    assert event.status.revision == changed.commit


async def test_the_health_window_ends_when_the_grace_of_a_server_is_over(world):
    world.commit("one", "time")
    world.fleet.boot_s = 10_000
    finished = await world.run()
    assert world.states(finished) == {"time": "failed"}
    assert 115 <= len(world.pauses) <= 140


async def test_a_newer_revision_ends_the_health_window_at_once(world):
    world.commit("one", "time")
    world.fleet.boot_s = 100
    woken = anyio.Event()
    world.on_pause = woken.set
    finished = await world.run(woken=woken)
    assert world.states(finished) == {"time": "installing"}
    assert len(world.pauses) == 1


async def test_a_newer_revision_does_not_interrupt_actions(world):
    world.commit("one", "time memory")
    woken = anyio.Event()
    world.fleet.before_apply = lambda _: woken.set()
    finished = await world.run(woken=woken)
    assert {outcome.kind for outcome in finished.outcomes} == {OutcomeKind.APPLIED}
    assert len(finished.outcomes) == len(finished.plan.actions)


async def test_a_newer_commit_is_looked_at_between_two_actions_and_the_next_pass_goes_on(world):
    world.commit("one", "time")
    pressed = anyio.Event()
    world.fleet.before_apply = lambda _: pressed.set()
    finished = await world.run(pressed=pressed, woken=pressed)
    kinds = [outcome.kind for outcome in finished.outcomes]
    assert kinds[0] is OutcomeKind.APPLIED
    assert set(kinds[1:]) == {OutcomeKind.SKIPPED}
    assert not finished.settled
    assert world.memory.good == []
    world.commit("two", "time=x@2")
    assert world.states(await world.run()) == {"time": "ready"}
    assert "time@2" in world.fleet.machines["time-1"].config


async def test_the_next_pass_goes_on_watching_what_has_not_arrived(world):
    world.commit("one", "time")
    woken = anyio.Event()
    woken.set()
    first = await world.run(woken=woken)
    second = await world.run(Trigger.HEALTH)
    assert (world.states(first), world.states(second)) == ({"time": "installing"}, {"time": "ready"})


async def test_since_stays_while_the_state_does_and_survives_a_restart(world):
    world.commit("one", "time")
    first = await world.run()
    world.clock.advance(500)
    world.restart()
    second = await world.run(Trigger.START)
    assert second.statuses[0].state is ServerState.READY
    assert second.statuses[0].since == first.statuses[0].since


async def test_a_health_pass_repairs_without_reading_the_source(world):
    world.commit("one", "time")
    await world.run()
    reads, asked = list(world.secrets.reads), list(world.catalog.asked)
    world.fleet.machines.clear()
    finished = await world.run(Trigger.HEALTH)
    assert isinstance(world.fleet.applied[-1], Create)
    assert world.states(finished) == {"time": "ready"}
    assert (world.secrets.reads, world.catalog.asked) == (reads, asked)


async def test_a_health_pass_starts_a_machine_that_should_be_awake_but_leaves_one_that_may_sleep(world):
    world.commit("one", "time")
    await world.run()
    world.fleet.change("time-1", state=MachineState.SUSPENDED)
    finished = await world.run(Trigger.HEALTH)
    assert finished.plan.empty
    assert world.states(finished) == {"time": "idle"}
    assert finished.statuses[0].tools == ("get_time",)


async def test_a_suspended_server_is_left_alone_and_its_secrets_are_not_read(world):
    world.commit("one", "time")
    await world.run()
    world.commit("two", "time=suspended")
    world.fleet.applied.clear()
    world.secrets.reads.clear()
    finished = await world.run()
    assert world.states(finished) == {"time": "suspended"}
    assert world.fleet.applied == []
    assert world.secrets.reads == []


async def test_a_package_is_asked_for_once_in_a_while(world):
    world.commit("one", "time")
    await world.run()
    await world.run()
    assert world.catalog.asked == ["time"]
    world.clock.advance(3_601)
    await world.run()
    assert world.catalog.asked == ["time", "time"]


async def test_events_tell_the_story_of_a_pass(world):
    world.commit("one", "time")
    finished = await world.run()
    kinds = [type(event) for event in world.ear.events]
    assert kinds[:3] == [PassStarted, RevisionAccepted, PlanMade]
    assert kinds.count(ActionStarted) == kinds.count(ActionFinished) == len(finished.plan.actions)
    assert kinds[-1] is PassFinished


async def test_an_agreed_plan_is_applied_and_another_one_is_not(world):
    world.commit("one", "time")
    preview = await world.reconciler.preview()
    assert world.fleet.applied == []
    world.commit("two", "time memory")
    refused = await world.run(Trigger.COMMAND, expected_digest=preview.plan.digest)
    assert [problem.code for problem in refused.problems] == ["plan-changed"]
    assert world.fleet.applied == []
    world.commit("one", "time")
    agreed = await world.run(Trigger.COMMAND, expected_digest=preview.plan.digest)
    assert agreed.settled
    assert list(world.fleet.machines) == ["time-1"]


async def test_a_preview_without_a_usable_revision_says_why(world):
    world.commit("one", "!")
    preview = await world.reconciler.preview()
    assert preview.plan is None
    assert [problem.code for problem in preview.problems] == ["unknown-key", "no-package"]


@pytest.mark.parametrize("kind", [Refused, Unavailable])
async def test_a_gate_that_refuses_ends_the_pass_before_anything_is_read(world, kind):
    class Shut:
        async def check(self) -> None:
            raise kind("not-the-leader", "another process leads this fleet")

    world.commit("one", "time")
    world.ports = replace(world.ports, gates=(Shut(),))
    world.restart()
    finished: Pass = await world.run()
    assert [problem.code for problem in finished.problems] == ["not-the-leader"]
    assert world.source.reads == []
    assert world.reporter.reported == [finished]


async def test_a_server_that_was_coming_up_when_the_process_ended_is_watched_anew(world):
    world.commit("one", "time")
    world.fleet.boot_s = 10_000
    await world.run()
    world.clock.advance(10_000)
    world.restart()
    world.fleet.change("time-1", updated_at=world.clock.now())
    world.fleet.boot_s = 5
    finished = await world.run(Trigger.START)
    assert world.states(finished) == {"time": "ready"}


async def test_a_server_that_lost_its_health_must_prove_itself_again(world):
    world.commit("one", "time")
    await world.run()
    world.fleet.boot_s = 10_000
    world.pauses.clear()
    await world.run(Trigger.HEALTH)
    world.fleet.boot_s = 0
    finished = await world.run(Trigger.HEALTH)
    assert world.states(finished) == {"time": "ready"}
    assert world.prober.probed == ["acme-time", "acme-time"]


async def test_a_pass_begins_with_a_full_look_and_glances_from_then_on(world):
    world.commit("one", "time")
    await world.run()
    assert world.fleet.looks[0] == "look"
    assert set(world.fleet.looks[1:]) == {"glance"}
    world.fleet.looks.clear()
    await world.run(Trigger.HEALTH)
    assert world.fleet.looks == ["look"]


async def test_readers_learn_of_a_pass_before_it_does_anything(world):
    committed = world.commit("one", "time")
    done_before: list[int] = []

    def look(_: object) -> None:
        done_before.append(len(world.reporter.begun))

    world.fleet.before_apply = look
    await world.run()
    await world.run(Trigger.HEALTH)
    assert set(done_before) == {1}
    (begun,) = world.reporter.begun
    assert begun.applied_revision == begun.revision == committed
    assert begun.plan is not None
    assert not begun.outcomes


async def test_a_reporter_that_breaks_at_the_beginning_stops_nothing(world):
    world.commit("one", "time")
    world.reporter.error = world.bug
    finished = await world.run()
    assert world.states(finished) == {"time": "ready"}
