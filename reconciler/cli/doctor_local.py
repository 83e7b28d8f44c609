"""What `catwalk doctor` looks at on this machine: programs, manifests, keys, and the place of the state."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reconciler.cli.doctor_report import Checked, Health, absent, failed, good
from reconciler.cli.place import find_place, running_endpoint
from reconciler.cli.secrets_doctor import check_fleet
from reconciler.cli.secrets_fleet import FleetFiles
from reconciler.errors import CatwalkError, InvalidManifests
from reconciler.settings import Settings
from reconciler.sops.identities import load_identities
from reconciler.sops.services.configured import key_environment

_PROGRAM_TIMEOUT_S: Final = 10


def check_programs() -> Iterator[Checked]:
    """Python, and the programs that servers and keys may need. None of them is needed to start."""
    yield good("Python", platform.python_version())
    yield _program("git", "needed for servers with a `git` source", "install git")
    yield _program("node", "Node.js is fetched from PyPI when a server needs it")
    yield _program("uv", "comes with Catwalk's own environment", "install uv, which installs PyPI servers")


def check_fleet_files(fleet: FleetFiles) -> Iterator[Checked]:
    """The manifests, as they lie in the directory."""
    try:
        manifests = fleet.manifests()
    except InvalidManifests as error:
        yield from (failed("manifests", problem) for problem in error.problems)
        return
    count = len(manifests.specs)
    yield good("manifests", f"fleet {manifests.fleet}, {count} server{'' if count == 1 else 's'}")


def check_keys(fleet: FleetFiles, settings: Settings) -> Iterator[Checked]:
    """Whether the keys of this person open what is encrypted."""
    try:
        identities = load_identities(key_environment(settings.key_environment or {}))
    except CatwalkError as error:
        yield failed("keys", error.problem)
        return
    files = check_fleet(fleet, identities)
    closed = [each for each in files if not each.well]
    if not files:
        yield absent("keys", "nothing is encrypted here") if not identities.keys else _count(len(identities.keys))
        return
    yield from (failed("keys", problem) for each in closed for problem in each.problems)
    if not closed:
        yield good("keys", f"all {len(files)} encrypted files open")


def check_state(directory: Path, settings: Settings) -> Iterator[Checked]:
    """Whether Catwalk can remember here, and whether it runs here now."""
    place = find_place(directory, settings)
    existing = next(folder for folder in (place.state_dir, *place.state_dir.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        found, fix = f"{existing} cannot be written", "set CATWALK_STATE_DIR to a directory that can"
        yield Checked(subject="state", health=Health.BAD, found=found, fix=fix)
    else:
        yield good("state", str(place.state_dir))
    endpoint = running_endpoint(place)
    yield good("running", endpoint.gateway_url) if endpoint else absent("running", "nothing runs for this directory")


def _count(keys: int) -> Checked:
    return good("keys", f"{keys} key{'' if keys == 1 else 's'}, and nothing is encrypted yet")


def _program(name: str, without: str, fix: str = "") -> Checked:
    path = shutil.which(name)
    if path is None:
        return absent(name, f"not on PATH; {without}", fix)
    return good(name, _version(path))


def _version(path: str) -> str:
    try:
        shown = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return f"{path}, which does not tell its version"
    return shown.stdout.strip().splitlines()[0][:80] if shown.stdout.strip() else path
