"""Who leads, on databases of both kinds: the lease, its token, the wish for it, and what is refused without it."""

from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest
from sqlalchemy import update

from reconciler.core.actions import CreateApp, Outcome, Pass, Plan
from reconciler.core.holds import Hold
from reconciler.core.problems import Remedy
from reconciler.core.types import OutcomeKind, Revision, Trigger
from reconciler.errors import Conflict, Unavailable
from reconciler.loop import leadership
from reconciler.loop.leadership import LEASE_S, SAFETY_S, TRY_EVERY_S, Leadership, LedReporter, holder_name
from reconciler.loop.live import LiveState
from reconciler.loop.ports import Memory
from reconciler.loop.process_mark import mark
from reconciler.loop.schedule import ScheduleSettings
from reconciler.loop.store import open_store
from reconciler.loop.store.tables import leaders
from reconciler.loop.worker import Worker

GOOD = Revision(commit="c" * 40, branch="main", source="/repository")
CREATE = CreateApp(server="time", app="acme-time", network="acme-time", reason="new")


@pytest.fixture
async def store(tmp_path, world, database_url):
    opened = await open_store(tmp_path, world.clock, url=database_url)
    yield opened
    opened.close()


@pytest.fixture
def leases(store):
    return store.leases


async def run_out(store) -> None:
    """The lease and the wish end now, without anybody's waiting."""
    await store._database.write(lambda connection: connection.execute(update(leaders).values(expires_at=1.0)))


async def test_the_first_who_comes_leads_and_the_second_is_told_who_does(leases):
    first = await leases.acquire("blue", lease_s=60)
    assert (first.holder, first.token) == ("blue", 1)
    second = await leases.acquire("green", lease_s=60)
    assert (second.holder, second.token, second.since) == ("blue", 1, first.since)
    assert 0 < second.remaining_s <= 60


async def test_of_many_who_come_at_once_one_leads(tmp_path, world, database_url):
    stores = [await open_store(tmp_path, world.clock, url=database_url) for _ in range(4)]
    found = []

    async def come(number: int) -> None:
        found.append(await stores[number].leases.acquire(f"process {number}", lease_s=60))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(come, number)
    assert len({(state.holder, state.token) for state in found}) == 1
    for store in stores:
        store.close()


async def test_a_lease_that_was_given_back_is_free_at_once_and_its_token_is_not_used_again(leases):
    await leases.acquire("blue", lease_s=60)
    await leases.release("blue", 1)
    assert (await leases.state()).holder == ""
    assert (await leases.acquire("green", lease_s=60)).token == 2


async def test_a_lease_that_ran_out_can_be_renewed_until_another_takes_it(store, leases):
    await leases.acquire("blue", lease_s=60)
    await run_out(store)
    assert (await leases.state()).holder == ""
    assert (await leases.renew("blue", 1, lease_s=60)).holder == "blue"
    await run_out(store)
    await leases.acquire("green", lease_s=60)
    assert (await leases.renew("blue", 1, lease_s=60)).holder == "green"


async def test_nobody_gives_back_the_lease_of_another(store, leases):
    await leases.acquire("blue", lease_s=60)
    await run_out(store)
    await leases.acquire("green", lease_s=60)
    await leases.release("blue", 1)
    assert (await leases.state()).holder == "green"


async def test_who_asks_comes_next(leases):
    await leases.acquire("blue", lease_s=60)
    assert (await leases.ask("apply", wish_s=60)).wanted_by == "apply"
    assert (await leases.ask("other", wish_s=60)).wanted_by == "apply"
    await leases.release("blue", 1)
    for other in ("blue", "green"):
        assert (await leases.acquire(other, lease_s=60)).holder == ""
    taken = await leases.acquire("apply", lease_s=60)
    assert (taken.holder, taken.wanted_by) == ("apply", "")


