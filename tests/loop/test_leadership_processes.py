"""Leadership between real processes on one database of either kind: killed, stopped, ended and asked."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

PROGRAM = Path(__file__).parent / "leading_program.py"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 40
"""For a machine that does many other things. How soon it goes is tested without processes."""

pytestmark = pytest.mark.timeout(150)


class Candidate:
    """A process that leads or waits, and all that it said."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines: list[dict] = []
        self._text = TextReceiveStream(process.stdout)
        self._rest = ""

    async def until(self, event: str) -> dict:
        """The next line of that kind."""
        with anyio.fail_after(PATIENCE_S):
            while True:
                line = await self._next()
                if line["event"] == event:
                    return line

    async def to_end(self) -> None:
        with anyio.fail_after(PATIENCE_S):
            try:
                while True:
                    await self._next()
            except anyio.EndOfStream:
                await self.process.wait()

    async def _next(self) -> dict:
        while "\n" not in self._rest:
            self._rest += await self._text.receive()
        first, self._rest = self._rest.split("\n", 1)
        self.lines.append(json.loads(first))
        return self.lines[-1]

    @property
    def acts(self) -> list[tuple[float, int]]:
        return [(line["at"], line["token"]) for line in self.lines if line["event"] == "acts"]


@pytest.fixture
def candidate(tmp_path, database_url):
    @asynccontextmanager
    async def start(command: str = "up"):
        arguments = [sys.executable, str(PROGRAM), command, str(tmp_path), database_url]
        process = await anyio.open_process(arguments, stdin=subprocess.DEVNULL, stderr=None, cwd=ROOT)
        try:
            yield Candidate(process)
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()

    return start


def one_after_the_other(*candidates: Candidate) -> bool:
    """Whether no action of one leader came after an action of a later one."""
    tokens = [token for _, token in sorted(act for found in candidates for act in found.acts)]
    return tokens == sorted(tokens)


async def test_one_leads_and_the_other_takes_over_when_it_is_killed(candidate):
    async with candidate() as first:
        await first.until("acts")
        async with candidate() as second:
            await second.until("waits")
            await first.until("passed")
            assert second.acts == []
            first.process.kill()
            taken = await second.until("acts")
            with anyio.move_on_after(PATIENCE_S):
                await first.to_end()
            assert taken["token"] > first.acts[-1][1]
            assert one_after_the_other(first, second)


async def test_a_clean_end_hands_over(candidate):
    async with candidate() as first:
        await first.until("acts")
        async with candidate() as second:
            await second.until("waits")
            first.process.terminate()
            await first.to_end()
            await second.until("acts")
            assert first.lines[-1]["event"] == "ended"
            assert one_after_the_other(first, second)


async def test_a_leader_that_slept_past_its_lease_acts_no_more_and_its_next_write_is_refused(candidate, tmp_path):
    async with candidate() as first:
        await first.until("acts")
        async with candidate() as second:
            await second.until("waits")
            await stop_between_writes(first, tmp_path / "catwalk.db")
            taken = await second.until("acts")
            first.process.send_signal(signal.SIGCONT)
            # PostgreSQL may have ended its connection in the middle of a write: that one is refused by its own error.
            while (await first.until("refused"))["code"] != "not-leading":
                pass
            for _ in range(5):
                await second.until("acts")
            first.process.terminate()
            await first.to_end()
            assert not [at for at, _ in first.acts if at > taken["at"]]
            assert one_after_the_other(first, second)


async def stop_between_writes(candidate: Candidate, path: Path) -> None:
    """A process that is stopped in the middle of a transaction on SQLite keeps everybody out: nobody ends it."""
    while True:
        candidate.process.send_signal(signal.SIGSTOP)
        if await anyio.to_thread.run_sync(is_free, path):
            return
        candidate.process.send_signal(signal.SIGCONT)
        await anyio.lowlevel.checkpoint()


def is_free(path: Path) -> bool:
    if not path.exists():
        return True
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0.1)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


async def test_a_command_that_asks_leads_between_two_passes_and_gives_the_lead_back(candidate):
    async with candidate() as leader:
        await leader.until("acts")
        async with candidate() as follower, candidate("apply") as command:
            await follower.until("waits")
            await command.to_end()
            assert command.process.returncode == 0
            before = command.acts[-1][1]
            while max([token for _, token in leader.acts + follower.acts], default=0) < before:
                await _next_act(leader, follower)
            assert len(command.acts) == 4
            assert one_after_the_other(leader, command, follower)
            assert not [at for at, _ in command.acts for began, ended in passes_of(leader) if began < at < ended]


def passes_of(candidate: Candidate) -> list[tuple[float, float]]:
    """When each pass began and ended."""
    began = [line["at"] for line in candidate.lines if line["event"] == "pass"]
    ended = [line["at"] for line in candidate.lines if line["event"] == "passed"]
    return list(zip(began, ended, strict=False))


async def _next_act(*candidates: Candidate) -> None:
    async with anyio.create_task_group() as group:

        async def wait(candidate: Candidate) -> None:
            await candidate.until("acts")
            group.cancel_scope.cancel()

        for candidate in candidates:
            group.start_soon(wait, candidate)
