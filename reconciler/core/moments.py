"""Timestamps as registries write them."""

from datetime import UTC, datetime


def moment_of(text: object) -> datetime | None:
    """An ISO 8601 timestamp in UTC; None for a missing or unreadable one, which private registries have."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
