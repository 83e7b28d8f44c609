"""A process that stands by relays to the remote servers of the leader's revision, and reads it once."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.actions import Pass
from reconciler.core.types import Trigger
from reconciler.errors import SourceError
from reconciler.loop.standing_by import PAUSE, RemoteFollower
from tests.loop.conftest import World
from tests.loop.test_remotes import Told, read_with_remotes

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def heard() -> Told:
    return Told()


@pytest.fixture
def follower(world: World, heard: Told) -> RemoteFollower:
    return RemoteFollower(
        source=world.source,
        read_manifests=read_with_remotes,
        secrets=world.secrets,
        remotes=heard,
        clock=world.clock,
    )


def applied(revision) -> Pass:
    return Pass(number=1, trigger=Trigger.COMMIT, started_at=NOW, finished_at=NOW, applied_revision=revision)


async def test_the_remote_servers_of_the_revision_in_force_are_taken_over_once(world, heard, follower):
    one = world.commit("one", "linear=remote+secret time=secret")
    await follower.catch_up(None)
    assert heard.times == []
    for _ in range(3):
        await follower.catch_up(applied(one))
    [servers] = heard.times
    [server] = servers
    assert (server.spec.name, server.secrets["TOKEN"].reveal()) == ("linear", world.canary)
    assert world.secrets.reads == ["linear"], "secrets of servers with machines are none of its business"
    two = world.commit("two", "time")
    await follower.catch_up(applied(two))
    assert heard.times[-1] == ()


async def test_a_newer_commit_that_the_leader_has_not_applied_changes_nothing(world, heard, follower):
    one = world.commit("one", "linear=remote")
    world.commit("two", "other=remote")
    await follower.catch_up(applied(one))
    assert [server.spec.name for server in heard.times[-1]] == ["linear"]


async def test_one_secret_that_cannot_be_read_stops_that_server_alone(world, heard, follower):
    world.secrets.errors["linear"] = SourceError("tampered", "the MAC does not fit")
    one = world.commit("one", "crm=remote linear=remote+secret wiki=remote+suspended")
    await follower.catch_up(applied(one))
    known = {server.spec.name: server.is_known for server in heard.times[-1]}
    assert known == {"crm": True, "linear": False, "wiki": False}


async def test_what_cannot_be_read_is_tried_again_after_a_pause(world, heard, follower):
    broken = world.commit("one", "!")
    follower.read_manifests = failing
    await follower.catch_up(applied(broken))
    follower.read_manifests = read_with_remotes
    world.commit("one", "linear=remote")
    await follower.catch_up(applied(broken))
    assert heard.times == []
    world.clock.advance((PAUSE + timedelta(seconds=1)).total_seconds())
    await follower.catch_up(applied(broken))
    assert [server.spec.name for server in heard.times[-1]] == ["linear"]


def failing(files):
    raise SourceError("unreadable", "the manifest cannot be read")
