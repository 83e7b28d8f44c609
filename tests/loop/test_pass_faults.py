"""One fault at a time, at every step of a pass: what stays, what is told, and that the next pass recovers."""

from dataclasses import replace

import anyio
import pytest

from reconciler.core.actions import DestroyApp
from reconciler.core.problems import Problem, Remedy
from reconciler.core.types import ExitEvent, MachineState, OutcomeKind, ProbeResult, Trigger
from reconciler.errors import EnvironmentFault, SourceError, Unavailable
from reconciler.loop.progress import RevisionRefused, WarningsChanged


async def test_a_broken_manifest_is_refused_with_its_places_and_the_last_good_revision_serves_on(world, codes):
    good = world.commit("one", "time memory")
    await world.run()
    world.fleet.applied.clear()
    broken = world.commit("two", "! time")
    finished = await world.run()
    assert codes(finished.problems) == ["unknown-key", "no-package"]
    assert str(finished.problems[0].location) == "catwalk.yaml:3:5"
    assert (finished.revision, finished.applied_revision) == (broken, good)
    assert world.states(finished) == {"memory": "ready", "time": "ready"}
    assert world.fleet.applied == []
    assert world.memory.good == [good]


async def test_repair_goes_on_under_a_broken_manifest_also_after_a_restart(world):
    world.commit("one", "time")
    await world.run()
    world.commit("two", "!")
    world.fleet.machines.clear()
    world.restart()
    finished = await world.run(Trigger.START)
    assert list(world.fleet.machines) == ["time-1"]
    assert world.states(finished) == {"time": "ready"}


async def test_a_refusal_is_told_once_and_a_health_pass_repeats_the_problems_without_reading(world, codes):
    world.commit("one", "time")
    await world.run()
    world.commit("two", "!")
    await world.run()
    reads = list(world.source.reads)
    finished = await world.run(Trigger.HEALTH)
    assert codes(finished.problems) == ["unknown-key", "no-package"]
    assert world.source.reads == reads
    assert len(world.ear.heard(RevisionRefused)) == 1


async def test_without_a_good_revision_a_broken_manifest_plans_nothing(world):
    world.commit("one", "!")
    world.fleet.apps.add("acme-old")
    world.memory.apps.add("acme-old")
    finished = await world.run(Trigger.START)
    assert finished.plan is None
    assert finished.applied_revision is None
    assert world.fleet.applied == []
    assert world.fleet.apps == {"acme-old"}


async def test_a_fixed_manifest_is_taken_at_once(world):
    world.commit("one", "time")
    await world.run()
    world.commit("two", "!")
    await world.run()
    fixed = world.commit("three", "time memory")
    finished = await world.run()
    assert finished.settled
    assert finished.applied_revision == fixed
    assert world.states(finished) == {"memory": "ready", "time": "ready"}


async def test_a_source_that_is_down_keeps_the_last_good_revision_and_repair(world, codes):
    good = world.commit("one", "time")
    await world.run()
    world.source.head_error = world.error(Unavailable, "source-unreachable")
    world.source.files_error = world.error(Unavailable, "source-unreachable")
    world.fleet.machines.clear()
    finished = await world.run()
    assert codes(finished.problems) == ["source-unreachable"]
    assert (finished.revision, finished.applied_revision) == (None, good)
    assert world.states(finished) == {"time": "ready"}


async def test_a_source_that_is_down_after_a_restart_destroys_nothing(world, codes):
    world.commit("one", "time")
    await world.run()
    world.fleet.applied.clear()
    world.restart()
    world.source.head_error = world.error(Unavailable, "source-unreachable")
    world.source.files_error = world.error(Unavailable, "files-unreachable")
    finished = await world.run(Trigger.START)
    assert codes(finished.problems) == ["source-unreachable", "files-unreachable"]
    assert finished.plan is None
    assert world.fleet.applied == []
    assert world.states(finished) == {"time": "ready"}


async def test_a_health_pass_reads_again_what_failed_for_a_reason_that_may_pass(world):
    world.commit("one", "time")
    world.source.head_error = world.error(Unavailable)
    await world.run(Trigger.START)
    world.source.head_error = None
    finished = await world.run(Trigger.HEALTH)
    assert finished.settled
    assert world.states(finished) == {"time": "ready"}


