"""The book of states: it goes on from what the store kept, hears passes, and never grows without end."""

from datetime import UTC, datetime, timedelta

from reconciler.core.types import PackageReference, Registry, ServerSpec, ServerState, ServerStatus
from reconciler.loop.history import Transition
from reconciler.loop.progress import ServerChanged, ServerRemoved
from reconciler.loop.usage import MOST_CHANGES, UsageBook

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SPEC = ServerSpec(fleet="acme", name="time", package=PackageReference(registry=Registry.PYPI, name="x"))


def kept(state: ServerState, at: datetime) -> Transition:
    return Transition(server="time", state=state, cause=None, detail="", at=at, revision="")


def heard(state: ServerState, at: datetime) -> ServerChanged:
    return ServerChanged(status=ServerStatus(server="time", state=state, since=at), previous=None)


def test_it_goes_on_from_what_the_store_kept() -> None:
    book = UsageBook()
    book.remember([kept(ServerState.READY, NOW - timedelta(hours=1)), kept(ServerState.IDLE, NOW - timedelta(hours=5))])
    book.on_event(heard(ServerState.READY, NOW - timedelta(hours=1)))
    book.on_event(heard(ServerState.IDLE, NOW - timedelta(minutes=30)))
    found = book.usages({"time": SPEC}, NOW)["time"]
    assert (found.awake_s, found.asleep_s, found.wakes) == (1800, 4 * 3600 + 1800, 1)
    assert found.saved is not None
    assert found.saved > 0


def test_the_month_begins_on_its_first_day() -> None:
    book = UsageBook()
    book.remember([kept(ServerState.IDLE, NOW - timedelta(days=60))])
    assert book.usages({}, NOW)["time"].since == datetime(2026, 11, 1, tzinfo=UTC)


def test_a_server_that_no_manifest_names_has_no_price_and_a_removed_one_is_forgotten() -> None:
    book = UsageBook()
    book.remember([kept(ServerState.READY, NOW - timedelta(hours=1))])
    assert book.usages({}, NOW)["time"].cost is None
    book.on_event(ServerRemoved(server="time"))
    assert not book.usages({}, NOW)


def test_a_server_that_flaps_all_month_does_not_fill_the_memory() -> None:
    book = UsageBook()
    for second in range(MOST_CHANGES + 500):
        state = ServerState.READY if second % 2 else ServerState.IDLE
        book.on_event(heard(state, NOW - timedelta(days=1) + timedelta(seconds=second)))
    assert len(book._changes["time"]) == MOST_CHANGES


async def test_a_real_pass_fills_it(world) -> None:
    book = UsageBook()
    world.listen(book)
    world.commit("one", "time")
    await world.run()
    world.clock.advance(60)
    assert book.usages({}, world.clock.now())["time"].awake_s >= 60
