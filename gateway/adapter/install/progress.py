"""How far an installation is, in one line for `/health`: the step, and what the installer counted in it so far.

Installing is the longest part of a first start, and a machine that says nothing for a minute looks like one that hangs.
"""

import re
from collections.abc import Callable

_COUNTS = re.compile(
    r"(?:Resolved|Prepared|Installed|Downloading|Building|Using) \S.*|(?:added|changed) \d+ packages?.*"
)
"""What uv and npm say of their work. Everything else that they write stands in the log alone."""
_LONGEST_LINE = 200


class Progress:
    """See the module. `tell` gets every new line; whatever was a credential must be masked by it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._step = ""

    def begin(self, step: str) -> None:
        """The next step, such as `installing npm:x@1.0.0`."""
        self._step = step
        self._tell(step)

    def heard(self, line: str) -> None:
        """A line of an installer."""
        if _COUNTS.fullmatch(line):
            self._tell(f"{self._step}: {line[:_LONGEST_LINE]}")
