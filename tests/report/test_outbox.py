"""The sender against a GitHub that fails: what stands in the end is right, told once, and within the budget."""

import math
from itertools import pairwise

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import Conflict, EnvironmentFault, RateLimited, Unavailable
from reconciler.report.letters import MOST_POSTS
from reconciler.report.outbox import MOST_COMMITS, MOST_FAILURES, SPACING_S, Outbox
from reconciler.report.sending import UNTIL_OUR_TURN_S
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.stores import MemoryOutboxStore

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"


def status(state="pending", context="catwalk/sync", sha=SHA, description="x"):
    return CommitStatus(sha=sha, context=context, state=StatusState(state), description=description)


async def settle(outbox, clock, *, steps=500):
    """Works until nothing is due, moving the time instead of sleeping."""
    for _ in range(steps):
        delay_s = await outbox.step()
        if delay_s == math.inf:
            return
        clock.forward(delay_s)
    raise AssertionError("the outbox does not settle")


@pytest.fixture
def outbox(service, clock):
    return Outbox(service, MemoryOutboxStore(), clock)


async def test_what_is_wanted_is_posted_once(outbox, github, clock):
    await outbox.want([status(), status("failure", "catwalk/health")])
    await outbox.want([status(), status("failure", "catwalk/health")])
    await settle(outbox, clock)
    assert (github.states("catwalk/sync"), github.states("catwalk/health")) == (["pending"], ["failure"])


async def test_only_the_latest_wish_is_sent(outbox, github, clock):
    await outbox.want([status()])
    await outbox.want([status("success")])
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["success"]


async def test_a_wish_that_changes_is_told_in_order(outbox, github, clock):
    for state in ("pending", "failure", "success"):
        await outbox.want([status(state)])
        await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["pending", "failure", "success"]


async def test_posts_keep_a_second_of_distance(outbox, github, clock):
    await outbox.want([status(), status(context="catwalk/health")])
    assert await outbox.step() == 0.0, "the list of the commit is read first"
    assert await outbox.step() == SPACING_S
    assert await outbox.step() == SPACING_S, "too early, so nothing is sent"
    assert len(github.posted) == 1


async def test_a_post_whose_answer_was_lost_is_not_repeated(outbox, github, clock, canned):
    github.faults += [None, canned(502, done=True)]
    await outbox.want([status("success")])
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["success"]


async def test_an_outage_is_waited_out_with_growing_patience(outbox, github, clock, canned):
    github.faults += [canned(503)] * 4
    await outbox.want([status()])
    delays = [await outbox.step()]
    for _ in range(3):
        clock.forward(delays[-1])
        delays.append(await outbox.step())
    assert delays == [2.0, 4.0, 8.0, 16.0]
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["pending"]


async def test_an_outage_without_end_stops_being_tried(outbox, github, clock, canned):
    github.faults += [canned(503)] * (MOST_FAILURES + 5)
    await outbox.want([status()])
    await settle(outbox, clock)
    assert len(github.seen) == MOST_FAILURES
    github.faults.clear()
    await outbox.want([status("success")])
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["success"]


async def test_a_limit_is_honoured_to_the_second(outbox, github, clock, canned):
    github.faults += [None, canned(403, {"retry-after": "37"})]
    await outbox.want([status()])
    await outbox.step()
    assert await outbox.step() == 37.0
    clock.forward(36)
    assert await outbox.step() == 1.0
    assert github.posted == []
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["pending"]


async def test_a_refusal_is_kept_and_not_repeated_until_the_text_changes(outbox, github, clock):
    github.commits.clear()
    await outbox.want([status()])
    await settle(outbox, clock)
    asked = len(github.seen)
    await settle(outbox, clock)
    assert len(github.seen) == asked
    assert "No commit found" in (await outbox.letters())[0].refusal
    github.commits.add(SHA)
    await outbox.want([status("success")])
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["success"]


async def test_a_refused_letter_holds_no_other_up(outbox, github, clock):
    await outbox.want([status(sha="f" * 40), status()])
    await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["pending"]


async def test_a_restart_sends_what_was_not_sent(service, github, clock):
    store = MemoryOutboxStore()
    await Outbox(service, store, clock).want([status("failure")])
    await settle(Outbox(service, store, clock), clock)
    assert github.states("catwalk/sync") == ["failure"]


async def test_a_lost_store_repeats_nothing_that_stands(service, github, clock):
    for _ in range(2):
        outbox = Outbox(service, MemoryOutboxStore(), clock)
        await outbox.want([status("success")])
        await settle(outbox, clock)
    assert github.states("catwalk/sync") == ["success"]


