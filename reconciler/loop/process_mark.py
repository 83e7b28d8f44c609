"""A mark by which another process on the same machine can tell that this one is gone for good.

A leader that was killed leaves a lease that lasts for seconds yet. Whoever starts next on the same machine need not
wait for its end when the kernel says that the holder does not exist any more. It refuses to guess: a process of another
machine, another boot or another process namespace (a container) may be alive, whatever its number. So may one that is
only stopped.
"""

import os
import secrets
from pathlib import Path
from typing import Final

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = Path("/proc/self/ns/pid")
_STATE: Final = 0
_START: Final = 19
"""Fields of `/proc/PID/stat` (proc(5): 3, state, and 22, starttime), counted after the name in parentheses."""
_PARTS: Final = 5


def mark() -> str:
    """Of this process; unlike any other, without spaces. Where the kernel tells nothing it is random alone."""
    pid = os.getpid()
    place, found = _place(), _stat(pid)
    if not place or found is None:
        return secrets.token_hex(4)
    return ".".join((place, str(pid), found[_START], secrets.token_hex(4)))


def surely_gone(marked: str) -> bool:
    """Whether the process that made the mark cannot act any more. Where that cannot be known, it is not gone."""
    parts = marked.split(".")
    if len(parts) != _PARTS or ".".join(parts[:2]) != _place():
        return False
    pid, start = int(parts[2]), parts[3]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    found = _stat(pid)
    return found is not None and (found[_START] != start or found[_STATE] in {"Z", "X"})


def _place() -> str:
    """The boot and the process namespace within which numbers of processes mean anything; empty if they are unknown."""
    try:
        boot = BOOT.read_text(encoding="ascii").strip()
        return f"{boot}.{NAMESPACE.readlink().name.strip('pid:[]')}"
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
