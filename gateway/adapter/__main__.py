"""`python -m gateway.adapter`: see `gateway/adapter/README.md`."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence

from gateway.adapter.causes import AdapterFailure, Cause, exit_code
from gateway.adapter.log import AdapterLog, Mask, logging_to_stdout
from gateway.adapter.machine import Machine
from gateway.adapter.options import Options, parse_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one machine; returns its exit code."""
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    log = AdapterLog(Mask(os.environ))
    with logging_to_stdout():
        try:
            listener = _bind(options)
        except AdapterFailure as failure:
            log.event("failed", cause=failure.cause.value, detail=failure.detail)
            return exit_code(failure.cause)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(Machine(options, log).run(listener))


def _bind(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _notice_dead_clients(listener)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        text = f"cannot listen on {options.host}:{options.port}: {error.strerror}"
        raise AdapterFailure(Cause.PORT_IN_USE, text) from error
    return listener


def _notice_dead_clients(listener: socket.socket) -> None:
    """Have the kernel end connections whose other end is gone without a word; accepted sockets inherit it (tcp(7))."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed; it is an optional part of the runner image."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
