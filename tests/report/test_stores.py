"""Every store keeps the same promises; the file one also keeps them across processes and torn files."""

import os

import pytest

from reconciler.errors import EnvironmentFault
from reconciler.report.letters import Letter
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.stores import LARGEST_FILE, FileOutboxStore, MemoryOutboxStore


def letter(context="catwalk/sync", posts=0):
    status = CommitStatus(sha="a" * 40, context=context, state=StatusState.FAILURE, description="crash-loop: “1”")
    return Letter(wanted=status, posted=status if posts else None, posts=posts)


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    return MemoryOutboxStore() if request.param == "memory" else FileOutboxStore(tmp_path / "state" / "outbox.json")


async def test_what_is_saved_is_loaded_in_order(store):
    await store.save([letter("b"), letter("a")])
    await store.save([letter("b", posts=2)])
    assert await store.load() == (letter("b", posts=2), letter("a"))


async def test_what_is_forgotten_is_gone_and_the_unknown_is_no_fault(store):
    await store.save([letter("a"), letter("b")])
    await store.forget([letter("a").key, ("f" * 40, "none")])
    assert await store.load() == (letter("b"),)


async def test_an_empty_store_loads_nothing(store):
    assert await store.load() == ()


async def test_letters_survive_the_process(tmp_path):
    path = tmp_path / "outbox.json"
    await FileOutboxStore(path).save([letter(posts=3)])
    assert await FileOutboxStore(path).load() == (letter(posts=3),)
    assert [entry.name for entry in tmp_path.iterdir()] == ["outbox.json"]


@pytest.mark.parametrize("content", [b"", b"[{", b'{"version": 2}', b" " * (LARGEST_FILE + 1)])
async def test_a_file_that_cannot_be_understood_is_moved_aside(tmp_path, content):
    path = tmp_path / "outbox.json"
    path.write_bytes(content)
    store = FileOutboxStore(path)
    assert await store.load() == ()
    await store.save([letter()])
    assert (tmp_path / "outbox.unreadable").read_bytes() == content


async def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "occupied").write_text("a file", encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="occupied"):
        await FileOutboxStore(tmp_path / "occupied" / "outbox.json").save([letter()])


async def test_a_failed_write_leaves_the_old_letters(tmp_path, monkeypatch):
    path = tmp_path / "outbox.json"
    store = FileOutboxStore(path)
    await store.save([letter()])

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        await store.save([letter(posts=5)])
    assert await store.load() == (letter(),)
    assert await FileOutboxStore(path).load() == (letter(),)
    assert [entry.name for entry in tmp_path.iterdir()] == ["outbox.json"]
