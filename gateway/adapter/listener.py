"""The TCP socket that MCP clients connect to: bound before anything else starts, and quick to notice who is gone.

Accepted sockets inherit the options of the listening one (tcp(7)), so they are set once and here.
"""

import socket

_DEAD_AFTER_MS = 60_000
_OPTIONS = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", _DEAD_AFTER_MS))
"""Where the system knows them; a connection whose other end is gone without a word ends after about a minute."""


def bound_socket(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A TCP socket bound to an address, port 0 for any free one. Raises OSError.

    A shared one (SO_REUSEPORT, socket(7)) is one of several, of this and of other processes of the same user: the
    system gives each new connection to one of those that listen.

    The protocol is named because asyncio turns Nagle's algorithm off only for such sockets (`_set_nodelay` in its
    `base_events`); else an answer whose head and body are sent one after the other waits 40 ms for its
    acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _notice_dead_clients(bound)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _notice_dead_clients(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