async def test_a_wish_that_ran_out_keeps_nobody_waiting(leases):
    await leases.ask("apply", wish_s=-1)
    assert (await leases.acquire("blue", lease_s=60)).holder == "blue"


def writes(memory: Memory, world):
    now = world.clock.now()
    plan = Plan(fleet="acme", revision=GOOD, actions=(CREATE,))
    hold = Hold(server="time", commit=GOOD.commit, digest="d", cause=None, detail="", held_at=now)
    return {
        "next_number": memory.next_number,
        "record_intents": lambda: memory.record_intents(1, plan),
        "record_outcome": lambda: memory.record_outcome(1, Outcome(action=CREATE, kind=OutcomeKind.APPLIED)),
        "record_pass": lambda: memory.record_pass(
            Pass(number=1, trigger=Trigger.START, started_at=now, finished_at=now, plan=plan)
        ),
        "keep_last_good": lambda: memory.keep_last_good(GOOD),
        "keep_good_servers": lambda: memory.keep_good_servers([]),
        "hold": lambda: memory.hold(hold),
        "release_holds": lambda: memory.release_holds(["time"]),
        "keep_agreed_apps": lambda: memory.keep_agreed_apps(["acme-time"]),
        "use_prune": lambda: memory.use_prune("digest"),
    }


async def test_every_write_of_a_former_leader_is_refused_and_leaves_no_trace(store, leases, world):
    lead = Leadership(leases, holder=holder_name("up"))
    memory = store.fenced(lead)
    async with anyio.create_task_group() as group:
        group.start_soon(lead.run)
        await lead.led()
        for write in writes(memory, world).values():
            await write()
        before = (await store.latest_pass(), await store.holds(), await store.open_intents())
        await run_out(store)
        await leases.acquire("green on web-2, process 7 #ab", lease_s=60)
        for name, write in writes(memory, world).items():
            with pytest.raises(Conflict, match="green on web-2, process 7 leads this fleet since") as caught:
                await write()
            assert (caught.value.problem.code, caught.value.problem.remedy) == ("not-leading", Remedy.WAIT), name
        assert (await store.latest_pass(), await store.holds(), await store.open_intents()) == before
        assert await memory.last_good() == GOOD
        await memory.confirm_prune("people may agree wherever they are")
        group.cancel_scope.cancel()


async def test_nothing_is_written_before_anybody_leads(store, leases):
    with pytest.raises(Conflict, match="no process leads"):
        await store.fenced(Leadership(leases, holder="up")).next_number()


