"""Files that the manifest gives to a server: from where they wait in the machine to where the server looks for them.

Fly writes files as root, and a key that belongs to somebody else is of no use to ssh; in the embedded engine the folder
of the machine stands for its root. So each file is copied, owned by the user that runs the server, and where it cannot
lie at its stated path that path is replaced wherever the server is told about it.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause

SECRET_PREFIX = "CATWALK_FILE_"  # noqa: S105 - the beginning of the names of variables
"""App secrets that are files. The system gives every app secret to the machine as a variable too."""
_LARGEST_FILE_BYTES = 1024 * 1024
_SHORTEST_MASKED_LINE = 16
_ELSEWHERE = ".catwalk-files"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOrder:
    """Where a file goes (absolute or below `~/`), its mode, and where in the machine it waits."""

    target: str
    mode: int
    staged: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Which stated paths mean which real ones."""

    real: Mapping[str, str]

    def __call__(self, text: str) -> str:
        """The text with every stated path replaced that stands there as a whole."""
        for stated, real in self.real.items():
            text = real.join(re.split(rf"(?<![\w./~-]){re.escape(stated)}(?![\w./-])", text))
        return text


def place_files(orders: Sequence[FileOrder], workdir: Path | None) -> Placement:
    """Copy every file to its place. Raises AdapterFailure: one is missing, too large, or can be written nowhere."""
    home = workdir if workdir is not None else Path.home()
    moved: dict[str, str] = {}
    for order in orders:
        staged, root = _waiting(order, workdir)
        place = _place(order, _read(order, staged), _candidates(order.target, root, home))
        if str(place) != order.target:
            moved[order.target] = str(place)
    return Placement(real=moved)


def in_machine(path: str, workdir: Path | None) -> tuple[Path, Path]:
    """A path of the machine as it is here, and the folder that stands for the machine's root."""
    inside = workdir / path.lstrip("/") if workdir is not None else None
    if workdir is not None and inside is not None and inside.exists():
        return inside, workdir
    return Path(path), Path("/")


def contents_to_mask(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, and what the secrets in it say that are files: whole and line by line, as servers quote them."""
    found = dict(environment)
    for name, value in environment.items():
        if name.startswith(SECRET_PREFIX):
            lines = _decoded(value).splitlines()
            found |= {f"{name}_SECRET_{number}": line for number, line in enumerate(lines) if _telling(line)}
    return found


def _telling(line: str) -> bool:
    return len(line.strip()) >= _SHORTEST_MASKED_LINE


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "replace")
    except binascii.Error:
        return ""


def _waiting(order: FileOrder, workdir: Path | None) -> tuple[Path, Path]:
    staged, root = in_machine(order.staged, workdir)
    if not staged.is_file():
        raise AdapterFailure(Cause.INSTALL_FAILED, f"the file {order.target} did not come with the machine")
    return staged, root


def _read(order: FileOrder, staged: Path) -> bytes:
    with staged.open("rb") as file:
        content = file.read(_LARGEST_FILE_BYTES + 1)
    if len(content) > _LARGEST_FILE_BYTES:
        text = f"the file {order.target} is larger than {_LARGEST_FILE_BYTES} bytes"
        raise AdapterFailure(Cause.INSTALL_FAILED, text)
    return content


def _candidates(target: str, root: Path, home: Path) -> list[Path]:
    """Where the file may lie, best first."""
    if target.startswith("~/"):
        return [home / target[2:]]
    return [root / target.lstrip("/"), home / _ELSEWHERE / target.lstrip("/")]


def _place(order: FileOrder, content: bytes, candidates: Sequence[Path]) -> Path:
    error: OSError | None = None
    for path in candidates:
        try:
            _write(path, content, order.mode)
        except OSError as refused:
            error = refused
        else:
            return path
    reason = error.strerror if error is not None else "there is no place"
    raise AdapterFailure(Cause.INSTALL_FAILED, f"the file {order.target} cannot be written: {reason}")


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable for longer or for more than its mode says."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    partial.chmod(mode)
    partial.replace(path)
