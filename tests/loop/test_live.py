"""The live state: what readers see, and that none of them can hold up the loop."""

from dataclasses import replace

import anyio

from reconciler.core.types import ServerState, ServerStatus, Trigger
from reconciler.loop.live import LiveState
from reconciler.loop.progress import Chorus, PassFinished, PassStarted, ServerChanged


def changed(name: str) -> ServerChanged:
    return ServerChanged(status=ServerStatus(server=name, state=ServerState.READY), previous=None)


def listening(world) -> LiveState:
    live = LiveState()
    world.listen(live)
    return live


async def test_it_is_ready_after_the_first_pass(world):
    live = listening(world)
    assert not live.view().ready
    world.commit("one", "time memory")
    finished = await world.run(Trigger.START)
    view = live.view()
    assert view.ready
    assert (view.latest, view.running, view.revision) == (finished, None, finished.revision)
    assert [status.server for status in view.statuses] == ["memory", "time"]


async def test_statuses_are_seen_while_the_pass_still_runs(world):
    live = listening(world)
    seen: list[list[ServerState]] = []
    world.on_pause = lambda: seen.append([status.state for status in live.view().statuses])
    world.commit("one", "time")
    await world.run(Trigger.START)
    assert seen[0] == [ServerState.INSTALLING]
    assert live.view().statuses[0].state is ServerState.READY


async def test_it_tells_why_the_newest_revision_is_not_in_force_until_it_is(world, codes):
    live = listening(world)
    good = world.commit("one", "time")
    await world.run(Trigger.START)
    world.commit("two", "!")
    await world.run()
    assert live.view().revision == good
    assert codes(live.view().refusal) == ["unknown-key", "no-package"]
    world.commit("three", "time")
    await world.run()
    assert live.view().refusal == ()


async def test_a_server_that_left_is_not_shown(world):
    live = listening(world)
    world.commit("one", "time memory")
    await world.run(Trigger.START)
    world.commit("two", "time")
    await world.run()
    assert [status.server for status in live.view().statuses] == ["time"]


async def test_what_the_store_kept_is_shown_but_does_not_count_as_ready(world):
    world.commit("one", "time")
    finished = await world.run(Trigger.START)
    live = LiveState()
    live.remember(finished, finished.statuses)
    assert live.view().statuses == finished.statuses
    assert live.view().revision == finished.revision
    assert not live.view().ready


async def test_a_subscriber_gets_the_events_from_then_on_in_order(world):
    live = LiveState()
    live.on_event(changed("before"))
    with live.subscribe() as events:
        for name in ("a", "b"):
            live.on_event(changed(name))
        with anyio.fail_after(5):
            heard = [await anext(events) for _ in range(2)]
    assert [event.status.server for event in heard] == ["a", "b"]


async def test_a_subscriber_that_waits_is_woken_by_an_event():
    live = LiveState()
    heard = []

    async def listen() -> None:
        with live.subscribe() as events:
            heard.append(await anext(events))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            live.on_event(changed("a"))
    assert heard == [changed("a")]


async def test_a_slow_subscriber_loses_the_oldest_events_and_knows_how_many():
    live = LiveState()
    with live.subscribe(capacity=3) as slow, live.subscribe() as other:
        for number in range(10):
            live.on_event(changed(str(number)))
        assert [(await anext(slow)).status.server for _ in range(3)] == ["7", "8", "9"]
        assert (slow.lost, other.lost) == (7, 0)


async def test_a_subscription_that_ended_hears_nothing_more():
    live = LiveState()
    with live.subscribe(capacity=1) as events:
        pass
    live.on_event(changed("a"))
    live.on_event(changed("b"))
    assert events.lost == 0


async def test_a_listener_that_fails_does_not_disturb_the_pass_or_the_others(world):
    class Broken:
        def on_event(self, event) -> None:
            raise BrokenPipeError(event)

    world.listen(Chorus(Broken(), world.ear))
    world.commit("one", "time")
    finished = await world.run(Trigger.START)
    assert finished.settled
    assert world.ear.heard(PassStarted)
    assert world.ear.heard(PassFinished)


async def test_what_another_process_did_is_known_and_is_no_first_pass(world):
    live = LiveState()
    world.listen(live)
    world.commit("one", "time")
    older = replace(await world.run(), number=7)
    fresh = LiveState()
    fresh.remember(older, older.statuses)
    assert (fresh.view().newest, fresh.view().ready) == (older, False)
    fresh.on_event(PassFinished(finished=replace(older, number=8)))
    assert fresh.view().newest.number == 8
    fresh.remember(replace(older, number=9), older.statuses)
    assert fresh.view().newest.number == 9
