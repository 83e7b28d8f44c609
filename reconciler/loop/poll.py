"""Asks the source for its newest revision, and wakes the loop when the answer is another one than before.

It compares, it does not read: a poll of an unchanged source costs one `head()`. That a source stopped answering is a
change too, told once, because a fleet that no longer follows its repository must say so.
"""

from typing import Final

from reconciler.core.types import Revision, Trigger
from reconciler.errors import CatwalkError
from reconciler.loop.ports import Source
from reconciler.loop.queue import WakeQueue

UNKNOWN: Final = ""


class SourcePoll:
    """Remembers the last answer of a source."""

    def __init__(self, source: Source, queue: WakeQueue) -> None:
        self._source = source
        self._queue = queue
        self._last: str | None = None

    def begin(self, revision: Revision | None) -> None:
        """Starts from the revision that the first pass looked at; later calls change nothing.

        Without it a commit that arrives between the first pass and the first poll would be taken for the old one.
        """
        if self._last is None:
            self._last = revision.commit if revision is not None else UNKNOWN

    async def look(self) -> None:
        """Asks once. Failures are answers, and are explained by the pass that they wake."""
        if self._last is None:
            return
        try:
            answer = (await self._source.head()).commit
        except CatwalkError as error:
            answer = f"problem: {error.problem.code}"
        if answer != self._last:
            self._last = answer
            self._queue.wake(Trigger.COMMIT)
