"""The strict grammar of the request heads that the edge reads itself.

A head is read here only if no other reader could understand it differently: every line ends with CR LF, names are
tokens directly before their colon, values hold no control characters, nothing is folded, and nothing asks for more than
one request with a body of announced length (no transfer coding, no upgrade, no `Expect`, no wish about the
connection). RFC 9112, sections 2 to 6. Everything else is left to uvicorn's parser, so that nothing is lost by being
strict, and nothing that is not understood is passed on.
"""

import re

from gateway.decision import ClientHead

MAX_BLOCK_BYTES = 8 * 1024
"""A larger head is left to uvicorn."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?"
_LINE = rb"(" + _TOKEN + rb"):[ \t]*(" + _VALUE + rb")?[ \t]*\r\n"
_HEAD = re.compile(
    rb"(POST|GET|DELETE) ((?:/servers/[A-Za-z0-9-]+)?/mcp) HTTP/1\.1\r\n((?:"
    + _TOKEN
    + rb":[\t\x20-\x7e\x80-\xff]*\r\n)+)\r\n"
)
_FIELD = re.compile(_LINE)
_NOT_PLAIN = frozenset(
    {b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"keep-alive", b"proxy-connection"}
)


def read_plain_head(block: bytes) -> ClientHead | None:
    """The head that stands in `block` up to and with its empty line, or None where it is not plain."""
    match = _HEAD.fullmatch(block)
    if match is None:
        return None
    headers = [(name.lower(), value) for name, value in _FIELD.findall(match[3])]
    if len(headers) != match[3].count(b"\n") or not _is_plain(headers):
        return None
    return ClientHead(method=match[1].decode("ascii"), path=match[2], headers=headers)


def _is_plain(headers: list[tuple[bytes, bytes]]) -> bool:
    return all(
        name not in _NOT_PLAIN and (name != b"connection" or value.lower() == b"keep-alive") for name, value in headers
    )
