"""Whose resource a URI names. Pure.

URIs stay as they are, because they mean something outside MCP too, and because results mention them where nobody looks.
Where two servers list the same URI, it belongs to the first of them by name; that of the other one is written
`server+uri` (`notes+file:///todo.txt`), which is a URI again, works for templates, and says by itself whose it is. A
URI that a server lists as it is belongs to that server even if it looks like a written one.
"""

import re
from collections.abc import Mapping, Sequence

_MARK = "+"
_EXPRESSION = re.compile(r"\{([+#./;?&]?)[^{}]*\}")
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


def unwritten(uri: str, servers: Sequence[str]) -> tuple[str, str] | None:
    """The server and its own URI in one that was written with the server's name; None for any other."""
    server, mark, rest = uri.partition(_MARK)
    return (server, rest) if mark and rest and server in servers else None


def fits(template: str, uri: str) -> bool:
    """Whether a URI can be an expansion of a template (RFC 6570). Generous: a value may be anything but the reserved
    characters that its kind of expression cannot produce.
    """
    if len(uri) > _LONGEST_URI:
        return False
    places = list(_EXPRESSION.finditer(template))
    ends = [0, *(place.end() for place in places)]
    starts = [*(place.start() for place in places), len(template)]
    literals = [re.escape(template[end:start]) for end, start in zip(ends, starts, strict=True)]
    kinds = [r"[^\s]*" if place[1] else r"[^/?#\s]*" for place in places]
    pattern = literals[0] + "".join(kind + literal for kind, literal in zip(kinds, literals[1:], strict=True))
    return len(places) <= 10 and re.fullmatch(pattern, uri) is not None
