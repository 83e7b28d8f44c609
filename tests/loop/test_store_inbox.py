"""Webhooks that were taken in, proposals, and the texts of other rooms, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from reconciler.core.actions import CreateApp, Plan
from reconciler.core.cost import MonthlyCost
from reconciler.core.problems import Location, Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import Revision, Trigger
from reconciler.errors import Conflict
from reconciler.loop.ports import Delivery, Proposal, WaitingProposal
from reconciler.loop.store import open_store

REVISION = Revision(commit="a" * 40, branch="refs/pull/12/head", source="https://github.com/acme/fleet")
PLANNED = ProposedPlan(
    number=12,
    revision=REVISION,
    base=None,
    plan=Plan(fleet="acme", revision=REVISION, actions=(CreateApp(server="a", app="b", network="b", reason="new"),)),
    problems=(Problem(code="unknown-key", message="x", location=Location(file="catwalk.yaml", line=3)),),
    warnings=(),
    cost_before=MonthlyCost(awake=1.94),
    cost_after=MonthlyCost(awake=3.88, unpriced=("big",)),
    planned_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
)


@pytest.fixture
async def store(database_url, tmp_path, world):
    made = await open_store(tmp_path, world.clock, url=database_url)
    yield made
    made.close()


@pytest.fixture
def delivery(world):
    return Delivery(id="72d3162e-cc78-11e3", trigger=Trigger.WEBHOOK, received_at=world.clock.now())


async def test_a_delivery_is_new_once(store, delivery, database_url, tmp_path, world):
    assert await store.take_in([delivery, delivery]) == [True, False]
    assert await store.take_in([delivery]) == [False]
    again = await open_store(tmp_path, world.clock, url=database_url)
    later = replace(delivery, received_at=delivery.received_at + timedelta(days=3))
    assert await again.take_in([later, replace(later, id="another")]) == [False, True]
    again.close()


async def test_of_many_at_once_one_is_new(store, delivery):
    new: list[bool] = []

    async def take_in() -> None:
        new.extend(await store.take_in([delivery]))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(take_in)
    assert sorted(new) == [False] * 7 + [True]


async def test_what_is_older_than_a_fortnight_is_forgotten(store, delivery):
    await store.take_in([delivery])
    later = delivery.received_at + timedelta(days=15)
    assert await store.take_in([replace(delivery, id="another", received_at=later)]) == [True]
    assert await store.take_in([replace(delivery, received_at=later)]) == [True]


HEAD = Proposal(number=12, commit="a" * 40, ref="refs/pull/12/head")


async def test_a_proposal_comes_with_its_delivery_and_not_again_with_its_copy(store, delivery):
    told = replace(delivery, trigger=None, proposal=HEAD)
    await store.take_in([told, told])
    await store.take_in([told])
    assert await store.waiting() == [WaitingProposal(proposal=HEAD, asked=1, told=False)]


async def test_another_plan_of_a_known_commit_is_asked_for(store, delivery):
    await store.take_in([replace(delivery, replanned=HEAD.commit)])
    assert await store.waiting() == []
    await store.ask(HEAD)
    await store.keep_proposed(HEAD, PLANNED, asked=1)
    assert await store.waiting() == []
    await store.take_in([replace(delivery, id="again", trigger=None, replanned=HEAD.commit)])
    assert await store.waiting() == [WaitingProposal(proposal=HEAD, asked=2, told=True)]


async def test_of_a_pull_request_only_the_newest_commit_waits(store):
    newer, other = replace(HEAD, commit="b" * 40), replace(HEAD, number=13, ref="refs/pull/13/head")
    for proposal in (HEAD, other, newer):
        await store.ask(proposal)
    assert [found.proposal for found in await store.waiting()] == [other, newer]


async def test_commits_of_the_merge_queue_wait_side_by_side(store):
    queued = [Proposal(number=0, commit=digit * 40, ref=f"refs/heads/gh-readonly-queue/main/{digit}") for digit in "ab"]
    for proposal in queued:
        await store.ask(proposal)
    assert [found.proposal for found in await store.waiting()] == queued


async def test_what_is_asked_for_while_it_is_planned_is_planned_again(store):
    await store.ask(HEAD)
    await store.ask(HEAD)
    await store.keep_proposed(HEAD, PLANNED, asked=1)
    assert await store.waiting() == [WaitingProposal(proposal=HEAD, asked=2, told=True)]


async def test_a_plan_is_read_back_as_it_was(store):
    await store.ask(HEAD)
    await store.keep_proposed(HEAD, PLANNED, asked=1)
    stored = await store.proposals(number=12)
    assert [(one.proposal, one.waits, one.planned) for one in stored] == [(HEAD, False, PLANNED)]
    assert await store.proposals(number=13) == []
    assert await store.known_proposals() == {(12, HEAD.commit)}


async def test_no_more_proposals_are_kept_than_there_is_room_for(store, monkeypatch):
    monkeypatch.setattr("reconciler.loop.store.proposals.MOST_KEPT", 3)
    for number in range(1, 6):
        await store.ask(replace(HEAD, number=number))
    assert [one.proposal.number for one in await store.proposals()] == [5, 4, 3]


async def test_a_shelf_keeps_texts_in_the_order_in_which_they_came(store):
    shelf = store.shelf("letters")
    await shelf.save({"b": "1", "a": "2"})
    await shelf.save({"b": "3"})
    await store.shelf("others").save({"a": "x"})
    assert await shelf.load() == [("b", "3"), ("a", "2")]
    await shelf.forget(["b", "unknown"])
    assert await shelf.load() == [("a", "2")]


async def test_a_claim_stands_until_it_is_replaced(store):
    assert await store.claim("key", "first") == "first"
    assert await store.claim("key", "second") == "first"
    assert await store.claim("key", "second", replace=True) == "second"
    assert await store.claim("key", "third") == "second"


async def test_a_process_that_leads_no_longer_writes_on_no_shelf(store):
    class Former:
        token = 7

    with pytest.raises(Conflict):
        await store.fenced(Former()).shelf("letters").save({"a": "1"})
    assert await store.shelf("letters").load() == []
