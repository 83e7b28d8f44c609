"""More machines are awaited than there are connections for: turns, and news that all of them share."""

import asyncio

import anyio
import pytest

from reconciler.core.actions import Create
from reconciler.core.secret import SecretValue
from reconciler.core.types import DesiredMachine, OutcomeKind
from reconciler.fly import machines
from reconciler.fly.client import MachinesAPI
from reconciler.fly.fleet import FlyFleet
from reconciler.fly.lanes import Lanes
from reconciler.fly.news import News

LIST = "/v1/orgs/acme-org/machines"


def path(number: int) -> str:
    return f"/v1/apps/acme-s{number}/machines"


def create(number: int) -> Create:
    app, server = f"acme-s{number}", f"s{number}"
    machine = DesiredMachine(app=app, server=server, name=f"{server}-1", region="iad", config="{}", digest="d")
    return Create(server=server, app=app, machine=machine, reason="")


def entry(number: int, state: str) -> dict[str, object]:
    version = {"state": state, "instance_id": "01N", "app_name": f"acme-s{number}"}
    return {"id": f"m{number}", "name": f"s{number}-1", "config": {}, "host_status": "ok"} | version


def news_of(*entries: dict[str, object]) -> dict[str, object]:
    return {"machines": list(entries), "next_cursor": "", "last_updated_at": "2026-01-01T00:00:10.123456789Z"}


class Awaited:
    """The first machine is waited for by the only connection for waits, and never starts."""

    def __init__(self, server) -> None:
        self.begun = asyncio.Event()
        server.on("POST", path(1), entry(1, "created"))
        server.on("GET", f"{path(1)}/m1/wait", self._begin)
        server.on("POST", path(2), entry(2, "created"))
        server.on("GET", f"{path(2)}/m2/wait", {"ok": True})
        self._server = server

    def _begin(self, _seen: object) -> object:
        self.begun.set()
        return self._server.mute


@pytest.fixture
async def narrow(server, clock):
    """A client that can wait for one machine at a time."""
    async with MachinesAPI(
        base_url=server.url, token=SecretValue("fm2_x"), timing=clock.timing, lanes=Lanes(waits=1)
    ) as api:
        yield api


@pytest.fixture
def crowded(narrow):
    return FlyFleet(narrow, fleet="acme", organization="acme-org")


@pytest.fixture
def awaited(server):
    return Awaited(server)


async def beside_the_first(fleet, awaited, revision, then):
    """What `then` gives while the wait for the first machine lasts."""
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: fleet.apply(create(1), secrets={}, revision=revision))
        with anyio.fail_after(20):
            await awaited.begun.wait()
            found = await then()
        group.cancel_scope.cancel()
    return found


@pytest.fixture
def second(crowded, awaited, revision):
    """Creates the second machine beside the first one."""

    async def applied():
        return await beside_the_first(
            crowded, awaited, revision, lambda: crowded.apply(create(2), secrets={}, revision=revision)
        )

    return applied


async def test_a_machine_that_cannot_be_waited_for_is_found_started_by_the_list_of_changes(server, second):
    server.on("GET", LIST, news_of(entry(2, "started")))
    server.on("GET", f"{path(2)}/m2", entry(2, "started"))
    outcome = await second()
    assert outcome.kind is OutcomeKind.APPLIED
    assert server.calls("GET", f"{path(2)}/m2/wait") == []


async def test_a_dead_end_is_recognised_by_the_list_of_changes_and_a_look(server, second):
    server.on("GET", LIST, news_of(entry(2, "failed")))
    server.on("GET", f"{path(2)}/m2", entry(2, "failed"))
    outcome = await second()
    assert (outcome.kind, outcome.problem.code) == (OutcomeKind.FAILED, "machine-failed")


async def test_a_list_that_is_ahead_of_the_machine_is_not_believed(server, second):
    server.on("GET", LIST, news_of(entry(2, "started")))
    server.on("GET", f"{path(2)}/m2", entry(2, "starting"), entry(2, "starting"), entry(2, "started"))
    outcome = await second()
    assert outcome.kind is OutcomeKind.APPLIED
    assert len(server.calls("GET", f"{path(2)}/m2")) == 3


async def test_a_machine_on_its_way_and_those_of_others_are_no_news(server, second):
    quiet = news_of(entry(2, "starting"), entry(3, "started"))
    server.on("GET", LIST, quiet, quiet, quiet, news_of(entry(2, "started")))
    server.on("GET", f"{path(2)}/m2", entry(2, "started"))
    assert (await second()).kind is OutcomeKind.APPLIED
    assert len(server.calls("GET", f"{path(2)}/m2")) == 1


