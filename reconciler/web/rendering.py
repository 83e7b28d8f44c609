"""Turns documents into pages, and puts the same security headers on everything that this room answers.

Jinja2 escapes everything; an undefined name is an error, so a template that asks for what is not there fails in a test
and not in silence. Nothing on a page is inline and nothing comes from elsewhere: that lets the policy be strict.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import MediaType, Response

from reconciler.web.appearance import (
    STATES,
    age,
    audit_appearance,
    audit_words,
    clock_time,
    dollars,
    duration,
    milliseconds,
    outcome_appearance,
)
from reconciler.web.assets import asset_url

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# With `no-referrer` browsers would send the forms of our own pages with `Origin: null` (Fetch standard, "append a
# request `Origin` header"), and a form of an unknown origin is refused.
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NO_STORE: Final = "no-store"
"""Pages tell the state of this moment; an old one in a shared cache would mislead and leak."""

_EVERYWHERE: Final[Mapping[str, object]] = {
    "asset_url": asset_url,
    "states": STATES,
    "outcome_appearance": outcome_appearance,
    "audit_appearance": audit_appearance,
    "audit_words": audit_words,
}
"""What every template can use."""


def templates() -> Environment:
    """The compiled templates of this package."""
    environment = Environment(
        loader=PackageLoader("reconciler.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock_time"] = clock_time
    environment.filters["duration"] = duration
    environment.filters["dollars"] = dollars
    environment.filters["milliseconds"] = milliseconds
    environment.filters["readable_json"] = partial(json.dumps, indent=2, ensure_ascii=False)
    return environment


def page(
    environment: Environment, template: str, values: Mapping[str, object], *, now: datetime, status: int = 200
) -> Response[str]:
    """One HTML page. `now` makes the ages on it."""
    html = environment.get_template(template).render({**_EVERYWHERE, **values}, now=now, age=partial(age, now=now))
    return Response(html, media_type=MediaType.HTML, status_code=status, headers=answer_headers())


def answer_headers() -> dict[str, str]:
    """What every page and every API answer carries."""
    return {**SECURITY_HEADERS, "Cache-Control": NO_STORE}
