"""The pages of org-wide lists: oldest change first, from a cursor, else from a moment, at most a thousand at once."""

import base64
import binascii

from reconciler.engine import refusals
from reconciler.engine.api.exchange import ApiRequest
from reconciler.engine.clock import from_rfc3339

PAGE_LIMIT = 1000

Position = tuple[int, str]
"""When something changed, and its id."""


def cursor_at(position: Position) -> str:
    """The cursor of the page that follows."""
    return base64.urlsafe_b64encode(f"{position[0]} {position[1]}".encode()).decode()


def beginning(request: ApiRequest) -> Position:
    """Where a page begins: the cursor, else `updated_after`, else the beginning.

    Raises:
        Refusal: 400.
    """
    if cursor := request.one("cursor"):
        try:
            updated_ns, _, found = base64.urlsafe_b64decode(cursor).decode().partition(" ")
            return int(updated_ns), found
        except (binascii.Error, ValueError) as error:
            raise refusals.invalid("cursor") from error
    if moment := request.one("updated_after"):
        try:
            # Greater than every id, because `updated_after` excludes its moment.
            return from_rfc3339(moment), "~"
        except ValueError as error:
            raise refusals.invalid("updated_after must be an RFC 3339 time") from error
    return 0, ""


def page_limit(request: ApiRequest) -> int:
    """How much a page may hold.

    Raises:
        Refusal: 400.
    """
    text = request.one("limit") or str(PAGE_LIMIT)
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise refusals.invalid("limit must be a positive number")
    return min(int(text), PAGE_LIMIT)
