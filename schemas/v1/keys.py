"""Which keys a place in the manifest allows, for diagnostics that suggest the near one."""

from typing import get_args, get_origin

from pydantic import BaseModel

from schemas.v1.manifest import Manifest


def allowed_keys(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys of the mapping at `path`; none where every key is allowed or the path leads nowhere."""
    current: object = Manifest
    for part in path:
        current = _step(current, part)
    return tuple(_fields(current))


def _fields(current: object) -> dict[str, object]:
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return {}
    return {field.alias or name: field.annotation for name, field in current.model_fields.items()}


def _step(current: object, part: str | int) -> object:
    if get_origin(current) is dict:
        value: object = get_args(current)[1]
        return value
    return _fields(current).get(str(part))
