"""Finds and kills what a machine left behind when its supervisor could not: by the machine id in the environment.

Needed in two cases only: the supervisor was killed while the engine lives, or both were killed at once and the engine
starts again. Every process of a machine carries `FLY_MACHINE_ID` from its first exec on, and ids are random, so nothing
else can match. Without /proc (not Linux) nothing is found, and the parent-death signal is all there is.
"""

import os
import signal
import time
from pathlib import Path

VARIABLE = b"FLY_MACHINE_ID="
ROUNDS = 50
PAUSE_S = 0.02


def kill(machine_ids: frozenset[str]) -> None:
    """Kills until none is left, because a process may fork between look and kill. Blocks; run it in a thread."""
    for _ in range(ROUNDS):
        found = find(machine_ids)
        if not found:
            return
        for pid in found:
            _kill(pid)
        time.sleep(PAUSE_S)


def find(machine_ids: frozenset[str]) -> list[int]:
    """The process ids of everything that carries one of those machine ids."""
    marks = frozenset(VARIABLE + machine_id.encode() for machine_id in machine_ids)
    try:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
    return [pid for pid in pids if pid != os.getpid() and not marks.isdisjoint(_environment(pid))]


def _environment(pid: int) -> list[bytes]:
    """The environment a process was started with; nothing for one that ended or belongs to somebody else."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
