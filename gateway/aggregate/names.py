"""What the tools and prompts of several servers are called on one address: `server__tool`. Pure.

At most 64 characters of `[A-Za-z0-9_.-]`, because that is what hosts and model providers take. A name that does not
fit keeps its end, which is what tells tools apart, and gets a hash of the whole: `server__end_of_it__k3v9q2xa`. Such a
name depends on nothing but server and tool, so that it is the same in every replica and after every restart; which tool
it stands for is found in the server's list. Server names have no underscore, so that the first two end the server.

With `Prefix.UNLESS_ALONE` a caller who may use exactly one server sees its names as they are.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from enum import Enum

LONGEST_NAME = 64
SEPARATOR = "__"
_LONGEST_LABEL = 31
_DIGEST_CHARACTERS = 8
_LEGAL = re.compile(r"[A-Za-z0-9_.-]+")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.-]")
_SHORTENED = re.compile(rf".*{SEPARATOR}[a-z2-7]{{{_DIGEST_CHARACTERS}}}", re.DOTALL)


class Prefix(Enum):
    """When names say which server they belong to."""

    ALWAYS = "always"
    UNLESS_ALONE = "unless-alone"
    """Not where the caller may use exactly one server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an exposed name stands for."""

    server: str
    name: str
    is_certain: bool
    """False where `name` may be a shortened one, and the server's list has to say which it stands for."""


class Names:
    """The names of one caller's servers, which are given in order."""

    def __init__(self, servers: tuple[str, ...], prefix: Prefix = Prefix.ALWAYS) -> None:
        self.is_bare = prefix is Prefix.UNLESS_ALONE and len(servers) == 1
        self._servers = servers
        self._by_label = {label(server): server for server in reversed(servers)}

    def exposed(self, server: str, name: str) -> str:
        """What a tool or a prompt of that server is called here."""
        if self.is_bare:
            return name
        front = label(server) + SEPARATOR
        full = front + name
        if len(full) <= LONGEST_NAME and _LEGAL.fullmatch(full) and not _SHORTENED.fullmatch(name) and name:
            return full
        return front + _shortened(name, LONGEST_NAME - len(front))

    def target(self, exposed: str) -> Target | None:
        """What an exposed name stands for; None where it names no server of the caller."""
        if self.is_bare:
            return Target(server=self._servers[0], name=exposed, is_certain=True)
        front, separator, name = exposed.partition(SEPARATOR)
        server = self._by_label.get(front)
        if server is None or not separator or not name:
            return None
        return Target(server=server, name=name, is_certain=_SHORTENED.fullmatch(name) is None)


def label(server: str) -> str:
    """How a name says which server it belongs to: the server's name, shortened where it is long."""
    if len(server) <= _LONGEST_LABEL:
        return server
    return f"{server[: _LONGEST_LABEL - _DIGEST_CHARACTERS - 1]}-{_digest(server)}"


def _shortened(name: str, room: int) -> str:
    kept = room - _DIGEST_CHARACTERS - len(SEPARATOR)
    return f"{_ILLEGAL.sub('_', name)[-kept:]}{SEPARATOR}{_digest(name)}"


def _digest(text: str) -> str:
    data = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(data)[:_DIGEST_CHARACTERS].decode("ascii").lower()
