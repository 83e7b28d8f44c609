"""Times as the store writes them."""

from datetime import UTC, datetime


def time_text(time: datetime) -> str:
    """ISO 8601 in UTC with microseconds always, so that text sorts as time does."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
