"""What no webhook told is found by whoever leads, and a failure of it is only a failure of it."""

import anyio

from reconciler.cli import catching_up
from reconciler.cli.catching_up import CatchUp, Doors, Followed
from reconciler.errors import Unavailable
from reconciler.loop.clock import SystemClock
from reconciler.loop.ports import Proposal
from reconciler.loop.store import open_store

HEADS = [Proposal(number=number, commit=f"{number:040x}", ref=f"refs/pull/{number}/head") for number in (14, 13)]


class Lead:
    leads = True

    def may_act(self) -> bool:
        return self.leads


class Pulls:
    async def proposals(self, branch: str):
        assert branch == "main"
        return HEADS


class Failed:
    def __init__(self) -> None:
        self.asked = anyio.Event()

    async def ask_again(self) -> int:
        self.asked.set()
        raise Unavailable("github-unavailable", "GitHub does not answer")


FOLLOWED = Followed(branch=lambda: "main", base=lambda: "c" * 40)


def ignore(_open) -> None:
    """Nobody plans anew."""


async def test_heads_that_nobody_told_of_wait_and_known_ones_do_not(tmp_path):
    store = await open_store(tmp_path, SystemClock())
    told: list[object] = []
    catch_up = CatchUp(store, Lead(), FOLLOWED, Doors(pulls=Pulls(), failed=None), told.append)
    assert await catch_up.find_proposals() == 2
    assert [one.proposal.number for one in await store.waiting()] == [13, 14]
    assert await catch_up.find_proposals() == 0
    assert told == [HEADS, HEADS], "those that are open are compared with the base of now, each time"
    store.close()


async def test_a_failed_question_does_not_keep_proposals_from_being_found(tmp_path):
    store = await open_store(tmp_path, SystemClock())
    failed, found = Failed(), anyio.Event()
    ask = store.ask

    async def ask_and_tell(proposal: Proposal) -> None:
        await ask(proposal)
        found.set()

    store.ask = ask_and_tell
    catch_up = CatchUp(store, Lead(), FOLLOWED, Doors(pulls=Pulls(), failed=failed), ignore)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(catch_up.run)
            await failed.asked.wait()
            await found.wait()
            group.cancel_scope.cancel()
    assert await store.known_proposals()
    store.close()


async def test_who_does_not_lead_asks_nobody(tmp_path):
    store, lead, failed = await open_store(tmp_path, SystemClock()), Lead(), Failed()
    lead.leads = False
    catch_up = CatchUp(store, lead, FOLLOWED, Doors(pulls=Pulls(), failed=failed), ignore)
    async with anyio.create_task_group() as group:
        group.start_soon(catch_up.run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert not failed.asked.is_set()
    assert await store.known_proposals() == frozenset()
    store.close()


async def test_pull_requests_are_looked_at_when_their_base_has_moved(tmp_path, monkeypatch):
    for name in ("UNTIL_LED_S", "REST_S"):
        monkeypatch.setattr(catching_up, name, 0.001)
    store, base, looked = await open_store(tmp_path, SystemClock()), ["a" * 40], [anyio.Event(), anyio.Event()]
    looks: list[object] = []

    def reconsider(found) -> None:
        looks.append(found)
        looked[len(looks) - 1].set()

    followed = Followed(branch=lambda: "main", base=lambda: base[0])
    catch_up = CatchUp(store, Lead(), followed, Doors(pulls=Pulls(), failed=None), reconsider)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(catch_up.run)
            await looked[0].wait()
            base[0] = "b" * 40
            await looked[1].wait()
            group.cancel_scope.cancel()
    assert looks == [HEADS, HEADS]
    store.close()
