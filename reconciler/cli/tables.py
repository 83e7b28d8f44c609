"""Where tables are printed: in a terminal as wide as it is, elsewhere as wide as they are.

A pipe has no width. Cells that are folded for one would tear names and addresses apart that somebody searches for.
"""

from typing import Final

from rich.console import Console

UNFOLDED_COLUMNS: Final = 400


def table_console() -> Console:
    """The console for a table on standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=UNFOLDED_COLUMNS)
