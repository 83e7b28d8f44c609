"""One request and its answer, as the handlers of the API see them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from pydantic import ValidationError

from reconciler.engine import refusals
from reconciler.engine.config import Model
from reconciler.engine.refusals import Service

M = TypeVar("M", bound=Model)


class Scope(StrEnum):
    """What a token is for."""

    ORGANIZATION = "organization"
    READER = "reader"
    """Reads everything, changes nothing."""
    APP = "app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the token of a request allows."""

    scope: Scope
    app: str = ""
    """The only app, for a token of that scope."""


NOBODY = Grant(scope=Scope.READER)
"""Who asks a public route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    method: str
    path: Mapping[str, str]
    """The variables of the route."""
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(repr=False)
    """Lower-case names; the last of several wins."""
    body: bytes = field(repr=False)
    grant: Grant = NOBODY

    def one(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), default)

    def words(self, name: str) -> tuple[str, ...]:
        """A query parameter that may be repeated and may be a comma list."""
        values = (value for key, value in self.query if key == name)
        return tuple(word for value in values for word in value.split(",") if word)

    def flag(self, name: str) -> bool:
        return self.one(name).lower() in {"true", "1"}

    def read(self, model: type[M]) -> M:
        """The body as a model; no body is an empty object.

        Raises:
            Refusal: 400, with the place and the cause, never with the value.
        """
        try:
            return model.model_validate_json(self.body.strip() or b"{}")
        except ValidationError as error:
            raise refusals.invalid(explained(error)) from error


def explained(error: ValidationError) -> str:
    """The first fault. The input is left out: a body may hold a secret."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: object = None
    """Any JSON value; None sends no body."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Lower-case names."""

    def encoded(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


Handler = Callable[[ApiRequest], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    template: str
    """`/v1/apps/{app}/machines`; a part in braces takes one path segment."""
    handler: Handler
    service: Service = Service.MACHINES
    public: bool = False
    """Whether no token is asked for."""
    needs_query: str = ""
    """A query parameter without which the route does not exist."""

    @property
    def changes(self) -> bool:
        return self.method != "GET"
