"""Where letters wait: in memory for tests and one-shot commands, in a JSON file where nothing else remembers.

The loop's database implements the same Protocol. Losing the store loses nothing but posts: GitHub's own list is read
again before anything is sent.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import anyio
import anyio.to_thread
import structlog
from pydantic import TypeAdapter, ValidationError

from reconciler.errors import EnvironmentFault
from reconciler.report.letters import Letter, LetterKey

LARGEST_FILE: Final = 32 * 2**20
"""Bytes. Fifty commits with twenty contexts take well under one megabyte, but what check runs tell besides waits here
while GitHub is out: up to 130 kilobytes a letter. More is not ours."""

_log = structlog.get_logger(__name__)
_letters: Final = TypeAdapter(tuple[Letter, ...])


class OutboxStore(Protocol):
    """Letters by commit and context. Every call is durable when it returns."""

    async def load(self) -> Sequence[Letter]:
        """All of them, in the order in which their keys first came."""
        ...

    async def save(self, letters: Sequence[Letter]) -> None:
        """Adds or replaces these, all or none."""
        ...

    async def forget(self, keys: Iterable[LetterKey]) -> None:
        """Removes these; unknown keys are no fault."""
        ...


class MemoryOutboxStore:
    """Remembers as long as the process lives."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[LetterKey, Letter] = {}

    async def load(self) -> Sequence[Letter]:
        return tuple(self._kept.values())

    async def save(self, letters: Sequence[Letter]) -> None:
        self._kept.update((letter.key, letter) for letter in letters)

    async def forget(self, keys: Iterable[LetterKey]) -> None:
        for key in keys:
            self._kept.pop(key, None)


class FileOutboxStore:
    """Remembers in one JSON file, which is replaced as a whole.

    A file that cannot be understood is moved aside, not overwritten: it may be from a newer release.
    """

    __slots__ = ("_kept", "_lock", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = anyio.Lock()
        self._kept: dict[LetterKey, Letter] | None = None

    async def load(self) -> Sequence[Letter]:
        """All letters.

        Raises:
            EnvironmentFault: the file cannot be read.
        """
        async with self._lock:
            return tuple((await self._read()).values())

    async def save(self, letters: Sequence[Letter]) -> None:
        """Adds or replaces these.

        Raises:
            EnvironmentFault: the file cannot be written.
        """
        async with self._lock:
            kept = {**await self._read(), **{letter.key: letter for letter in letters}}
            await self._write(kept)

    async def forget(self, keys: Iterable[LetterKey]) -> None:
        """Removes these.

        Raises:
            EnvironmentFault: the file cannot be written.
        """
        async with self._lock:
            gone = frozenset(keys)
            await self._write({key: letter for key, letter in (await self._read()).items() if key not in gone})

    async def _read(self) -> dict[LetterKey, Letter]:
        if self._kept is None:
            self._kept = await anyio.to_thread.run_sync(_read_file, self._path)
        return self._kept

    async def _write(self, kept: dict[LetterKey, Letter]) -> None:
        content = _letters.dump_json(tuple(kept.values()), indent=1)
        await anyio.to_thread.run_sync(_replace_file, self._path, content)
        self._kept = kept


def _read_file(path: Path) -> dict[LetterKey, Letter]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        letters = _letters.validate_json(content if len(content) <= LARGEST_FILE else b"")
    except FileNotFoundError:
        return {}
    except ValidationError:
        aside = path.with_suffix(".unreadable")
        path.replace(aside)
        _log.warning("outbox_unreadable", moved_to=str(aside))
        return {}
    except OSError as fault:
        raise _file_fault(path, fault) from fault
    return {letter.key: letter for letter in letters}


def _replace_file(path: Path, content: bytes) -> None:
    """Writes beside, flushes to the disk, and renames: whenever the power goes, the old or the new file is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            _write_through(beside, content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        _flush_directory(path.parent)
    except OSError as fault:
        raise _file_fault(path, fault) from fault


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_fault(path: Path, fault: OSError) -> EnvironmentFault:
    reason = os.strerror(fault.errno) if fault.errno else "unknown reason"
    return EnvironmentFault(
        "outbox-unusable", f"{path}: {reason}", hint="make the state directory writable, or choose another one"
    )