class Seconds:
    """A clock that never jumps and that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def leading(leases, **options: object):
    lead = Leadership(leases, **{"holder": holder_name("up"), **options})
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(lead.run)
            await lead.led()
            yield lead
            group.cancel_scope.cancel()


async def test_no_action_begins_in_the_last_second_of_a_lease_that_was_not_renewed(leases):
    seconds = Seconds()
    async with leading(leases, elapsed=seconds) as lead:
        await lead.check()
        seconds.now += LEASE_S - SAFETY_S - 0.01
        assert lead.may_act()
        seconds.now += 0.02
        assert not lead.may_act()
        with pytest.raises(Conflict, match="no process leads"):
            await lead.check()


async def test_a_lease_is_good_from_when_its_renewal_was_asked_for_not_from_its_answer(leases):
    seconds = Seconds()

    class Slow:
        async def acquire(self, holder: str, *, lease_s: float):
            state = await leases.acquire(holder, lease_s=lease_s)
            seconds.now += LEASE_S - SAFETY_S
            return state

        async def renew(self, holder: str, token: int, *, lease_s: float):
            return await leases.renew(holder, token, lease_s=lease_s)

        async def release(self, holder: str, token: int) -> None:
            await leases.release(holder, token)

    lead = Leadership(Slow(), holder="up", elapsed=seconds)  # type: ignore[arg-type]  # All that is called.
    await lead._step()
    assert lead.token == 1
    assert not lead.may_act()


def test_a_killed_leader_is_followed_within_five_seconds():
    assert LEASE_S + TRY_EVERY_S < 5


async def test_who_waits_looks_again_exactly_when_the_lease_ends(leases):
    await leases.acquire("green", lease_s=0.2)
    lead = Leadership(leases, holder="up")
    await lead._step()
    assert lead._wait_s() <= 0.2


async def test_a_leader_of_this_machine_that_is_gone_is_followed_at_once(leases):
    boot, namespace, _, start, random = mark().split(".")
    gone = f"catwalk up on here, process 7 #{boot}.{namespace}.{2**22 + 1}.{start}.{random}"
    await leases.acquire(gone, lease_s=60)
    lead = Leadership(leases, holder=holder_name("up"))
    await lead._step()
    assert (lead.may_act(), lead.token) == (True, 2)


async def test_the_lead_is_given_back_in_the_end(leases):
    async with leading(leases) as lead:
        assert (await leases.state()).holder == lead.holder
    assert (await leases.state()).holder == ""
    assert not lead.may_act()


async def test_a_database_that_does_not_answer_for_a_moment_costs_no_lead(leases, monkeypatch):
    monkeypatch.setattr(leadership, "RENEW_EVERY_S", 0.01)
    async with leading(leases) as lead:
        renew, failed = leases.renew, anyio.Event()

        async def fail(*_: object, **__: object) -> None:
            failed.set()
            raise Unavailable("database-busy", "no answer")

        monkeypatch.setattr(leases, "renew", fail)
        await failed.wait()
        assert lead.may_act()
        monkeypatch.setattr(leases, "renew", renew)
        await lead._stepped.wait()
        assert lead.may_act()


async def test_a_fault_of_ours_lets_the_lease_run_out_and_not_the_process(leases, monkeypatch):
    monkeypatch.setattr(leadership, "RENEW_EVERY_S", 0.01)
    seconds = Seconds()
    async with leading(leases, elapsed=seconds) as lead:
        crashed = anyio.Event()

        async def crash(*_: object, **__: object) -> None:
            crashed.set()
            raise ZeroDivisionError

        monkeypatch.setattr(leases, "renew", crash)
        await crashed.wait()
        seconds.now += LEASE_S
        assert not lead.may_act()
        monkeypatch.undo()
        await lead.led()


async def test_a_pass_that_lost_the_lead_does_not_go_on_with_a_new_one(store, leases):
    lead = Leadership(leases, holder="up")
    await lead._step()
    with lead.turn(lambda: None) as leads:
        assert leads
        await run_out(store)
        state = await leases.acquire("green", lease_s=60)
        await leases.release("green", state.token)
        for _ in range(2):
            await lead._step()
            assert not lead.may_act()
    await lead._step()
    assert (lead.may_act(), lead.token) == (True, 3)


async def test_a_leader_that_is_asked_steps_aside_after_its_pass(leases):
    asked: list[bool] = []
    lead = Leadership(leases, holder="up")
    await lead._step()
    with lead.turn(lambda: asked.append(True)):
        await leases.ask("apply", wish_s=60)
        for _ in range(2):
            await lead._step()
        assert (asked, lead.may_act()) == ([True], True)
    with lead.turn(lambda: None) as leads:
        assert not leads
    await lead._step()
    assert lead.token == 0
    assert (await leases.acquire("apply", lease_s=60)).holder == "apply"
    await leases.release("apply", 2)
    await lead._step()
    assert lead.may_act()


async def test_a_command_has_the_lead_while_it_runs_and_its_errors_come_through(leases):
    command = Leadership(leases, holder="apply", asks=True)

    async def work() -> None:
        async with command.held(patience_s=10):
            await command.check()
            assert (await leases.state()).holder == "apply"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert (await leases.state()).holder == ""


async def test_a_command_gives_up_when_the_leader_does_not_step_aside(leases):
    await leases.acquire("catwalk up on web-1, process 7 #ab", lease_s=60)
    command = Leadership(leases, holder="apply", asks=True)
    with pytest.raises(Conflict, match="catwalk up on web-1, process 7 leads this fleet since"):
        async with command.held(patience_s=0.1):
            pytest.fail("it leads")
    assert (await leases.state()).wanted_by == "apply"


async def test_a_former_leader_reports_nothing(leases, world):
    lead = Leadership(leases, holder="up")
    reporter = LedReporter(world.reporter, lead)
    now = world.clock.now()
    finished = Pass(number=1, trigger=Trigger.START, started_at=now, finished_at=now)
    await reporter.report(finished)
    assert world.reporter.reported == []
    await lead._step()
    await reporter.report(finished)
    assert world.reporter.reported == [finished]


def worker_of(world, lead: Leadership) -> Worker:
    quiet = ScheduleSettings(poll_s=10_000.0, health_s=10_000.0, resync_s=10_000.0)
    return Worker(world.reconciler, world.ports, LiveState(), quiet, lead=lead)


async def test_a_worker_waits_until_it_leads_and_gives_the_lead_back(store, leases, world):
    await leases.acquire("green", lease_s=60)
    lead = Leadership(leases, holder="up")
    world.ports = replace(world.ports, memory=store.fenced(lead), gates=(lead,))
    world.restart()
    world.commit("one", "time")
    worker = worker_of(world, lead)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await lead._stepped.wait()
            await anyio.wait_all_tasks_blocked()
            assert world.reporter.reported == []
            await leases.release("green", 1)
            while not world.reporter.reported:
                await lead._stepped.wait()
            worker.stop()
    (finished,) = world.reporter.reported
    assert finished.settled
    assert (await leases.state()).holder == ""


async def test_a_worker_that_waits_for_the_lead_can_be_stopped(leases, world):
    await leases.acquire("green", lease_s=60)
    worker = worker_of(world, Leadership(leases, holder="up"))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await anyio.wait_all_tasks_blocked()
            worker.stop()
    assert world.reporter.reported == []


async def test_a_worker_that_loses_the_lead_in_a_pass_begins_no_other_action(store, leases, world):
    seconds = Seconds()
    lead = Leadership(leases, holder="up", elapsed=seconds)
    world.ports = replace(world.ports, memory=store.fenced(lead), gates=(lead,))
    world.restart()
    world.commit("one", "time memory")

    def sleep_long(_action) -> None:
        seconds.now += LEASE_S

    world.fleet.before_apply = sleep_long
    worker = worker_of(world, lead)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            while not world.reporter.reported:
                await lead._stepped.wait()
            worker.stop()
    outcomes = world.reporter.reported[0].outcomes
    skipped = [outcome.detail for outcome in outcomes if outcome.kind is OutcomeKind.SKIPPED]
    assert len(world.fleet.applied) <= 2
    assert "this process does not lead the fleet any more" in skipped


async def test_a_wish_ends_the_health_window_of_the_pass_that_runs(store, leases, world, monkeypatch):
    monkeypatch.setattr(leadership, "RENEW_EVERY_S", 0.01)
    lead = Leadership(leases, holder="up")

    async def wait_for_news(event: anyio.Event, _timeout_s: float) -> bool:
        await leases.ask("apply", wish_s=60)
        await event.wait()
        return True

    world.ports = replace(world.ports, memory=store.fenced(lead), gates=(lead,), pause=wait_for_news)
    world.restart()
    world.fleet.boot_s = 10_000
    world.commit("one", "time")
    worker = worker_of(world, lead)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run)
            await lead.led()
            while (await leases.acquire("apply", lease_s=60)).holder != "apply":
                await anyio.wait_all_tasks_blocked()
            worker.stop()
    assert [outcome.kind for outcome in world.reporter.reported[0].outcomes] == [OutcomeKind.APPLIED] * 3
    assert len(world.reporter.reported) == 1
