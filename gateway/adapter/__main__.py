"""`python -m gateway.adapter`: see `gateway/adapter/README.md`."""

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Callable, Sequence

from gateway.adapter.causes import AdapterFailure, Cause, exit_code
from gateway.adapter.listener import bound_socket
from gateway.adapter.log import AdapterLog, Mask, logging_to_stdout
from gateway.adapter.machine import Machine
from gateway.adapter.options import Options, parse_options
from gateway.adapter.placed_files import contents_to_mask


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one machine; returns its exit code."""
    # The environment of a machine holds secrets: a crash, of a server too, must not write them to a disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    log = AdapterLog(Mask(contents_to_mask(os.environ)))
    with logging_to_stdout():
        try:
            listener = bind(options)
        except AdapterFailure as failure:
            log.event("failed", cause=failure.cause.value, detail=failure.detail)
            return exit_code(failure.cause)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(Machine(options, log).run(listener))


def bind(options: Options) -> socket.socket:
    """The socket that the machine will listen on. Raises AdapterFailure when the port is taken."""
    try:
        return bound_socket(options.host, options.port)
    except OSError as error:
        text = f"cannot listen on {options.host}:{options.port}: {error.strerror}"
        raise AdapterFailure(Cause.PORT_IN_USE, text) from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed; it is an optional part of the runner image."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
