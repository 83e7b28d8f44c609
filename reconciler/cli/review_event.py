"""What GitHub says about the run: which pull request, which commit, which repository."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from reconciler.core.types import Revision

LARGEST_EVENT_BYTES: Final = 32 * 1024 * 1024
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A commit that somebody proposes."""

    revision: Revision
    repository: str
    """`OWNER/NAME` of the repository that the workflow belongs to; empty where GitHub does not say."""
    pull_request: int = 0
    """0 for none, such as in a merge queue."""


def proposed(environment: Mapping[str, str]) -> Proposed:
    """What the event is about. Whatever is missing or malformed is left out, because a review works without."""
    event = _event(environment.get("GITHUB_EVENT_PATH", ""))
    pull = _member(event, "pull_request")
    number = pull.get("number")
    commit = str(_member(pull, "head").get("sha") or environment.get("GITHUB_SHA", ""))
    repository = environment.get("GITHUB_REPOSITORY", "")
    return Proposed(
        revision=Revision(commit=commit if _COMMIT.fullmatch(commit) else "0" * 40, branch="", source=""),
        repository=repository if _REPOSITORY.fullmatch(repository) else "",
        pull_request=number if isinstance(number, int) and number > 0 else 0,
    )


def _event(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            read: object = json.loads(file.read(LARGEST_EVENT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", read) if isinstance(read, dict) else {}


def _member(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
