"""The newest lines of servers that are unwell outlive their machines, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.types import ServerState, ServerStatus
from reconciler.errors import Unavailable
from reconciler.loop.log_tails import KEPT_CHARACTERS, SHELF, LogTails
from reconciler.loop.ports import LogLine
from reconciler.loop.store import open_store

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
FAILED = ServerStatus(server="time", state=ServerState.FAILED)
WELL = ServerStatus(server="wiki", state=ServerState.READY)


def line(message: str, number: int = 0) -> LogLine:
    return LogLine(at=AT + timedelta(seconds=number), machine_id="m1", level="info", message=message)


class Service:
    """What the log service knows, by app; an error is raised."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, object] = {}

    async def recent(self, app, *, limit):
        self.asked.append(app)
        answer = self.answers.get(app, ())
        if isinstance(answer, Exception):
            raise answer
        return answer[-limit:]


@pytest.fixture
def service():
    return Service()


@pytest.fixture
async def shelf(database_url, tmp_path, world):
    store = await open_store(tmp_path, world.clock, url=database_url)
    yield store.shelf(SHELF)
    store.close()


async def test_what_an_unwell_server_wrote_is_kept_when_its_log_is_gone(service, shelf):
    lines = (line("starting", 1), line("no TOKEN", 2))
    service.answers["acme-time"] = lines
    await LogTails(service, shelf).collect("acme", [FAILED, WELL])
    service.answers["acme-time"] = ()
    after_restart = LogTails(service, shelf)
    await after_restart.collect("acme", [FAILED, WELL])
    assert await after_restart.tail("time") == lines
    assert await after_restart.tail("wiki") == ()
    assert set(service.asked) == {"acme-time"}


async def test_newer_lines_take_the_place_of_older_ones(service, shelf):
    tails = LogTails(service, shelf)
    for number in (1, 2):
        service.answers["acme-time"] = (line(f"try {number}", number),)
        await tails.collect("acme", [FAILED])
    assert await tails.tail("time") == (line("try 2", 2),)


async def test_a_server_that_is_not_declared_any_more_is_forgotten(service, shelf):
    tails = LogTails(service, shelf)
    service.answers["acme-time"] = (line("no TOKEN"),)
    await tails.collect("acme", [FAILED])
    await tails.collect("acme", [WELL])
    assert await tails.tail("time") == ()


async def test_a_log_that_cannot_be_read_changes_nothing_and_hides_no_other(service, shelf):
    tails = LogTails(service, shelf)
    other = ServerStatus(server="memory", state=ServerState.DEGRADED)
    service.answers |= {"acme-time": (line("no TOKEN"),), "acme-memory": (line("slow"),)}
    await tails.collect("acme", [FAILED])
    service.answers["acme-time"] = Unavailable("fly-unavailable", "no answer")
    await tails.collect("acme", [FAILED, other])
    assert await tails.tail("time") == (line("no TOKEN"),)
    assert await tails.tail("memory") == (line("slow"),)


async def test_the_oldest_lines_go_where_there_are_too_many_characters(service, shelf):
    service.answers["acme-time"] = (line("x" * KEPT_CHARACTERS, 1), line("the cause", 2))
    tails = LogTails(service, shelf)
    await tails.collect("acme", [FAILED])
    assert await tails.tail("time") == (line("the cause", 2),)
