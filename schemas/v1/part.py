"""What all parts of a manifest share."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
