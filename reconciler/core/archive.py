"""A folder as one text that a machine's configuration can carry, the same for the same content.

A machine has no way to the repository that its manifest stands in, and must not get one: so a server whose source lives
there brings it along. Names are sorted, times and owners are left out, and a file that begins with `#!` may be
executed, because a checkout on another system forgets that.
"""

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from typing import Final

LARGEST_ARCHIVE_BYTES: Final = 256 * 1024
"""Of the packed folder. Fly keeps the configuration of every machine and answers with it, so it must stay small."""
_EXECUTABLE: Final = 0o755
_PLAIN: Final = 0o644


def folder_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, in hexadecimal."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{len(path)}:{path}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def packed(files: Mapping[str, bytes]) -> bytes:
    """A gzipped tar archive (POSIX.1-2001) of the files."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = _EXECUTABLE if content.startswith(b"#!") else _PLAIN
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), compresslevel=9, mtime=0)


def packed_text(files: Mapping[str, bytes]) -> str:
    """The archive in Base64, as the Machines API takes the content of a file."""
    return base64.standard_b64encode(packed(files)).decode("ascii")
