"""The files of a machine's configuration, and what the adapter is told about them.

Fly writes files as root before the image's own user runs anything, and the embedded engine has no root at all. So what
the adapter is to place waits in a folder of Catwalk's own, readable, and the adapter copies it to where the server
expects it, with the mode that the manifest states. A container image has no adapter: its files go straight to their
places.
"""

import base64
from collections.abc import Iterator
from typing import Final

from reconciler.core.digests import JSON
from reconciler.core.programs import FolderProgram, PlacedFile
from reconciler.core.types import ServerSpec

STAGED_FOLDER: Final = "/.catwalk/files"
ARCHIVE_PATH: Final = "/.catwalk/source.tar.gz"
_READABLE: Final = 0o444


def adapter_files(spec: ServerSpec) -> list[JSON]:
    """`config.files` of a machine that runs the adapter."""
    found: list[JSON] = []
    if isinstance(spec.package, FolderProgram):
        found.append({"guest_path": ARCHIVE_PATH, "raw_value": spec.package.archive, "mode": _READABLE})
    for number, file in enumerate(spec.files):
        found.append({"guest_path": f"{STAGED_FOLDER}/{number}", **_content(file), "mode": _READABLE})
    return found


def image_files(spec: ServerSpec) -> list[JSON]:
    """`config.files` of a machine that runs an image of its own."""
    return [{"guest_path": file.path, **_content(file), "mode": file.mode} for file in spec.files]


def file_options(spec: ServerSpec) -> Iterator[str]:
    """The adapter's options: where each file goes, its mode, where it waits."""
    for number, file in enumerate(spec.files):
        yield from ("--file", file.path, f"{file.mode:04o}", f"{STAGED_FOLDER}/{number}")


def _content(file: PlacedFile) -> dict[str, JSON]:
    if file.secret:
        return {"secret_name": file.app_secret}
    return {"raw_value": base64.standard_b64encode(file.content.encode("utf-8")).decode("ascii")}
