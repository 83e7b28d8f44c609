"""A proposal that is planned anew because its base moved: what is kept of it, and who still waits."""

from datetime import UTC, datetime

from reconciler.core.cost import MonthlyCost
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import Revision
from reconciler.loop.ports import Proposal
from reconciler.loop.proposing import NOBODY_ASKED
from reconciler.loop.store import open_store

HEAD = Proposal(number=12, commit="a" * 40, ref="refs/pull/12/head")


def planned(base: str) -> ProposedPlan:
    return ProposedPlan(
        number=12,
        revision=Revision(commit=HEAD.commit, branch=HEAD.ref, source="/r"),
        base=Revision(commit=base * 40, branch="main", source="/r"),
        plan=None,
        problems=(),
        warnings=(),
        cost_before=MonthlyCost(),
        cost_after=MonthlyCost(),
        planned_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


async def test_a_plan_that_nobody_asked_for_replaces_the_old_one_and_answers_no_question(tmp_path, world):
    store = await open_store(tmp_path, world.clock)
    assert await store.stored(HEAD) is None
    await store.ask(HEAD)
    await store.keep_proposed(HEAD, planned("b"), asked=1)
    await store.keep_proposed(HEAD, planned("c"), asked=NOBODY_ASKED)
    found = await store.stored(HEAD)
    assert found is not None
    assert (found.waits, found.planned) == (False, planned("c"))
    await store.ask(HEAD)
    await store.keep_proposed(HEAD, planned("d"), asked=NOBODY_ASKED)
    assert [(one.proposal, one.asked) for one in await store.waiting()] == [(HEAD, 2)]
    store.close()
