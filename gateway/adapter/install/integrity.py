"""That an installed package is the one that was locked, and not another one under the same version.

npm and uv verify what they download against what the registry says; a lock says what the registry said when a person
looked. npm keeps the digest that it verified in its lock file (npm documentation, "package-lock.json"), so that it is
compared there, before anything of the package has run. uv is handed the digests and refuses by itself.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.process import Finished
from gateway.adapter.package import PackageRef

_HIDDEN_LOCK = Path("node_modules", ".package-lock.json")
_UV_REFUSAL = "Hash mismatch"


def folder_part(digests: Sequence[str]) -> tuple[str, ...]:
    """What distinguishes the folder of a locked package: one that was installed without a lock proves nothing."""
    return (f"locked-{hashlib.sha256(' '.join(sorted(digests)).encode()).hexdigest()[:10]}",) if digests else ()


def verify_npm(folder: Path, package: PackageRef, digests: Sequence[str]) -> None:
    """Compare what npm verified with what is locked. Raises AdapterFailure."""
    if not digests:
        return
    verified = _verified_by_npm(folder, package.name)
    if verified is None or not _have_in_common(verified, digests):
        raise mismatch(package, f"npm verified {verified}" if verified else "npm does not say what it verified")


def mismatch(package: PackageRef, detail: str) -> AdapterFailure:
    """The failure of a package that is not the one that was locked."""
    return AdapterFailure(
        Cause.INTEGRITY_MISMATCH, f"{package} is not the one in catwalk.lock: {detail}; nothing of it was run"
    )


def pypi_requirement(name: str, version: str, digests: Sequence[str]) -> str:
    """A line of a requirements file with digests, in pip's and uv's form."""
    return " ".join([f"{name}=={version}", *(f"--hash={digest}" for digest in digests)])


def is_refusal_of_uv(finished: Finished) -> bool:
    """Whether uv refused a file whose digest is not among those that it was handed."""
    return _UV_REFUSAL in finished.text


def _have_in_common(verified: str, digests: Sequence[str]) -> bool:
    """An integrity text may hold several digests, separated by spaces."""
    return bool(set(verified.split()) & {word for digest in digests for word in digest.split()})


def _verified_by_npm(folder: Path, name: str) -> str | None:
    try:
        lock = json.loads((folder / _HIDDEN_LOCK).read_text(encoding="utf-8"))
        entry = cast(Mapping[str, object], lock["packages"][f"node_modules/{name}"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    integrity = entry.get("integrity")
    return integrity if isinstance(integrity, str) else None
