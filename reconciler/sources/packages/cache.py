"""What registries answered, kept on disk between commands: facts with their ETag and their age.

A page of a registry can have megabytes, so what was read out of it is kept, never the page. Answers are used without a
question while they are fresh (`Cache-Control: max-age`, RFC 9111, within bounds), then asked for by ETag, and still
used when the registry is down. A cache that cannot be read or written costs time and nothing else. Credentials are
part of no entry: they neither stand in it nor name it.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, cast

from reconciler.core.digests import JSON

FRESH_FOR: Final = timedelta(minutes=5)
"""How long an answer counts that does not say it itself."""
LONGEST_FRESH: Final = timedelta(hours=1)
FOREVER: Final = timedelta(days=3650)
"""For what cannot change: the content of a file that is named by its digest."""
MOST_ENTRIES: Final = 8_192
FORM: Final = 1
"""Part of every name: an entry of another form is not found."""
_MAX_AGE: Final = re.compile(r"max-age=(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One answer."""

    facts: JSON
    etag: str = ""
    fresh: bool = False


class AnswerCache:
    """The answers of one user of this machine. `folder` None keeps nothing."""

    def __init__(self, folder: Path | None, now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._now = now

    def get(self, *key: str) -> Kept | None:
        """What was kept under a key; none where nothing usable is."""
        if self._folder is None:
            return None
        try:
            with self._file(self._folder, key).open(encoding="utf-8") as file:
                entry = cast("dict[str, JSON]", json.load(file))
            fresh_until = datetime.fromisoformat(str(entry["fresh_until"]))
            return Kept(facts=entry["facts"], etag=str(entry["etag"]), fresh=self._now() < fresh_until)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, *key: str, facts: JSON, etag: str = "", fresh_for: timedelta) -> None:
        """Keeps an answer; it appears whole or not at all."""
        if self._folder is None:
            return
        entry = {"facts": facts, "etag": etag, "fresh_until": (self._now() + fresh_for).isoformat()}
        with suppress(OSError):
            self._write(self._file(self._folder, key), json.dumps(entry, separators=(",", ":")))

    def tidy(self) -> None:
        """Removes the older half when there are too many, so that years of use do not fill a disk."""
        if self._folder is None:
            return
        with suppress(OSError):
            files = [entry for entry in os.scandir(self._folder) if entry.name.endswith(".json")]
            if len(files) > MOST_ENTRIES:
                for entry in sorted(files, key=lambda file: file.stat().st_mtime)[: MOST_ENTRIES // 2]:
                    Path(entry.path).unlink(missing_ok=True)

    def _file(self, folder: Path, key: tuple[str, ...]) -> Path:
        return folder / f"{hashlib.sha256(chr(0).join((str(FORM), *key)).encode()).hexdigest()[:40]}.json"

    def _write(self, file: Path, text: str) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".partial")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as partial:
                partial.write(text)
            Path(name).replace(file)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where answers are kept (XDG Base Directory Specification); none without a home."""
    base, home = environment.get("XDG_CACHE_HOME"), environment.get("HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "catwalk" / "registries"
    return Path(home) / ".cache" / "catwalk" / "registries" if home else None


def fresh_for(cache_control: str) -> timedelta | None:
    """How long an answer may be used without asking again; none where it may not be kept at all."""
    directives = cache_control.lower()
    if "no-store" in directives:
        return None
    if "no-cache" in directives:
        return timedelta()
    age = _MAX_AGE.search(directives)
    return min(timedelta(seconds=int(age[1])), LONGEST_FRESH) if age else FRESH_FOR
