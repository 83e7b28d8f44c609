"""What is put is written once, in order, whatever happens to those who wait for it."""

import asyncio
import sqlite3
import threading

import anyio
import pytest

from reconciler.engine import store as store_module
from reconciler.engine.store import Store

real_write = store_module._write  # The disk itself fails here, as no test can make a real one fail.


@pytest.fixture
async def store(tmp_path):
    made = await Store.open(tmp_path)
    yield made
    await made.close()


async def test_a_write_that_fails_is_made_up_for_by_the_next(store, monkeypatch):
    def fail(connection, batch):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store_module, "_write", fail)
    store.put("machine", "a", "old")
    store.put("machine", "b", "kept")
    with pytest.raises(sqlite3.OperationalError):
        await store.settle()
    monkeypatch.setattr(store_module, "_write", real_write)
    store.put("machine", "a", "new")
    await store.settle()
    assert await store.load("machine") == {"a": "new", "b": "kept"}


async def test_a_caller_who_gives_up_does_not_let_the_next_write_into_the_one_that_runs(store, monkeypatch):
    running, begun, release = [], threading.Event(), threading.Event()

    def slow(connection, batch):
        running.append(len(batch))
        begun.set()
        release.wait(timeout=10)
        real_write(connection, batch)
        running.append(0)

    monkeypatch.setattr(store_module, "_write", slow)
    store.put("machine", "a", "1")
    first = asyncio.ensure_future(store.settle())
    await anyio.to_thread.run_sync(begun.wait)
    first.cancel()
    store.put("machine", "b", "2")
    second = asyncio.ensure_future(store.settle())
    for _ in range(20):
        await asyncio.sleep(0)
    assert running == [1]
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert running == [1, 0, 1, 0]
    assert await store.load("machine") == {"a": "1", "b": "2"}
