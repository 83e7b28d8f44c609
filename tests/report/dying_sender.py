"""Processes that say what should stand on a commit, each killed at a chosen step of it.

    python -m tests.report.dying_sender

For each line `STATE_DIR GITHUB_URL STEP` on its input it forks a process and tells in a line how that ended and how
many steps it took. Steps are counted: each write of the store and each call to GitHub, before it is done, and after it
is done and not yet known. With 0 as the step to die at a process goes on to the end.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import structlog

from reconciler.core.secret import SecretValue
from reconciler.loop.clock import SystemClock
from reconciler.loop.store import open_store
from reconciler.report.connection import Connection
from reconciler.report.courier import MESSAGES, Courier
from reconciler.report.github import GitHub, PersonalToken, RepositoryStatuses
from reconciler.report.messages import Wish
from reconciler.report.outbox import Outbox
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState
from reconciler.report.stores import LETTERS, ShelfOutboxStore

SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
TOKEN = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
WISHES = (("pending", "being applied"), ("failure", "crash-loop in time"), ("success", "1 server as declared"))


class Steps:
    """Counts, and kills."""

    def __init__(self, deadly: int) -> None:
        self.count, self.deadly = 0, deadly

    def step(self) -> None:
        self.count += 1
        if self.count == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)


class SteppedShelf:
    """A shelf of the real store."""

    def __init__(self, shelf, steps: Steps) -> None:
        self.shelf, self.steps = shelf, steps

    async def load(self):
        return await self.shelf.load()

    async def save(self, texts):
        self.steps.step()
        await self.shelf.save(texts)
        self.steps.step()

    async def forget(self, keys):
        await self.shelf.forget(keys)


class SteppedConnection(Connection):
    """Calls to GitHub whose answers may never be heard."""

    steps: Steps

    async def call(self, method, path, token, *, body=None):
        self.steps.step()
        content = await super().call(method, path, token, body=body)
        self.steps.step()
        return content


class Sink:
    """Tells GitHub's stand-in by a post of its own."""

    def __init__(self, github: GitHub) -> None:
        self.github = github

    async def tell(self, message):
        await self.github.call("POST", "/notified", body={"mark": message.mark, "text": message.text})


class SkippingClock:
    """The real time, in which waiting takes none."""

    def __init__(self) -> None:
        self.skipped = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.skipped

    async def sleep(self, seconds: float) -> None:
        self.skipped += timedelta(seconds=seconds)
        await anyio.lowlevel.checkpoint()


Sender = Callable[[Path, str, Steps], Awaitable[None]]


async def send(state_dir: Path, url: str, steps: Steps) -> None:
    clock = SkippingClock()
    store = await open_store(state_dir, clock)
    async with GitHub(url, PersonalToken(SecretValue(TOKEN)), clock) as github:
        github._connection.__class__ = SteppedConnection
        github._connection.steps = steps
        service = RepositoryStatuses(github, Repository(host="github.com", owner="acme", name="fleet"))
        letters = SteppedShelf(store.shelf(LETTERS), steps)
        outbox = Outbox(service, ShelfOutboxStore(letters), clock, sleep=clock.sleep)
        courier = Courier({"webhook": Sink(github)}, SteppedShelf(store.shelf(MESSAGES), steps), clock)
        for state, words in WISHES[await said_before(store) :]:
            status = CommitStatus(sha=SHA, context="catwalk/sync", state=StatusState(state), description=words)
            await outbox.want([status])
            await courier.want([Wish(channel="webhook", subject="revision", text=state)])
            assert await outbox.drain(timeout_s=20)
            while await courier.step() == 0.0:
                pass
    store.close()


async def said_before(store) -> int:
    """Where an earlier process was: what it wanted last is wanted again, because a pass says everything anew."""
    known = [text for _, text in await store.shelf(LETTERS).load()]
    words = [
        index for index, (_, word) in enumerate(WISHES) if any(f'"description":"{word}"' in text for text in known)
    ]
    return max(words, default=0)


def run_one(state_dir: Path, url: str, step: int, sender: Sender = send) -> str:
    """Forks, and waits: `exit code or minus the signal`, and the steps that were taken if it came to the end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        steps = Steps(step)
        anyio.run(sender, state_dir, url, steps)
        os.write(writing, str(steps.count).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        taken = pipe.read() or "0"
    return f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])} {taken}"


def main(sender: Sender = send) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        state_dir, url, step = line.split()
        print(run_one(Path(state_dir), url, int(step), sender), flush=True)


if __name__ == "__main__":
    main()