async def test_without_any_news_the_machine_is_looked_at_after_its_slice(server, second, clock):
    server.on("GET", LIST, (403, {"error": "no"}))
    server.on("GET", f"{path(2)}/m2", entry(2, "started"))
    assert (await second()).kind is OutcomeKind.APPLIED
    assert 10 <= sum(clock.slept) <= 12


async def test_changes_are_asked_for_from_a_little_before_the_newest_that_is_known(server, second):
    quiet = news_of(entry(3, "started"))
    server.on("GET", LIST, quiet, quiet, news_of(entry(2, "started")))
    server.on("GET", f"{path(2)}/m2", entry(2, "started"))
    await second()
    queries = [seen.query for seen in server.calls("GET", LIST)]
    assert [query.get("updated_after", "") for query in queries] == ["", *["2026-01-01T00:00:07.123456+00:00"] * 2]
    assert all(query["include_deleted"] == query["summary"] == "true" for query in queries)


async def test_every_page_of_changes_is_read(server, second):
    first = news_of(entry(3, "started")) | {"next_cursor": "next"}
    server.on("GET", LIST, first, news_of(entry(2, "started")))
    server.on("GET", f"{path(2)}/m2", entry(2, "started"))
    await second()
    assert [seen.query.get("cursor", "") for seen in server.calls("GET", LIST)] == ["", "next"]


async def test_a_place_that_becomes_free_is_taken_at_once(server, crowded, awaited, revision, clock):
    server.on("GET", LIST, news_of())
    stop = anyio.CancelScope()

    async def first() -> None:
        with stop:
            await crowded.apply(create(1), secrets={}, revision=revision)

    async with anyio.create_task_group() as group:
        group.start_soon(first)
        with anyio.fail_after(20):
            await awaited.begun.wait()
            server.on("POST", path(2), lambda _seen: (stop.cancel(), entry(2, "created"))[1])
            outcome = await crowded.apply(create(2), secrets={}, revision=revision)
    assert outcome.kind is OutcomeKind.APPLIED
    assert len(server.calls("GET", f"{path(2)}/m2/wait")) == 1
    assert server.calls("GET", f"{path(2)}/m2") == []


async def test_one_list_serves_all_who_wait(server, narrow):
    news = News(narrow, "acme-org")
    server.on("GET", LIST, news_of(*(entry(number, "started") for number in range(500))))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for number in range(500):
                group.start_soon(lambda name: news.until_heard_of(name, until_s=2000), f"m{number}")
    assert len(server.calls("GET", LIST)) == 1


async def test_another_goes_on_asking_when_the_one_who_asked_has_left(server, narrow):
    news = News(narrow, "acme-org")
    asked = asyncio.Event()
    server.on("GET", LIST, lambda _seen: (asked.set(), server.mute)[1], news_of(entry(2, "started")))
    leaving = anyio.CancelScope()

    async def leave() -> None:
        with leaving:
            await news.until_heard_of("m1", until_s=2000)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(leave)
            await asyncio.sleep(0)
            group.start_soon(lambda: news.until_heard_of("m2", until_s=2000))
            await asked.wait()
            leaving.cancel()
    assert len(server.calls("GET", LIST)) == 2


async def test_the_list_of_changes_is_asked_for_once_a_second(server, narrow, clock):
    server.on("GET", LIST, news_of())
    await News(narrow, "acme-org").until_heard_of("m1", until_s=clock.now_s + 5)
    assert len(server.calls("GET", LIST)) == 5


async def test_a_call_under_a_lease_does_not_queue_behind_others(server, clock):
    asked = asyncio.Event()
    server.on("GET", f"{path(1)}/m1", lambda _seen: (asked.set(), server.mute)[1])
    server.on("POST", f"{path(2)}/m2", entry(2, "replacing"))
    launch = machines.Launch(config={}, nonce="n0nce")
    async with (
        MachinesAPI(base_url=server.url, token=SecretValue("fm2_x"), timing=clock.timing, lanes=Lanes(short=1)) as api,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: machines.get(api, "acme-s1", "m1"))
        with anyio.fail_after(20):
            await asked.wait()
            changed = await machines.update(api, "acme-s2", "m2", launch)
        group.cancel_scope.cancel()
    assert changed.state == "replacing"