async def test_the_budget_counts_posts_of_earlier_processes(service, github, clock):
    for number in range(12):
        outbox = Outbox(service, MemoryOutboxStore(), clock)
        await outbox.want([status("success" if number % 2 else "failure")])
        await settle(outbox, clock)
    assert len(github.posted) == MOST_POSTS
    assert github.posted[-1]["description"].endswith("(last update here)")


async def test_a_failure_of_a_server_that_only_github_remembers_is_known(service, github, clock):
    github.posted.append({"sha": SHA, "state": "failure", "context": "catwalk/health/old", "description": "x"})
    outbox = Outbox(service, MemoryOutboxStore(), clock)
    await outbox.want([status()])
    await settle(outbox, clock)
    assert "catwalk/health/old" in {letter.wanted.context for letter in await outbox.letters()}
    assert github.states("catwalk/health/old") == ["failure"]


async def test_old_commits_are_forgotten(service, clock):
    store = MemoryOutboxStore()
    outbox = Outbox(service, store, clock)
    for number in range(MOST_COMMITS + 10):
        await outbox.want([status(sha=f"{number:040x}")])
    shas = [letter.wanted.sha for letter in await store.load()]
    assert shas == [f"{number:040x}" for number in range(10, MOST_COMMITS + 10)]


async def test_a_wish_that_arrives_during_a_post_is_not_lost(clock):
    outbox = Outbox(Slow(), MemoryOutboxStore(), clock)
    service = outbox._service
    await outbox.want([status()])
    await outbox.step()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.step)
            await service.posting.wait()
            await outbox.want([status("success")])
            service.go_on.set()
    await settle(outbox, clock)
    assert [one.state for one in service.posted] == ["pending", "success"]


class Slow:
    """A service whose post waits to be told to go on."""

    def __init__(self) -> None:
        self.posted: list[CommitStatus] = []
        self.posting, self.go_on = anyio.Event(), anyio.Event()

    async def statuses(self, sha: str) -> list[CommitStatus]:
        return [one for one in reversed(self.posted) if one.sha == sha]

    async def post(self, status: CommitStatus) -> None:
        self.posting.set()
        await self.go_on.wait()
        self.posted.append(status)


async def test_the_running_sender_wakes_for_a_wish_and_survives_its_own_faults(clock):
    service = BrokenOnce()
    outbox = Outbox(service, MemoryOutboxStore(), clock)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            await outbox.want([status()])
            await service.broke.wait()
            await outbox.want([status("success")])
            await service.delivered.wait()
            tasks.cancel_scope.cancel()
    assert [one.state for one in service.posted] == ["success"]


class BrokenOnce:
    """A service whose first call fails in a way that nobody foresaw."""

    def __init__(self) -> None:
        self.posted: list[CommitStatus] = []
        self.broke, self.delivered = anyio.Event(), anyio.Event()

    async def statuses(self, _sha: str) -> list[CommitStatus]:
        if self.broke.is_set():
            return []
        self.broke.set()
        raise ZeroDivisionError

    async def post(self, status: CommitStatus) -> None:
        self.posted.append(status)
        self.delivered.set()


async def test_draining_tells_whether_everything_was_said(service, clock):
    async def sleep(seconds: float) -> None:
        clock.forward(seconds)

    outbox = Outbox(service, MemoryOutboxStore(), clock, sleep=sleep)
    await outbox.want([status(), status(context="catwalk/health")])
    assert await outbox.drain(timeout_s=10) is True
    assert all(letter.posts == 1 for letter in await outbox.letters())


async def test_draining_gives_up_when_time_is_up(service, github, clock, canned):
    github.faults.append(canned(503))
    outbox = Outbox(service, MemoryOutboxStore(), clock, sleep=anyio.sleep)
    await outbox.want([status()])
    assert await outbox.drain(timeout_s=0.2) is False


class Treacherous:
    """GitHub as a list, in which each call may fail before or after it did its work, or end the process."""

    def __init__(self, draw) -> None:
        self.draw, self.posted = draw, []

    async def statuses(self, _sha: str) -> list[CommitStatus]:
        self._perhaps_fail()
        return list(reversed(self.posted))

    async def post(self, status: CommitStatus) -> None:
        self._perhaps_fail()
        self.posted.append(status)
        if self.draw(st.sampled_from(["fine", "fine", "lost", "killed"])) != "fine":
            raise Killed if self.draw(st.booleans()) else Unavailable("github-unavailable", "no answer")

    def _perhaps_fail(self) -> None:
        match self.draw(st.sampled_from(["fine", "fine", "fine", "limit", "outage", "killed"])):
            case "limit":
                raise RateLimited("github-rate-limited", "wait")
            case "outage":
                raise Unavailable("github-unavailable", "502")
            case "killed":
                raise Killed
            case _:
                return


