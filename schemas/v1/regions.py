"""The regions of Fly, by code. A region that is not here is warned about and not refused: Fly opens new ones.

Source: Fly's regions as of September 2026, 18 of them (docs: regions; the Machines API answers them at
`/platform/regions`).
"""

from difflib import get_close_matches
from typing import Final

REGIONS: Final = {
    "ams": "Amsterdam",
    "arn": "Stockholm",
    "bom": "Mumbai",
    "cdg": "Paris",
    "dfw": "Dallas",
    "ewr": "Secaucus",
    "fra": "Frankfurt",
    "gru": "Sao Paulo",
    "iad": "Ashburn, Virginia",
    "jnb": "Johannesburg",
    "lax": "Los Angeles",
    "lhr": "London",
    "nrt": "Tokyo",
    "ord": "Chicago",
    "sin": "Singapore",
    "sjc": "San Jose",
    "syd": "Sydney",
    "yyz": "Toronto",
}
_CLOSED: Final = {
    "atl": "iad",
    "bog": "gru",
    "bos": "ewr",
    "den": "dfw",
    "eze": "gru",
    "gdl": "dfw",
    "gig": "gru",
    "hkg": "sin",
    "mad": "cdg",
    "mia": "iad",
    "otp": "fra",
    "phx": "lax",
    "qro": "dfw",
    "scl": "gru",
    "sea": "sjc",
    "waw": "fra",
    "yul": "yyz",
}
"""Regions that Fly had once, and which of today's is near."""


def near_region(region: str) -> str:
    """The region to write in place of one that is not known; empty where none is near it."""
    if region in _CLOSED:
        return _CLOSED[region]
    near = get_close_matches(region, REGIONS, n=1)
    return near[0] if near else ""
