"""Publication dates of releases and the date as of which their dependencies are resolved.

A package pinned long ago often names its dependencies without an upper bound, and their newest releases no longer fit.
Resolving as of the day after publication gives what its author tested; `latest` and an explicit date override that.
"""

from datetime import UTC, datetime, timedelta

from gateway.adapter.options import LATEST, PUBLISHED

_MARGIN = timedelta(days=1)


def resolve_date(wanted: str, published: str | None) -> str | None:
    """The RFC 3339 instant for the installer, None for no limit; `published` is the registry's own timestamp."""
    if wanted == LATEST:
        return None
    if wanted != PUBLISHED:
        return wanted if "T" in wanted else f"{wanted}T00:00:00Z"
    moment = parse_instant(published)
    return None if moment is None else (moment + _MARGIN).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_of_hint(date: str | None) -> str:
    """What to add to a failed installation that was limited to a date."""
    return f" as of {date} (resolve_as_of chooses another date)" if date else ""


def parse_instant(text: str | None) -> datetime | None:
    """Read a registry's timestamp; None for a missing or unreadable one, which some private registries have."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
