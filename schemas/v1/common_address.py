"""The common address of all servers of a fleet, `/mcp`."""

from typing import Literal

from pydantic import Field

from schemas.v1.part import Part

NamePrefix = Literal["always", "unless-alone"]


class Aggregate(Part):
    """What all servers look like at the one address `/mcp`."""

    prefix: NamePrefix = Field(
        default="always",
        title="Prefix",
        description="When tools and prompts are named after their server (`github__get_issue`): `always`, or "
        "`unless-alone`, where a caller who may use exactly one server sees its names as they are.",
        examples=["unless-alone"],
    )