@pytest.mark.parametrize(
    "error", [SourceError("tampered", "the value was changed"), EnvironmentFault("no-key", "no key fits")]
)
async def test_a_secret_that_cannot_be_read_blocks_its_server_alone(world, codes, error):
    world.commit("one", "time=secret memory")
    await world.run()
    before = world.fleet.machines["time-1"]
    world.commit("two", "time=secret@2 memory=x@2")
    world.secrets.errors["time"] = error
    finished = await world.run()
    assert codes(finished.problems) == [error.problem.code]
    assert [problem.server for problem in finished.problems] == ["time"]
    assert world.states(finished) == {"memory": "ready", "time": "held"}
    assert world.fleet.machines["time-1"] == before


async def test_a_blocked_server_that_never_ran_fails_and_the_others_start(world):
    world.commit("one", "time=secret memory")
    world.secrets.errors["time"] = world.error(SourceError, "tampered", "the value was changed")
    finished = await world.run(Trigger.START)
    assert world.states(finished) == {"memory": "ready", "time": "failed"}
    assert finished.statuses[1].detail == "the value was changed"


async def test_a_secret_reader_that_breaks_blocks_its_server_and_hides_its_message(world, codes):
    world.commit("one", "time=secret memory")
    world.secrets.errors["time"] = RuntimeError(f"cannot handle {world.canary}")
    finished = await world.run(Trigger.START)
    assert codes(finished.problems) == ["internal"]
    assert world.states(finished) == {"memory": "ready", "time": "failed"}
    assert world.canary not in repr(finished)


async def test_a_package_that_does_not_exist_blocks_its_server_and_names_the_line(world, codes):
    world.commit("one", "time memory")
    world.catalog.errors["time"] = world.error(SourceError, "package-not-found", "no such package")
    finished = await world.run(Trigger.START)
    assert codes(finished.problems) == ["package-not-found"]
    assert str(finished.problems[0].location) == "catwalk.yaml:7:1"
    assert world.states(finished) == {"memory": "ready", "time": "failed"}
    assert list(world.fleet.machines) == ["memory-1"]


async def test_a_package_that_is_published_later_is_found(world):
    world.commit("one", "time")
    world.catalog.errors["time"] = world.error(SourceError, "package-not-found")
    await world.run(Trigger.START)
    world.catalog.errors.clear()
    world.clock.advance(61)
    finished = await world.run(Trigger.POLL)
    assert world.states(finished) == {"time": "ready"}


async def test_a_registry_that_is_down_warns_and_blocks_nothing(world, codes):
    world.commit("one", "time memory")
    world.catalog.errors["time"] = world.error(Unavailable, "registry-unavailable")
    finished = await world.run(Trigger.START)
    assert finished.settled
    assert world.states(finished) == {"memory": "ready", "time": "ready"}
    (event,) = world.ear.heard(WarningsChanged)
    assert codes(event.added) == ["registry-unavailable"]
    world.catalog.errors.clear()
    world.clock.advance(31)
    await world.run(Trigger.HEALTH)
    assert world.ear.heard(WarningsChanged)[-1].warnings == ()


async def test_an_incomplete_observation_destroys_nothing(world):
    world.commit("one", "time memory")
    await world.run()
    world.commit("two", "time")
    world.fleet.incomplete = "the second page did not come"
    finished = await world.run()
    assert sorted(world.fleet.machines) == ["memory-1", "time-1"]
    assert len(finished.plan.held) == 1
    world.fleet.incomplete = ""
    await world.run(Trigger.HEALTH)
    assert list(world.fleet.machines) == ["time-1"]


async def test_a_machine_that_an_incomplete_observation_leaves_out_keeps_its_verdict(world):
    world.commit("one", "time")
    await world.run()
    world.fleet.machines.clear()
    world.fleet.incomplete = "a host did not answer"
    world.fleet.failing["Create"] = Problem(code="busy", message="busy", remedy=Remedy.WAIT)
    finished = await world.run(Trigger.HEALTH)
    assert world.states(finished) == {"time": "ready"}


