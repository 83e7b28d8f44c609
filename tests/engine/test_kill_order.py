"""What must be on disk before something happens, so that a kill in between leaves nothing that nobody knows of."""

import threading

from reconciler.engine import processes, store

HELD_S = 0.5


async def test_no_process_starts_before_its_machine_is_on_disk(bench, monkeypatch):
    order, spawned = [], threading.Event()
    write, spawn = store._write, processes.spawn

    def held_write(connection, batch):
        spawned.wait(HELD_S)
        write(connection, batch)
        order.append("written")

    def noted_spawn(command):
        order.append("spawned")
        spawned.set()
        return spawn(command)

    monkeypatch.setattr(store, "_write", held_write)
    monkeypatch.setattr(processes, "spawn", noted_spawn)
    await bench.started()
    assert order.index("written") < order.index("spawned")
