"""A `server.json` as data: the fields that a manifest entry can be made of, checked as the schema asks.

Fields follow the published schema of 2025-12-11. Unknown fields are ignored, because the format grows; known ones that
are malformed make the document refused, with the place in it.
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from reconciler.errors import SourceError

LARGEST_DOCUMENT_BYTES: Final = 1024 * 1024
NAME_PATTERN: Final = r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$"
_LONGEST_DESCRIPTION: Final = 100
_RANGE_MARKS: Final = ("^", "~", ">", "<", "*", " ", "||")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Input(_Record):
    """One value that may be fixed, have a default, or be asked for."""

    description: str = ""
    is_required: bool = False
    is_secret: bool = False
    format: Literal["string", "number", "boolean", "filepath"] = "string"
    default: str | None = None
    placeholder: str = ""
    value: str | None = None
    choices: tuple[str, ...] = ()


class Template(Input):
    """An input whose `value` may name others in braces."""

    variables: dict[str, Input] = Field(default_factory=dict)


class KeyValue(Template):
    """An environment variable or a header."""

    name: Annotated[str, Field(min_length=1, max_length=256)]


class PositionalArgument(Template):
    """A value on the command line."""

    type: Literal["positional"]
    value_hint: str = ""
    is_repeated: bool = False

    @model_validator(mode="after")
    def _says_what(self) -> "PositionalArgument":
        if not self.value_hint and self.value is None:
            raise ValueError("a positional argument needs a `value` or a `valueHint`")
        return self


class NamedArgument(Template):
    """A flag, `--name=value`."""

    type: Literal["named"]
    name: Annotated[str, Field(min_length=1, max_length=256)]
    is_repeated: bool = False


Argument = Annotated[PositionalArgument | NamedArgument, Field(discriminator="type")]


class Transport(_Record):
    """How a package or a remote server speaks."""

    type: Literal["stdio", "streamable-http", "sse"]
    url: str = ""
    headers: tuple[KeyValue, ...] = ()

    @model_validator(mode="after")
    def _has_address(self) -> "Transport":
        if self.type != "stdio" and not self.url:
            raise ValueError(f"a transport of type `{self.type}` needs a `url`")
        return self


class Remote(Transport):
    """A server that somebody else runs."""

    variables: dict[str, Input] = Field(default_factory=dict)


class PackageEntry(_Record):
    """One way to get the program."""

    registry_type: str
    registry_base_url: str = ""
    identifier: Annotated[str, Field(min_length=1, max_length=512)]
    version: str = ""
    runtime_hint: str = ""
    transport: Transport
    runtime_arguments: tuple[Argument, ...] = ()
    package_arguments: tuple[Argument, ...] = ()
    environment_variables: tuple[KeyValue, ...] = ()

    @field_validator("version")
    @classmethod
    def _exact(cls, version: str) -> str:
        if version == "latest" or any(mark in version for mark in _RANGE_MARKS):
            raise ValueError(f"`{version}` is no exact version")
        return version


class ServerDocument(_Record):
    """One `server.json`."""

    name: Annotated[str, Field(pattern=NAME_PATTERN, min_length=3, max_length=200)]
    title: str = ""
    description: Annotated[str, Field(min_length=1, max_length=_LONGEST_DESCRIPTION)]
    version: Annotated[str, Field(min_length=1, max_length=255)]
    website_url: str = ""
    packages: tuple[PackageEntry, ...] = ()
    remotes: tuple[Remote, ...] = ()

    @field_validator("version")
    @classmethod
    def _exact(cls, version: str) -> str:
        if version == "latest" or any(mark in version for mark in _RANGE_MARKS):
            raise ValueError(f"`{version}` is no exact version")
        return version


_DOCUMENT: Final[TypeAdapter[ServerDocument]] = TypeAdapter(ServerDocument)


def read_document(content: bytes, origin: str) -> ServerDocument:
    """The document in a file or an answer.

    Args:
        content: JSON text.
        origin: where it comes from, for messages.

    Raises:
        SourceError: it is none (`bad-server-json`).
    """
    if len(content) > LARGEST_DOCUMENT_BYTES:
        raise _refusal(origin, f"has more than {LARGEST_DOCUMENT_BYTES} bytes")
    try:
        raw: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refusal(origin, "is no JSON") from error
    return document_of(raw, origin)


def document_of(raw: object, origin: str) -> ServerDocument:
    """The document in parsed JSON.

    Raises:
        SourceError: it is none (`bad-server-json`).
    """
    try:
        return _DOCUMENT.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the document"
        raise _refusal(origin, f"is no server.json: {place}: {first['msg'].removeprefix('Value error, ')}") from error


def _refusal(origin: str, what: str) -> SourceError:
    return SourceError(
        "bad-server-json", f"{origin} {what}", hint="the format: the server.json schema of the MCP registry, 2025-12-11"
    )