async def test_a_fleet_that_cannot_be_observed_is_left_alone(world, codes):
    world.commit("one", "time")
    await world.run()
    world.fleet.applied.clear()
    world.commit("two", "")
    world.fleet.observe_error = world.error(Unavailable, "api-unreachable")
    finished = await world.run()
    assert codes(finished.problems) == ["api-unreachable"]
    assert finished.plan is None
    assert world.fleet.applied == []
    assert world.states(finished) == {"time": "ready"}


async def test_one_look_that_fails_in_the_health_window_is_no_news(world):
    world.commit("one", "time")
    world.fleet.boot_s = 5

    def fail_for_a_while() -> None:
        world.fleet.observe_error = world.error(Unavailable) if len(world.pauses) in {2, 3} else None

    world.on_pause = fail_for_a_while
    finished = await world.run()
    assert finished.settled
    assert world.states(finished) == {"time": "ready"}


async def test_a_failed_action_skips_the_rest_of_its_server_and_of_no_other(world):
    world.commit("one", "time=secret memory=secret")
    world.fleet.failing["SetSecrets time"] = Problem(
        code="refused", message=f"no: {world.canary}", remedy=Remedy.FIX_ENVIRONMENT
    )
    finished = await world.run()
    kinds = {f"{type(found.action).__name__} {found.action.server}": found.kind for found in finished.outcomes}
    assert kinds["SetSecrets time"] is OutcomeKind.FAILED
    assert kinds["Create time"] is OutcomeKind.SKIPPED
    assert kinds["Create memory"] is OutcomeKind.APPLIED
    assert world.states(finished) == {"memory": "ready", "time": "failed"}
    assert not finished.settled
    assert world.canary not in repr((finished, world.memory.diary, world.ear.events))


async def test_a_revision_whose_plan_failed_is_not_kept_as_good_until_it_is_done(world):
    world.commit("one", "time")
    world.fleet.failing["Create time"] = Problem(code="full", message="the region is full", remedy=Remedy.WAIT)
    await world.run()
    assert world.memory.good == []
    world.fleet.failing.clear()
    await world.run(Trigger.HEALTH)
    assert [kept.subject for kept in world.memory.good] == ["one"]


async def test_an_action_that_breaks_is_a_failed_outcome_and_hides_its_message(world, codes):
    world.commit("one", "time=secret memory")
    world.fleet.failing["SetSecrets time"] = RuntimeError(f"cannot send {world.canary}")
    finished = await world.run()
    failed = [outcome for outcome in finished.outcomes if outcome.kind is OutcomeKind.FAILED]
    assert codes([outcome.problem for outcome in failed]) == ["internal"]
    assert world.states(finished)["memory"] == "ready"
    assert world.canary not in repr(finished)


async def test_an_apply_that_is_cut_off_is_finished_by_the_next_process(world):
    world.commit("one", "time memory")
    with anyio.CancelScope() as scope:
        world.fleet.before_apply = lambda _: scope.cancel()
        await world.run()
    assert scope.cancelled_caught
    assert len(world.fleet.applied) < 6
    assert "pass" not in [name for name, _ in world.memory.diary]
    assert world.reporter.reported == []
    world.fleet.before_apply = lambda _: None
    world.restart()
    finished = await world.run(Trigger.START)
    assert world.states(finished) == {"memory": "ready", "time": "ready"}


async def test_nothing_is_applied_when_the_intents_cannot_be_recorded(world, codes):
    world.commit("one", "time")
    world.memory.failing["intents"] = world.error(EnvironmentFault, "database-failed")
    finished = await world.run()
    assert codes(finished.problems) == ["database-failed"]
    assert world.fleet.applied == []
    assert world.reporter.reported == [finished]


async def test_an_outcome_that_cannot_be_recorded_does_not_undo_what_was_done(world, codes):
    world.commit("one", "time")
    world.memory.failing["outcome"] = world.error(Unavailable, "database-busy")
    finished = await world.run()
    assert set(codes(finished.problems)) == {"database-busy"}
    assert world.states(finished) == {"time": "ready"}


