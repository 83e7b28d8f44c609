"""What runs in a machine, read from /proc. Where there is none (not Linux) nothing is found."""

import os
from pathlib import Path

from reconciler.engine import leftovers
from reconciler.engine.runtime import ProcessFigure


def processes_of(machine_id: str) -> tuple[ProcessFigure, ...]:
    """Every process that carries the machine's id, lowest process id first. Blocks; run it in a thread."""
    found = (_figure(pid) for pid in sorted(leftovers.find(frozenset({machine_id}))))
    return tuple(figure for figure in found if figure.pid)


def _figure(pid: int) -> ProcessFigure:
    """Process id 0 for one that has ended meanwhile."""
    root, ticks, page = Path(f"/proc/{pid}"), os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    try:
        words = (root / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        # The name in parentheses may itself hold spaces and parentheses.
        fields = (root / "stat").read_bytes().rpartition(b")")[2].split()
        directory = str((root / "cwd").readlink())
    except OSError:
        return ProcessFigure(pid=0, command="", directory="", memory_bytes=0, user_s=0, system_s=0)
    return ProcessFigure(
        pid=pid,
        command=b" ".join(words).decode("utf-8", "replace"),
        directory=directory,
        memory_bytes=int(fields[21]) * page,
        user_s=int(fields[11]) // ticks,
        system_s=int(fields[12]) // ticks,
    )
