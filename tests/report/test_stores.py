"""Every store keeps the same promises; the shared one also keeps them across processes and against a former leader."""

import pytest

from reconciler.errors import Conflict
from reconciler.loop.clock import SystemClock
from reconciler.loop.store import open_store
from reconciler.report.letters import Letter
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.stores import LETTERS, MemoryOutboxStore, ShelfOutboxStore


def letter(context="catwalk/sync", posts=0):
    status = CommitStatus(sha="a" * 40, context=context, state=StatusState.FAILURE, description="crash-loop: “1”")
    return Letter(wanted=status, posted=status if posts else None, posts=posts)


@pytest.fixture(params=["memory", "shared"])
async def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryOutboxStore()
        return
    database = await open_store(tmp_path, SystemClock())
    yield ShelfOutboxStore(database.shelf(LETTERS))
    database.close()


async def test_what_is_saved_is_loaded_in_order(store):
    await store.save([letter("b"), letter("a")])
    await store.save([letter("b", posts=2)])
    assert list(await store.load()) == [letter("b", posts=2), letter("a")]


async def test_what_is_forgotten_is_gone_and_the_unknown_is_no_fault(store):
    await store.save([letter("a"), letter("b")])
    await store.forget([letter("a").key, ("f" * 40, "none")])
    assert list(await store.load()) == [letter("b")]


async def test_an_empty_store_loads_nothing(store):
    assert list(await store.load()) == []


async def test_letters_are_there_for_the_next_process(tmp_path):
    for expected in ([], [letter(posts=3)]):
        database = await open_store(tmp_path, SystemClock())
        store = ShelfOutboxStore(database.shelf(LETTERS))
        assert await store.load() == expected
        await store.save([letter(posts=3)])
        database.close()


async def test_a_letter_that_cannot_be_understood_is_passed_over(tmp_path):
    database = await open_store(tmp_path, SystemClock())
    shelf = database.shelf(LETTERS)
    await shelf.save({"a": "{", "b": '{"version": 2}'})
    await ShelfOutboxStore(shelf).save([letter()])
    assert await ShelfOutboxStore(shelf).load() == [letter()]
    database.close()


async def test_a_former_leader_writes_nothing(tmp_path):
    class Former:
        token = 3

    database = await open_store(tmp_path, SystemClock())
    with pytest.raises(Conflict):
        await ShelfOutboxStore(database.fenced(Former()).shelf(LETTERS)).save([letter()])
    assert await ShelfOutboxStore(database.shelf(LETTERS)).load() == []
    database.close()
