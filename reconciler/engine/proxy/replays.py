"""What a machine may order in place of an answer: that its request goes to another machine (`fly-replay`).

The header and the JSON body of Fly's docs, "Dynamic request routing". What this stand-in does not carry out (caches and
their bypass) is refused, never ignored; so is everything that could break the request it is put into.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reconciler.engine import durations
from reconciler.engine.places import GROUPS

REPLAY_TYPE = b"application/vnd.fly.replay+json"
HOPS_LIMIT = 10
"""Replays of one request (docs, "Error codes", PA02)."""
FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "host", "expect", "upgrade", "te", "trailer"})
"""Fields that say where a request ends or whom it is for; no transformation reaches them."""
_PAIR = re.compile(r'\s*([a-z_-]+)\s*=\s*("[^"]*"|[^;"]*)\s*(?:;|$)')
_Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f;]*$")]
_Value = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


class InvalidReplay(Exception):
    """The order cannot be read, or asks for what this stand-in does not do."""


class Fallback(StrEnum):
    """Who gets the request back when its replay finds no machine."""

    FORCE_SELF = "force_self"
    PREFER_SELF = "prefer_self"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayText:
    """The order as the machine wrote it."""

    text: bytes
    is_json: bool


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SetHeader(_Part):
    name: _Name
    value: _Value


class Transform(_Part):
    """How the replayed request differs from the original one."""

    path: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$")] | None = None
    delete_headers: tuple[_Name, ...] = ()
    set_headers: tuple[SetHeader, ...] = ()

    @model_validator(mode="after")
    def _leaves_framing_alone(self) -> Self:
        names = {name.lower() for name in self.delete_headers} | {one.name.lower() for one in self.set_headers}
        if touched := names & FRAMING:
            raise ValueError(f"transform must not change {min(touched)}")
        return self


class Replay(_Part):
    """Where the request is to go."""

    region: str = ""
    instance: _Text = ""
    prefer_instance: _Text = ""
    app: _Text = ""
    state: _Text = ""
    elsewhere: bool = False
    timeout: str | None = None
    fallback: Fallback | None = None
    transform: Transform = Field(default_factory=Transform)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.region or self.instance or self.prefer_instance or self.app or self.elsewhere):
            raise ValueError("it names no region, instance or app")
        if self.timeout is not None:
            durations.seconds(self.timeout)
        return self

    @property
    def timeout_s(self) -> float | None:
        return None if self.timeout is None else durations.seconds(self.timeout)

    @property
    def regions(self) -> tuple[str, ...]:
        return region_codes(self.region)


def parse(order: ReplayText) -> Replay:
    """Reads an order.

    Raises:
        InvalidReplay: with the place and the cause.
    """
    try:
        return Replay.model_validate_json(order.text) if order.is_json else Replay.model_validate(_fields(order.text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidReplay(f"{place}: {first['msg']}" if place else first["msg"]) from error


def _fields(text: bytes) -> dict[str, str]:
    """The header's pairs. A list of regions is quoted, because it holds commas."""
    decoded, found, position = text.decode("latin-1").strip(), dict[str, str](), 0
    while position < len(decoded):
        pair = _PAIR.match(decoded, position)
        if pair is None:
            raise InvalidReplay(f"no name=value pair at character {position + 1}")
        found[pair[1]] = pair[2].strip().strip('"')
        position = pair.end()
    return found


def region_codes(text: str) -> tuple[str, ...]:
    """A comma list of regions and their groups, as codes in the order of preference."""
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    return tuple(dict.fromkeys(code for word in words for code in GROUPS.get(word, (word,))))
