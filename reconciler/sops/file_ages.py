"""Whether a secret file went back in time while this process was running.

An old version of a file verifies as well as the newest, so that whoever can push can put a replaced secret in force
again. The newest `lastmodified` of every file is remembered, and an older one is told once; it is used all the same,
because reverting a commit is a right of people too. `catwalk secrets lint` looks through the history of the repository.
"""

from datetime import datetime

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger("catwalk.sops")


class FileAges:
    """The times of the files that were opened. Calls may come from several threads: the worst is a second line."""

    def __init__(self) -> None:
        self._newest: dict[str, datetime] = {}
        self._told: dict[str, str] = {}

    def note(self, file: str, last_modified: str) -> bool:
        """Remembers the time of a file; whether it is older than one that was there before."""
        moment = datetime.fromisoformat(last_modified)
        newest = self._newest.setdefault(file, moment)
        if moment >= newest:
            self._newest[file] = moment
            self._told.pop(file, None)
            return False
        if self._told.get(file) != last_modified:
            self._told[file] = last_modified
            log.warning("secret_rolled_back", file=file, last_modified=last_modified, newest=newest.isoformat())
        return True
