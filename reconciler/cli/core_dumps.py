"""No core dumps: the memory of this process holds secrets in plain text, and a dump would write them to a disk.

The limit is that of the process and of all that it starts: the machines of the embedded engine have secrets in their
environment.
"""

from contextlib import suppress

try:
    import resource
except ImportError:  # pragma: no cover - There are no such limits, and no such dumps, on Windows.
    resource = None  # type: ignore[assignment]  # Looked at below.


def forbid_core_dumps() -> None:
    """Sets both limits of the size of a core file to nothing; where the system refuses, things stay as they are."""
    if resource is not None:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
