"""Unpack the archive of a folder that came with the machine.

Its content is the repository's of whoever runs the fleet, and still nothing in it may leave the folder, be a device, or
fill the disk: tarfile's `data` filter refuses the first two (PEP 706), the limits the last.
"""

import tarfile
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause

LARGEST_BYTES = 64 * 1024 * 1024
MOST_FILES = 10_000


def unpack(archive: Path, folder: Path) -> None:
    """Everything in the archive into the folder. Raises AdapterFailure."""
    try:
        with tarfile.open(archive, mode="r:gz") as packed:
            members = packed.getmembers()
            if len(members) > MOST_FILES or sum(member.size for member in members) > LARGEST_BYTES:
                raise AdapterFailure(Cause.INSTALL_FAILED, "the folder of the server is too large to unpack")
            packed.extractall(folder, members, filter="data")
    except (OSError, EOFError, tarfile.TarError) as error:
        raise AdapterFailure(Cause.INSTALL_FAILED, f"the folder of the server cannot be unpacked: {error}") from error
