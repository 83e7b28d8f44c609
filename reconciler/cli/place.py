"""Where a fleet lives on this machine: its directory, its state, and the process that runs it if there is one.

State stays beside what it describes, in `.catwalk`, which ignores itself in git. A running `catwalk up` or `catwalk
serve` leaves an endpoint file there, readable by its owner alone, by which the other commands find it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from reconciler.errors import EnvironmentFault
from reconciler.settings import Settings

STATE_FOLDER: Final = ".catwalk"
ENDPOINT_FILE: Final = "endpoint.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A followed directory and the state that belongs to it."""

    directory: Path
    state_dir: Path

    @property
    def engine_dir(self) -> Path:
        return self.state_dir / "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to reach a running `catwalk up` or `catwalk serve`. Its tokens open doors, so the file is private."""

    pid: int
    gateway_url: str
    engine_url: str = ""
    """Of the embedded engine; empty where the machines are on Fly."""
    engine_token: str = field(default="", repr=False)
    proxy_port: int = 0
    local_token: str = field(default="", repr=False)
    """Opens the dashboard's API to whoever may read this file; empty where it is open to all of this machine."""


def with_dotenv(directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, completed from a `.env` in the directory as compose tools do: what is set already wins."""
    try:
        found = dotenv_values(directory / ".env", interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault("unreadable-dotenv", f"{directory / '.env'} cannot be read: {error}") from error
    return {**{name: value for name, value in found.items() if value is not None}, **environment}


def find_place(directory: Path, settings: Settings) -> Place:
    """The place of a fleet; creates nothing. An environment has state of its own.

    Raises:
        EnvironmentFault: the directory does not exist.
    """
    if not directory.is_dir():
        raise EnvironmentFault(
            "no-such-directory", f"{directory} is no directory", hint="name the directory that holds catwalk.yaml"
        )
    own = directory / STATE_FOLDER / settings.environment
    return Place(directory=directory.resolve(), state_dir=(settings.state_dir or own).resolve())


def make_state(place: Place) -> None:
    """Creates the state directory, private to its owner and invisible to git.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    try:
        place.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place.state_dir / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            "state-not-writable",
            f"the state directory {place.state_dir} cannot be written: {error.strerror}",
            hint="set CATWALK_STATE_DIR to a directory that can",
        ) from error


def write_endpoint(place: Place, endpoint: Endpoint) -> None:
    """Announces a running process; whole or not at all."""
    target = place.state_dir / ENDPOINT_FILE
    temporary = target.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(endpoint), file)
    temporary.replace(target)


def remove_endpoint(place: Place) -> None:
    (place.state_dir / ENDPOINT_FILE).unlink(missing_ok=True)


def running_endpoint(place: Place) -> Endpoint | None:
    """The endpoint of the process that runs here now; none when there is none, or when it died without a word."""
    try:
        endpoint = Endpoint(**json.loads((place.state_dir / ENDPOINT_FILE).read_text(encoding="utf-8")))
        os.kill(endpoint.pid, 0)
    except (FileNotFoundError, ProcessLookupError, ValueError, TypeError):
        return None
    except PermissionError:
        # The process lives, under another user.
        return None
    return endpoint
