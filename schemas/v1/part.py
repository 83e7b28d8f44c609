"""What all parts of a manifest share."""

from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

InputT = TypeVar("InputT")


def _refuse_null(value: InputT) -> InputT:
    if value is None:
        raise PydanticCustomError(
            "empty-value", "{text}", {"text": "has no value", "hint": "give it one, or remove the key"}
        )
    return value


NotNull = BeforeValidator(_refuse_null)
"""For a field that may be left out and then is None: a person who writes the key must give it a value."""


def without_null(schema: dict[str, Any]) -> None:
    """Publishes such a field as what it must be where it is written."""
    del schema["default"]
    (wanted,) = (choice for choice in schema.pop("anyOf") if choice != {"type": "null"})
    schema.update(wanted)


def without_default(schema: dict[str, Any]) -> None:
    """Leaves the inner default out of the published schema: there it would break the field's own pattern."""
    del schema["default"]


class Part(BaseModel):
    """Nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
