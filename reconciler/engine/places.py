"""The regions of the platform, and which of them a call means.

Every region is this computer. They are checked all the same, because a region that does not exist is refused by Fly and
would otherwise be found out there.
"""

from collections.abc import Mapping

from reconciler.engine.refusals import Refusal, invalid

REGIONS: Mapping[str, tuple[str, float, float]] = {
    "ams": ("Amsterdam, Netherlands", 52.3740, 4.8897),
    "arn": ("Stockholm, Sweden", 59.6512, 17.9178),
    "bom": ("Mumbai, India", 19.0976, 72.8745),
    "cdg": ("Paris, France", 48.8601, 2.3504),
    "dfw": ("Dallas, Texas (US)", 32.7788, -96.7781),
    "ewr": ("Secaucus, NJ (US)", 40.7897, -74.0565),
    "fra": ("Frankfurt, Germany", 50.1109, 8.6821),
    "gru": ("Sao Paulo, Brazil", -23.5488, -46.6374),
    "iad": ("Ashburn, Virginia (US)", 39.0438, -77.4874),
    "jnb": ("Johannesburg, South Africa", -26.1333, 28.2333),
    "lax": ("Los Angeles, California (US)", 33.9416, -118.4085),
    "lhr": ("London, United Kingdom", 51.5161, -0.0949),
    "nrt": ("Tokyo, Japan", 35.6762, 139.6503),
    "ord": ("Chicago, Illinois (US)", 41.8919, -87.6051),
    "sin": ("Singapore, Singapore", 1.3520, 103.8198),
    "sjc": ("San Jose, California (US)", 37.3382, -121.8863),
    "syd": ("Sydney, Australia", -33.8688, 151.2093),
    "yyz": ("Toronto, Canada", 43.6532, -79.3832),
}
"""Fly's eighteen regions by code: name, latitude, longitude (Fly docs, "Regions")."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "apac": ("bom", "nrt", "sin", "syd"),
    "eu": ("ams", "arn", "cdg", "fra", "lhr"),
    "na": ("dfw", "ewr", "iad", "lax", "ord", "sjc", "yyz"),
    "sa": ("gru",),
    "us": ("dfw", "ewr", "iad", "lax", "ord", "sjc"),
    "usa": ("dfw", "ewr", "iad", "lax", "ord", "sjc"),
}
"""Fly's aliases with its regions; Fly documents the names, not the members."""
ANYWHERE = "any"


def target(wanted: str, *, own: str) -> str:
    """The region of a new machine or volume: the first of a list, or the first of the group that an alias names.

    Args:
        wanted: a code, an alias, or a comma list of them, in the order of preference.
        own: the engine's own region, which need not be one of the platform's.

    Raises:
        Refusal: 400, the first entry is no region. Fly looks no further either.
    """
    first = wanted.partition(",")[0].strip().lower()
    if first == ANYWHERE:
        return own
    code = GROUPS.get(first, (first,))[0]
    if code != own and code not in REGIONS:
        raise unknown(first)
    return code


def unknown(region: str) -> Refusal:
    return invalid(f"target region {region} not found")
