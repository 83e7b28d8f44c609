"""Side effects as points: each is counted before it happens and after, and a process can be killed at any of them.

A side effect is what another process would find if this one ended now: a write in the cache of the source, a write
transaction of the store, a file that took the place of another, a call that changes something at Fly, a status posted
to GitHub. They are caught below the product, where the libraries meet the system, so that no code of the product can
have one that is not counted. A point is named by what it does and by how often that was done before, not by its place
in time: servers are changed side by side, and their order may differ from run to run.
"""

import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from unittest.mock import patch

import httpx
import pygit2
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import PoolProxiedConnection

MACHINE_ID = re.compile(r"(?<=/machines/)[0-9a-f]{14}")
COMMIT = re.compile(r"(?<=/statuses/)[0-9a-f]{40}")
WRITTEN = re.compile(
    r"\s*(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|ALTER TABLE|CREATE INDEX)\s+\"?(\w+)", re.IGNORECASE
)
OTHER_WRITES = re.compile(r"\s*(CREATE|ALTER|DROP)\b", re.IGNORECASE)
SCHEMA = "change the schema"
LEASE = " leaders"
TAKE_THE_LEAD = "store take the lead"
"""Renewals follow, once a second of the real time: how many is chance, so that they are no points."""


class Side(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Effect:
    """One side effect of a run."""

    label: str
    """`fly POST /v1/apps/acme-time/machines`, `store INSERT intents, UPDATE counters`."""
    occurrence: int
    """How many with this label came before it in the same run."""

    def __str__(self) -> str:
        return f"{self.label} #{self.occurrence + 1}" if self.occurrence else self.label


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Point:
    effect: Effect
    side: Side

    def __str__(self) -> str:
        return f"{self.side} {self.effect}"


class Recorder:
    """Writes down every side effect of this process, and ends it at the fatal point as a power cut would."""

    def __init__(self, log: Path, fatal: Point | None) -> None:
        self._descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._fatal = fatal
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def effect(self, label: str) -> Iterator[None]:
        """Around what has the effect; one that raises has not happened as far as anybody can tell."""
        with self._lock:
            effect = Effect(label=label, occurrence=self._counts[label])
            self._counts[label] += 1
            os.write(self._descriptor, json.dumps([effect.label, effect.occurrence]).encode() + b"\n")
        self._die_at(Point(effect=effect, side=Side.BEFORE))
        yield
        self._die_at(Point(effect=effect, side=Side.AFTER))

    def saw(self, label: str) -> bool:
        return bool(self._counts[label])

    def _die_at(self, point: Point) -> None:
        if point == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def read_log(log: Path) -> list[Effect]:
    """The side effects of a process, in their order."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [Effect(label=label, occurrence=occurrence) for label, occurrence in map(json.loads, lines)]


@contextmanager
def watched(recorder: Recorder) -> Iterator[None]:
    """Catches the side effects of this process while the block lasts."""
    with ExitStack() as patches:
        for target, name, replacement in (
            *_http(recorder),
            *_git(recorder),
            *_files(recorder),
        ):
            patches.enter_context(patch.object(target, name, replacement))
        patches.enter_context(_store(recorder))
        yield


Replacement = tuple[object, str, Callable[..., object]]


def _http(recorder: Recorder) -> Iterator[Replacement]:
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" or request.url.path.startswith("/_engine/"):
            return await send(transport, request)
        with recorder.effect(_label(request)):
            return await send(transport, request)

    yield httpx.AsyncHTTPTransport, "handle_async_request", handle


def _label(request: httpx.Request) -> str:
    path = request.url.path
    if not path.startswith("/repos/"):
        return f"fly {request.method} {MACHINE_ID.sub('{machine}', path)}"
    status = json.loads(request.content)
    return f"github {request.method} {COMMIT.sub('{commit}', path)} {status['context']} {status['state']}"


def _git(recorder: Recorder) -> Iterator[Replacement]:
    yield _counted(recorder, pygit2.Remote, "fetch", lambda _remote, refspecs, **_: f"git fetch {len(refspecs)}")
    yield _counted(recorder, pygit2, "init_repository", lambda *_, **__: "git init the mirror")


def _files(recorder: Recorder) -> Iterator[Replacement]:
    for name in ("replace", "rename", "link"):

        def label(_source: object, target: str | Path, *_: object, name: str = name, **__: object) -> str:
            return f"file {name} {Path(target).name}"

        yield _counted(recorder, os, name, label)


def _counted(recorder: Recorder, target: object, name: str, label: Callable[..., str]) -> Replacement:
    original = getattr(target, name)

    def act(*arguments: object, **options: object) -> object:
        with recorder.effect(label(*arguments, **options)):
            return original(*arguments, **options)

    return target, name, act


def _written(words: Iterable[str]) -> str:
    """The label of a transaction by what it wrote."""
    found = list(words)
    if all(word.endswith(LEASE) for word in found):
        return TAKE_THE_LEAD
    return f"store {SCHEMA if SCHEMA in found else ', '.join(found)}"


@contextmanager
def _store(recorder: Recorder) -> Iterator[None]:
    """A transaction is one effect, at its commit: what comes before can only be lost with it."""
    transaction = threading.local()

    def executing(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        written = getattr(transaction, "written", {})
        if found := WRITTEN.match(statement):
            written[f"{found[1].split()[0].upper()} {found[2].lower()}"] = None
        elif OTHER_WRITES.match(statement):
            written[SCHEMA] = None
        transaction.written = written

    commit, roll_back = DefaultDialect.do_commit, DefaultDialect.do_rollback

    def do_commit(dialect: DefaultDialect, connection: PoolProxiedConnection) -> None:
        written, transaction.written = getattr(transaction, "written", {}), {}
        if not written:
            commit(dialect, connection)
            return
        label = _written(written)
        if label == TAKE_THE_LEAD and recorder.saw(label):
            commit(dialect, connection)
            return
        with recorder.effect(label):
            commit(dialect, connection)

    def do_rollback(dialect: DefaultDialect, connection: PoolProxiedConnection) -> None:
        transaction.written = {}
        roll_back(dialect, connection)

    event.listen(Engine, "before_cursor_execute", executing)
    try:
        with (
            patch.object(DefaultDialect, "do_commit", do_commit),
            patch.object(DefaultDialect, "do_rollback", do_rollback),
        ):
            yield
    finally:
        event.remove(Engine, "before_cursor_execute", executing)
