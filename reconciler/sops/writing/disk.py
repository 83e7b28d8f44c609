"""Putting a changed file in the place of the old one: whole, read back, or not at all.

The new content goes to a temporary file beside the target, is forced to the disk, read back and checked, and takes the
name only then. Whatever fails before that leaves the old file as it was. Plaintext never comes here.
"""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.errors import InternalFault
from reconciler.sops.limits import MAXIMUM_FILE_BYTES
from reconciler.sops.writing.errors import ChangedMeanwhile, NotWritten

_NEW_FILE_MODE: Final = 0o644
_NEW_FOLDER_MODE: Final = 0o755


def replace_file(path: Path, content: bytes, check: Callable[[bytes], object], *, before: bytes | None) -> None:
    """Writes `content` to `path`, whose content was `before`; `None` where there was no file.

    A new file is made with its folders, an old one keeps its mode. `check` is given what stands on the disk and raises
    where that is not good. A link is followed, and stays one.

    Raises:
        ChangedMeanwhile: the file is no longer what it was.
        NotWritten: the file system refuses.
    """
    try:
        target = path.resolve()
        target.parent.mkdir(mode=_NEW_FOLDER_MODE, parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
        try:
            _write(temporary, content, _mode(target))
            _read_back(temporary, content, check)
            _refuse_changed(target, before)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or 'the file system refuses'}; it is as it was"
        raise NotWritten("sops-not-written", message, hint="look at its folder and at the space on the disk") from error


def read_file(path: Path) -> bytes | None:
    """What stands in a file, `None` where there is none.

    Raises:
        NotWritten: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAXIMUM_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or 'the file system refuses'}"
        raise NotWritten("sops-not-written", message, hint="look at the permissions of the file") from error


def _mode(target: Path) -> int:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return _NEW_FILE_MODE


def _write(temporary: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _read_back(temporary: Path, content: bytes, check: Callable[[bytes], object]) -> None:
    found = temporary.read_bytes()
    if found != content:
        raise InternalFault("sops-not-written", "the disk gave back something else than was written")
    check(found)


def _refuse_changed(target: Path, before: bytes | None) -> None:
    if read_file(target) != before:
        message = f"somebody else changed {target} in the meantime; it is as they left it"
        raise ChangedMeanwhile("sops-changed-meanwhile", message, hint="run the command again")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