async def test_a_memory_that_is_gone_stops_the_pass_but_not_the_report(world, codes):
    world.commit("one", "time")
    world.memory.failing["number"] = world.error(EnvironmentFault, "database-corrupt")
    finished = await world.run()
    assert codes(finished.problems) == ["database-corrupt"]
    assert world.fleet.applied == []
    assert world.reporter.reported == [finished]


async def test_a_crash_in_the_report_is_a_problem_of_a_pass_that_is_recorded(world, codes):
    world.commit("one", "time")
    world.reporter.error = RuntimeError("the outbox is broken")
    finished = await world.run()
    assert codes(finished.problems) == ["internal"]
    assert world.states(finished) == {"time": "ready"}
    assert world.memory.diary[-1][0] == "pass"


async def test_a_pass_that_cannot_be_recorded_is_still_reported(world, codes):
    world.commit("one", "time")
    world.memory.failing["pass"] = world.error(EnvironmentFault, "database-failed")
    finished = await world.run()
    assert codes(finished.problems) == ["database-failed"]
    assert world.reporter.reported == [finished]


async def test_a_crash_in_the_middle_is_reported_with_what_was_known(world, codes):
    world.commit("one", "time")
    await world.run()
    world.fleet.observe_error = ZeroDivisionError("a bug")
    finished = await world.run()
    assert codes(finished.problems) == ["internal"]
    assert "ZeroDivisionError" in finished.problems[0].message
    assert "a bug" not in finished.problems[0].message
    assert world.states(finished) == {"time": "ready"}
    assert world.reporter.reported[-1] == finished


async def test_an_app_that_an_earlier_process_created_goes_when_its_server_does(world):
    world.commit("one", "time")
    world.memory.apps.add("acme-half")
    world.fleet.apps.add("acme-half")
    finished = await world.run(Trigger.START)
    assert any(isinstance(action, DestroyApp) for action in finished.plan.actions)
    assert world.fleet.apps == {"acme-time"}


async def test_a_probe_without_an_answer_is_tried_again_by_the_next_pass(world):
    world.commit("one", "time")
    world.prober.results["acme-time"] = ProbeResult(answered=False, problem="connection refused")
    first = await world.run()
    world.prober.results.clear()
    second = await world.run(Trigger.HEALTH)
    assert (world.states(first), world.states(second)) == ({"time": "degraded"}, {"time": "ready"})


async def test_a_prober_that_breaks_degrades_its_server_only(world):
    world.commit("one", "time")
    world.prober.error = RuntimeError("a bug")
    finished = await world.run()
    assert world.states(finished) == {"time": "degraded"}
    assert "a bug" not in finished.statuses[0].detail


async def test_a_server_that_may_sleep_is_not_probed_while_nothing_changes(world):
    world.commit("one", "time")
    await world.run()
    for _ in range(5):
        world.clock.advance(600)
        await world.run(Trigger.HEALTH)
    assert world.prober.probed == ["acme-time"]


async def test_a_restarted_machine_must_prove_itself_again(world):
    world.commit("one", "time")
    await world.run()
    crash = ExitEvent(exit_code=1, requested=False, restart_count=1, occurred_at=world.clock.now())
    world.fleet.change("time-1", last_exit=crash)
    finished = await world.run(Trigger.HEALTH)
    assert world.prober.probed == ["acme-time", "acme-time"]
    assert world.states(finished) == {"time": "ready"}


async def test_a_crashed_machine_is_seen_by_the_next_health_pass_with_its_cause(world):
    world.commit("one", "time")
    await world.run()
    crash = ExitEvent(exit_code=75, requested=False, occurred_at=world.clock.now())
    world.fleet.change("time-1", state=MachineState.STOPPED, last_exit=crash)
    finished = await world.run(Trigger.HEALTH)
    assert world.states(finished) == {"time": "failed"}
    assert finished.statuses[0].cause == "missing-variable"


async def test_foreign_machines_are_neither_touched_nor_judged(world):
    world.commit("one", "time")
    await world.run()
    stranger = replace(world.fleet.machines["time-1"], app="acme-other", name="other-1", id="f", fleet="", server="")
    world.fleet.machines["other-1"] = stranger
    world.fleet.apps.add("acme-other")
    finished = await world.run(Trigger.POLL)
    assert finished.plan.empty
    assert world.states(finished) == {"time": "ready"}
