"""Which files of a repository belong to the desired state, and how much of them is read.

Manifests are the files named `catwalk.yaml` anywhere below the followed directory. Secret files are what lies in
`secrets/` beside a manifest and ends in `.sops.yaml`; a lock is the `catwalk.lock` beside one. For an environment such
as staging there are `catwalk.staging.yaml`, `catwalk.staging.lock` and `secrets.staging/`. Nothing else is ever read,
so a large repository costs no more than a small one, and no limit can be passed by accident.
"""

import posixpath
import re
from collections.abc import Collection, Iterable
from typing import Final

from reconciler.errors import SourceError

MANIFEST_NAME: Final = "catwalk.yaml"
LOCK_NAME: Final = "catwalk.lock"
SECRETS_FOLDER: Final = "secrets"
ENCRYPTED_SUFFIX: Final = ".sops.yaml"

_STEM: Final = MANIFEST_NAME.removesuffix(".yaml")
_OVERLAY: Final = re.compile(rf"{re.escape(_STEM)}\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)\.yaml")
"""The letters of the name of a fleet, of which an environment usually is a part."""
_LOCK: Final = re.compile(rf"{re.escape(_STEM)}(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)?\.lock")

LARGEST_FILE_BYTES: Final = 1024 * 1024
MOST_MANIFESTS: Final = 1_000
MOST_SECRET_FILES: Final = 10_000
IGNORED_FOLDERS: Final = frozenset({".git", ".catwalk"})
"""Git's own folder and the default state directory. They are never part of the desired state."""


def is_candidate(path: str) -> bool:
    """Whether a file may belong to the desired state; all others also need a manifest beside them."""
    return is_manifest(path) or bool(environment_of_file(path)) or is_lock(path) or is_secret_file(path)


def is_lock(path: str) -> bool:
    """Whether the file is a lock by its name."""
    return bool(_LOCK.fullmatch(posixpath.basename(path)))


def is_secret_file(path: str) -> bool:
    """Whether the file may hold one secret, by its name and place."""
    folders = path.split("/")[:-1]
    return path.endswith(ENCRYPTED_SUFFIX) and any(folder.partition(".")[0] == SECRETS_FOLDER for folder in folders)


def environment_of_file(path: str) -> str:
    """The environment whose overlay the file is by its name; empty for any other file."""
    found = _OVERLAY.fullmatch(posixpath.basename(path))
    return found[1] if found else ""


def overlay_file(manifest: str, environment: str) -> str:
    """The overlay of a manifest for an environment, whether there is one or not."""
    return posixpath.join(posixpath.dirname(manifest), f"{_STEM}.{environment}.yaml")


def lock_file(manifest: str, environment: str = "") -> str:
    """The lock that belongs to a manifest or one of its overlays, whether there is one or not."""
    name = f"{_STEM}.{environment}.lock" if environment else LOCK_NAME
    return posixpath.join(posixpath.dirname(manifest), name)


def manifest_beside(path: str) -> str:
    """The manifest in the folder of an overlay, a lock or a manifest itself."""
    return posixpath.join(posixpath.dirname(path), MANIFEST_NAME)


def is_manifest(path: str) -> bool:
    """Whether the file is a manifest by its name."""
    return posixpath.basename(path) == MANIFEST_NAME


def secret_file(manifest: str, server: str, name: str, *, environment: str = "") -> str:
    """The file of one secret of one server, beside its manifest; of its own for an environment."""
    folder = f"{SECRETS_FOLDER}.{environment}" if environment else SECRETS_FOLDER
    return posixpath.join(posixpath.dirname(manifest), folder, server, name + ENCRYPTED_SUFFIX)


def select(candidates: Iterable[str]) -> tuple[str, ...]:
    """The files that belong to the desired state, sorted.

    Raises:
        SourceError: there are more of them than Catwalk reads.
    """
    paths = sorted(candidates)
    manifests = [path for path in paths if is_manifest(path)]
    overlays = [path for path in paths if environment_of_file(path)]
    folders = {posixpath.join(posixpath.dirname(path), SECRETS_FOLDER) for path in manifests}
    folders |= {
        posixpath.join(posixpath.dirname(path), f"{SECRETS_FOLDER}.{environment_of_file(path)}") for path in overlays
    }
    beside = frozenset(manifests)
    locks = [path for path in paths if is_lock(path) and manifest_beside(path) in beside]
    secrets = [path for path in paths if is_secret_file(path) and _lies_below(path, folders)]
    _refuse_more_than(MOST_MANIFESTS, [*manifests, *overlays], "manifests")
    _refuse_more_than(MOST_SECRET_FILES, secrets, "secret files")
    return (*manifests, *overlays, *locks, *secrets)


def _lies_below(path: str, folders: Collection[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:length]) in folders for length in range(1, len(parts)))


def _refuse_more_than(most: int, paths: list[str], kind: str) -> None:
    if len(paths) > most:
        raise SourceError(
            "too-many-files",
            f"there are {len(paths)} {kind}; at most {most} are read",
            hint="follow a directory of the repository that holds fewer, or put several servers into one manifest",
        )


def refuse_large(path: str, size_bytes: int) -> None:
    """Refuses a file above the limit before it is read.

    Raises:
        SourceError: it is larger than 1 MiB.
    """
    if size_bytes > LARGEST_FILE_BYTES:
        raise SourceError(
            "file-too-large",
            f"{path} has {size_bytes} bytes; at most {LARGEST_FILE_BYTES} are read",
            hint="split the manifest into several `catwalk.yaml` files in folders of their own",
        )


def refuse_link(path: str, *, is_link: bool) -> None:
    """Refuses a symbolic link in place of a file: it could point anywhere on this machine.

    Raises:
        SourceError: it is one.
    """
    if is_link:
        raise SourceError("symbolic-link", f"{path} is a symbolic link, which is never followed", hint="commit a file")
