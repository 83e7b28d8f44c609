"""Does a silent server listen on TCP instead? Then it speaks HTTP, and saying so saves its user an afternoon.

Source: proc(5), files `net/tcp`, `net/tcp6` and `PID/fd`. Elsewhere than on Linux the answer is always no.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def listening_ports(group: int) -> list[int]:
    """The TCP ports on which the processes of a process group listen, in order."""
    inodes = {inode for process in _members(group) for inode in _socket_inodes(process)}
    return sorted({port for inode, port in _listeners() if inode in inodes})


def _members(group: int) -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                yield process
        except (ProcessLookupError, PermissionError):
            continue


def _socket_inodes(process: Path) -> Iterator[str]:
    try:
        entries = list((process / "fd").iterdir())
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):  # A descriptor may be closed while the list is read.
            match = _SOCKET.fullmatch(str(entry.readlink()))
            if match is not None:
                yield match[1]


def _listeners() -> Iterator[tuple[str, int]]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (Path("/proc/net") / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN:
                yield fields[9], int(fields[1].rpartition(":")[2], 16)
