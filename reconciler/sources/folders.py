"""Which folders of a repository are the source of servers, and how much of them is read.

A server with `directory` runs what lies in that folder at the revision, so its files belong to the desired state like
the manifest does. Everything else in the repository stays unread. What package managers and interpreters leave behind
is never part of a source.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reconciler.errors import InvalidManifests, SourceError
from reconciler.sources.layout import IGNORED_FOLDERS, environment_of_file, is_manifest
from reconciler.sources.yaml_nodes import read_document
from schemas.v1.programs import FOLDER_PATTERN

LARGEST_FOLDER_BYTES: Final = 4 * 1024 * 1024
"""Of all files of one source folder together, unpacked."""
MOST_FOLDER_FILES: Final = 2_000
LEFT_OUT: Final = IGNORED_FOLDERS | {
    ".env",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "__pycache__",
    "node_modules",
    "venv",
}
"""Names of files and folders that are never part of a source, at any depth."""


def source_folders(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The folders that the manifests among `files` name, relative to the followed directory, sorted.

    A manifest that cannot be read names none: the manifest reader says what is wrong with it.
    """
    return tuple(sorted({folder for path in files if _states_servers(path) for folder in _named(path, files[path])}))


def _states_servers(path: str) -> bool:
    return is_manifest(path) or bool(environment_of_file(path))


def folder_path(manifest: str, directory: str) -> str:
    """The folder that a manifest means, relative to the followed directory."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(manifest), directory))


def in_folder(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What lies in a folder, by path relative to it."""
    prefix = f"{folder}/"
    found = ((path.removeprefix(prefix), content) for path, content in files.items() if path.startswith(prefix))
    return {path: content for path, content in found if not is_left_out(path)}


def is_left_out(path: str) -> bool:
    """Whether a path inside a source folder is no source."""
    return any(part in LEFT_OUT for part in path.split("/"))


def refuse_large_folder(folder: str, sizes_bytes: Iterable[int]) -> None:
    """Refuses a source folder above the limits before it is read.

    Raises:
        SourceError: it holds too many files, or too much.
    """
    sizes = list(sizes_bytes)
    if len(sizes) > MOST_FOLDER_FILES or sum(sizes) > LARGEST_FOLDER_BYTES:
        raise SourceError(
            "directory-too-large",
            f"{folder} holds {len(sizes)} files of {sum(sizes)} bytes together; at most {MOST_FOLDER_FILES} files of "
            f"{LARGEST_FOLDER_BYTES} bytes are read",
            hint="remove what the server does not need, or publish it as a package or in a repository of its own",
        )


def _named(path: str, content: bytes) -> Iterator[str]:
    if b"directory" not in content:
        return  # Most manifests name no folder, and need not be read twice.
    try:
        data = read_document(path, bytes(content)).data
    except InvalidManifests:
        return
    servers = data.get("servers") if isinstance(data, dict) else None
    for server in servers.values() if isinstance(servers, dict) else ():
        directory = server.get("directory") if isinstance(server, dict) else None
        if isinstance(directory, str) and re.fullmatch(FOLDER_PATTERN, directory):
            yield folder_path(path, directory)
