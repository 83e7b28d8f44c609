"""Go durations (`15s`, `1m30s`, `500ms`), the form of every time span in a machine's configuration.

The Machines API also reads a bare integer as nanoseconds, because that is what Go's `time.Duration` is.
"""

import re

UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")


def seconds(text: str) -> float:
    """The span in seconds.

    Raises:
        ValueError: the text is no duration.
    """
    if text == "0":
        return 0.0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f'time: invalid duration "{text}"')
    return sum(float(number) * UNITS_S[unit] for number, unit in _PART.findall(text))


def normalised(value: object) -> object:
    """A JSON value as the API stores it: integers are nanoseconds and become text; anything else stays as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        whole, rest = divmod(value, 1_000_000_000)
        return f"{whole}s" if not rest else f"{value / 1e9:.9f}".rstrip("0") + "s"
    return value
