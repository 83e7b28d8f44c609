"""Installed packages on disk: one folder per package, version and resolve date, made once and used by every machine of
the host.

A folder counts only when it holds its marker, which is written last; a lock beside it keeps a second machine waiting
instead of installing twice. Folders are built in place, because a Python environment cannot be moved; what an
interrupted install left is removed before the next one.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import anyio

_MARKER = "catwalk-installed.json"
_LOCK_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A finished folder: the version in it, its executables (name -> absolute path), folders for PATH.

    `targets` says per executable which program it starts, so that two names of one program can be told from two
    programs. `needs` are files outside the folder without which it is worthless, such as the interpreter that it was
    made for.
    """

    version: str
    executables: Mapping[str, str]
    targets: Mapping[str, str]
    path: tuple[str, ...]
    needs: tuple[str, ...]


def folder_for(cache: Path, kind: str, name: str, *parts: str) -> Path:
    """The folder of a package: readable, and distinct for distinct inputs."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "+", "@".join([name, *parts]))
    digest = hashlib.sha256("\0".join([kind, name, *parts]).encode()).hexdigest()[:10]
    return cache / kind / f"{readable[:80]}-{digest}"


def read_installed(folder: Path) -> Installed | None:
    """What a folder holds; None when it is not finished or no longer usable."""
    try:
        raw = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
        installed = Installed(
            version=raw["version"],
            executables=cast(dict[str, str], raw["executables"]),
            targets=cast(dict[str, str], raw["targets"]),
            path=tuple(raw["path"]),
            needs=tuple(raw["needs"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    usable = all(Path(each).exists() for each in (*installed.needs, *installed.executables.values()))
    return installed if usable else None


def write_installed(folder: Path, installed: Installed) -> None:
    """Mark a folder as finished; the marker appears whole or not at all."""
    content = {
        "version": installed.version,
        "executables": dict(installed.executables),
        "targets": dict(installed.targets),
        "path": list(installed.path),
        "needs": list(installed.needs),
    }
    partial = folder / f"{_MARKER}.partial"
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.rename(folder / _MARKER)


@asynccontextmanager
async def locked(folder: Path) -> AsyncGenerator[None]:
    """Hold the lock of a folder; waits while another machine installs into it. The lock ends with its process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(descriptor):  # noqa: ASYNC110 - the holder is another process, which sets no event
            await anyio.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def empty(folder: Path) -> None:
    """Make the folder exist and be empty."""
    await anyio.to_thread.run_sync(_empty, folder)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def newest_finished(cache: Path, kind: str, name: str) -> Installed | None:
    """The most recently installed version of a package, for a start without a network."""
    prefix = re.sub(r"[^A-Za-z0-9._-]+", "+", f"{name}@")
    folders = [each for each in (cache / kind).glob("*/") if each.name.startswith(prefix)]
    finished = [(each.stat().st_mtime, installed) for each in folders if (installed := read_installed(each))]
    return max(finished, key=lambda pair: pair[0])[1] if finished else None
