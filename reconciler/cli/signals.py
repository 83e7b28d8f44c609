"""Waiting for the person, or the service manager, who ends a program."""

import signal

import anyio


async def until_told_to_stop() -> None:
    """Returns at the first SIGINT or SIGTERM."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return
