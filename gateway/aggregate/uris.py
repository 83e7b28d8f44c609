"""Whose resource a URI names. Pure.

URIs stay as they are, because they mean something outside MCP too, and because results mention them where nobody looks.
Where two servers list the same URI, it belongs to the first of them by name; that of the other one is written
`server+uri` (`notes+file:///todo.txt`), which is a URI again, works for templates, and says by itself whose it is. A
URI that a server lists as it is belongs to that server even if it looks like a written one.
"""

import re
from collections.abc import Callable, Mapping, Sequence

_MARK = "+"
_EXPRESSION = re.compile(r"\{([+#./;?&]?)[^{}]*\}")
_SPACE = re.compile(r"\s")
_DELIMITER = re.compile(r"[/?#]")
_LONGEST_URI = 8192


class Ownership:
    """What is known of the resources of one caller's servers: by server, in order, the URIs and the templates."""

    def __init__(self, uris: Mapping[str, Sequence[str]], templates: Mapping[str, Sequence[str]]) -> None:
        self._owner: dict[str, str] = {}
        for by_server in (uris, templates):
            for server, known in by_server.items():
                for uri in known:
                    self._owner.setdefault(uri, server)
        self._templates = [(server, template) for server, known in templates.items() for template in known]

    def exposed(self, server: str, uri: str) -> str:
        """How a server's URI or template is written here."""
        owner = self._owner.get(uri, server)
        return uri if owner == server else server + _MARK + uri

    def lister(self, uri: str) -> str | None:
        """Who lists a URI or a template as it is; None where nobody does."""
        return self._owner.get(uri)

    def maker(self, uri: str) -> str | None:
        """Who lists a template that a URI fits; None where nobody does."""
        return next((server for server, template in self._templates if fits(template, uri)), None)


def exposed_as_asked(asked: object, expose: Callable[[str, str], str]) -> Callable[[str, str], str]:
    """How the contents of a read are written: like the URI that was asked for, whatever is known of other servers."""

    def exposed(server: str, uri: str) -> str:
        is_written = isinstance(asked, str) and asked != uri and asked.startswith(server + _MARK)
        return server + _MARK + uri if is_written else expose(server, uri)

    return exposed


def unwritten(uri: str, servers: Sequence[str]) -> tuple[str, str] | None:
    """The server and its own URI in one that was written with the server's name; None for any other."""
    server, mark, rest = uri.partition(_MARK)
    return (server, rest) if mark and rest and server in servers else None


def fits(template: str, uri: str) -> bool:
    """Whether a URI can be an expansion of a template (RFC 6570), found in one pass from left to right: each value ends
    where the text after it begins first. A value of a plain expression has none of the characters that start the next
    part of a URI.
    """
    places = list(_EXPRESSION.finditer(template))
    if len(uri) > _LONGEST_URI or not places or not uri.startswith(template[: places[0].start()]):
        return uri == template
    position = places[0].start()
    for place, following in zip(places, [*places[1:], None], strict=True):
        literal = template[place.end() : following.start() if following is not None else len(template)]
        is_last = following is None
        found = _place_of(literal, uri, position, is_last=is_last)
        if found < position or not _is_value(uri[position:found], is_plain=not place[1]):
            return False
        position = found + len(literal)
    return position == len(uri)


def _place_of(literal: str, uri: str, position: int, *, is_last: bool) -> int:
    """Where the text after a value begins; before `position` where it does not."""
    if is_last:
        return len(uri) - len(literal) if uri.endswith(literal) else -1
    return uri.find(literal, position)


def _is_value(value: str, *, is_plain: bool) -> bool:
    return _SPACE.search(value) is None and not (is_plain and _DELIMITER.search(value))
