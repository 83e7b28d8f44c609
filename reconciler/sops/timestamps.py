"""Timestamps as Go reads and prints them: go-yaml's four spellings in, RFC 3339 with nanoseconds out.

The text of a timestamp enters the MAC, so the printed form must be Go's to the character: `time.Parse` accepts
one-digit months, days, hours, minutes and seconds, cuts fractions after nine digits, and prints an offset of zero as
`Z`. A date that does not exist is no timestamp (the YAML reader then sees a string, as go-yaml does).
"""

import calendar
import re
from datetime import UTC, datetime
from typing import Final

_DATE: Final = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
_CLOCK: Final = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2}):(?P<second>[0-9]{1,2})(?:[.,](?P<fraction>[0-9]+))?"
_ZONE: Final = r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})"

_YAML_FORMS: Final = (
    re.compile(f"{_DATE}[Tt]{_CLOCK}{_ZONE}"),
    re.compile(f"{_DATE} +{_CLOCK}"),
    re.compile(_DATE),
)
_RFC_3339: Final = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})T"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?" + _ZONE
)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC without a fraction, as the metadata has it; `moment` must be aware."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def yaml_timestamp(text: str) -> str | None:
    """The RFC 3339 form of a YAML timestamp; `None` where `text` is none (`2024-13-45`, `12:30:45`).

    Raises:
        ValueError: it is one for Go, but with an offset of a day or more, which Go cannot print.
    """
    for form in _YAML_FORMS:
        match = form.fullmatch(text)
        if match is not None and _exists(match):
            return _printed(match)
    return None


def rfc_3339(text: str, *, keep_fraction: bool) -> str:
    """`text` read as RFC 3339 and printed again; the AAD of the MAC is this form without the fraction.

    Raises:
        ValueError: `text` is no such timestamp.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None or not _exists(match):
        raise ValueError("not an RFC 3339 timestamp")
    return _printed(match, keep_fraction=keep_fraction)


def _exists(match: re.Match[str]) -> bool:
    parts = match.groupdict()
    year, month, day = int(parts["year"]), int(parts["month"]), int(parts["day"])
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return False
    clock = (int(parts.get("hour") or 0), int(parts.get("minute") or 0), int(parts.get("second") or 0))
    return clock[0] < 24 and clock[1] < 60 and clock[2] < 60 and _zone_exists(parts.get("zone") or "Z")


def _zone_exists(zone: str) -> bool:
    # Go lets 24 hours and 60 minutes pass here on purpose.
    return zone == "Z" or (int(zone[1:3]) <= 24 and int(zone[4:6]) <= 60)


def _printed(match: re.Match[str], *, keep_fraction: bool = True) -> str:
    parts = match.groupdict()
    date = f"{parts['year']}-{int(parts['month']):02}-{int(parts['day']):02}"
    clock = ":".join(f"{int(parts.get(name) or 0):02}" for name in ("hour", "minute", "second"))
    fraction = (parts.get("fraction") or "")[:9].rstrip("0") if keep_fraction else ""
    return f"{date}T{clock}{'.' + fraction if fraction else ''}{_printed_zone(parts.get('zone') or 'Z')}"


def _printed_zone(zone: str) -> str:
    if zone == "Z":
        return zone
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    if minutes >= 24 * 60:
        raise ValueError("the time zone offset is a day or more")
    return f"{zone[0]}{minutes // 60:02}:{minutes % 60:02}" if minutes else "Z"
