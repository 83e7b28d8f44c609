"""Commands executed in a running machine: its directory, its environment, a supervisor of their own.

A command ends with its time, with the run that it was executed in, and with the engine, whichever comes first.
"""

import asyncio
from dataclasses import dataclass
from typing import IO

from reconciler.engine.runtime import Executed
from reconciler.engine.supervisors import KILLED, READ_SIZE, Command, Pipes, exit_of, reading, reap, spawn

OUTPUT_LIMIT = 1024 * 1024
"""Bytes of each output that are kept; the rest of a longer one is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    command: Command
    timeout_s: float
    over: asyncio.Event
    """Set when the run has ended."""

    async def run(self) -> Executed:
        """Raises: TimeoutError: the command did not end in time; it and what it started are killed."""
        pipes = await asyncio.to_thread(spawn, self.command)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._finished(pipes)
        finally:
            await asyncio.shield(asyncio.to_thread(reap, pipes))

    async def _finished(self, pipes: Pipes) -> Executed:
        async with asyncio.TaskGroup() as duties:
            outputs = [duties.create_task(_collected(stream)) for stream in pipes.outputs]
            ending = duties.create_task(self._end_with_run(pipes))
            ended = await exit_of(pipes) or KILLED
            stdout, stderr = [await output for output in outputs]
            ending.cancel()
        return Executed(exit=ended, stdout=stdout, stderr=stderr)

    async def _end_with_run(self, pipes: Pipes) -> None:
        await self.over.wait()
        pipes.orders.close()


async def _collected(stream: IO[bytes]) -> str:
    kept = bytearray()
    async with reading(stream) as reader:
        while chunk := await reader.read(READ_SIZE):
            kept += chunk[: OUTPUT_LIMIT - len(kept)]
    return kept.decode("utf-8", "replace")