class Killed(BaseException):
    """The process ends here."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), wishes=st.lists(st.sampled_from(["pending", "success", "failure"]), min_size=1, max_size=4))
def test_whatever_fails_the_last_wish_stands_and_nothing_is_said_twice_in_a_row(clock, data, wishes):
    posted = anyio.run(through_failures, clock, data.draw, wishes, backend="asyncio")
    assert posted[-1].state == wishes[-1]
    assert len(posted) <= MOST_POSTS
    assert all(one.state is not next_one.state for one, next_one in pairwise(posted))


async def through_failures(clock, draw, wishes):
    service, store = Treacherous(draw), MemoryOutboxStore()
    outbox = Outbox(service, store, clock)
    for wish in wishes:
        await outbox.want([status(wish)])
        for _ in range(300):
            try:
                delay_s = await outbox.step()
            except Killed:
                outbox = Outbox(service, store, clock)
                continue
            if delay_s == math.inf:
                break
            clock.forward(delay_s)
    return service.posted


class BrokenStore(MemoryOutboxStore):
    __slots__ = ("fault",)

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__()
        self.fault = fault

    async def save(self, letters):
        if self.fault is not None:
            raise self.fault
        await super().save(letters)


async def test_a_store_that_cannot_be_written_is_told_to_the_caller(service, clock):
    outbox = Outbox(service, BrokenStore(EnvironmentFault("database-failed", "the disk is full")), clock)
    with pytest.raises(EnvironmentFault):
        await outbox.want([status()])


class Lease:
    """Who leads, as a test says it."""

    def __init__(self) -> None:
        self.token = 0

    def may_act(self) -> bool:
        return bool(self.token)


async def test_of_two_processes_the_one_that_leads_sends(service, github, clock):
    store, first, second = MemoryOutboxStore(), Lease(), Lease()
    one, other = Outbox(service, store, clock, turn=first), Outbox(service, store, clock, turn=second)
    first.token = 1
    await one.want([status("pending")])
    assert await other.step() == UNTIL_OUR_TURN_S
    await settle(one, clock)
    await one.want([status("success")])
    first.token, second.token = 0, 2
    assert await one.step() == UNTIL_OUR_TURN_S
    await settle(other, clock)
    assert github.states("catwalk/sync") == ["pending", "success"]


async def test_a_process_that_leads_again_knows_what_was_said_meanwhile(service, github, clock):
    store, first, second = MemoryOutboxStore(), Lease(), Lease()
    one, other = Outbox(service, store, clock, turn=first), Outbox(service, store, clock, turn=second)
    for number in range(9):
        leads, lease = (one, first) if number % 2 else (other, second)
        first.token = second.token = 0
        lease.token = number + 1
        await leads.want([status("success" if number % 2 else "failure")])
        await settle(leads, clock)
    assert len(github.posted) == MOST_POSTS
    assert [one["state"] for one in github.posted] == ["failure", "success"] * 3


async def test_who_loses_the_lead_over_a_post_leaves_the_rest_to_the_next(service, github, clock):
    store = BrokenStore()
    await Outbox(service, store, clock).want([status("success")])
    late = Outbox(service, store, clock)
    await late.step()
    store.fault = Conflict("not-leading", "another process leads")
    assert await late.step() == UNTIL_OUR_TURN_S
    store.fault = None
    await settle(Outbox(service, store, clock), clock)
    assert github.states("catwalk/sync") == ["success"]


async def test_a_command_that_does_not_lead_does_not_wait_for_its_turn(service, clock):
    store = MemoryOutboxStore()
    await Outbox(service, store, clock).want([status()])
    assert not await Outbox(service, store, clock, turn=Lease()).drain(timeout_s=60)


async def test_a_clock_that_is_set_back_makes_no_pause_longer(outbox, github, clock):
    await outbox.want([status(), status(context="catwalk/health")])
    while not github.posted:
        await outbox.step()
    clock.forward(-3600)
    began = clock.now()
    await settle(outbox, clock)
    assert len(github.posted) == 2
    assert (clock.now() - began).total_seconds() <= 2 * SPACING_S
