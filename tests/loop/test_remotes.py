"""Servers that somebody else runs, in the passes: nothing is applied, they are told with their secrets, and probed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from reconciler.core.manifest_set import ManifestSet
from reconciler.core.remotes import RemoteProgram
from reconciler.core.types import ProbeResult, ServerSpec, Trigger
from reconciler.errors import SourceError
from reconciler.loop.probes import REMOTE_MISSES
from reconciler.loop.reading import DesiredReader
from reconciler.loop.remotes import RemoteServer, remote_servers
from tests.loop.conftest import World, spec

GOOD = ProbeResult(answered=True, tools=("search",))
MUTE = ProbeResult(answered=False, problem="no MCP answer within 30 s")


class Told:
    def __init__(self) -> None:
        self.times: list[tuple[RemoteServer, ...]] = []

    def follow(self, servers: Sequence[RemoteServer]) -> None:
        self.times.append(tuple(servers))


class Internet:
    """Asks remote servers, and leaves those with machines to the usual double."""

    def __init__(self, world: World) -> None:
        self._machines = world.prober
        self.answer = GOOD
        self.asked = 0

    async def probe(self, app: str, *, machine_id: str = "") -> ProbeResult:
        if machine_id:
            return await self._machines.probe(app, machine_id=machine_id)
        assert app == "acme-linear"
        self.asked += 1
        return self.answer


def read_with_remotes(files: Mapping[str, bytes]) -> ManifestSet:
    """As the usual double does, and servers of the package `remote` are somebody else's; `+` adds more to say."""
    specs: list[ServerSpec] = []
    for word in sorted(files["catwalk.yaml"].decode().split()):
        name, _, rest = word.partition("=remote")
        made = spec(f"{name}={rest.removeprefix('+')}" if rest else name)
        specs.append(
            replace(made, package=RemoteProgram(url="https://mcp.linear.app/mcp")) if "=remote" in word else made
        )
    return ManifestSet(fleet="acme", organization="acme", specs=tuple(specs))


@pytest.fixture
def internet(world: World) -> Internet:
    return Internet(world)


@pytest.fixture
def told(world: World, internet: Internet) -> Told:
    heard = Told()
    world.ports = replace(world.ports, remotes=heard, prober=internet, read_manifests=read_with_remotes)
    world.restart()
    return heard


async def test_a_pass_applies_nothing_and_says_what_answers(world, told):
    world.commit("one", "time linear=remote")
    finished = await world.run()
    assert world.states(finished) == {"linear": "ready", "time": "ready"}
    assert finished.settled
    assert not any("linear" in machine for machine in world.fleet.machines)
    [status] = [status for status in finished.statuses if status.server == "linear"]
    assert (status.tools, status.machine_id) == (("search",), "")


async def test_it_is_told_with_its_secrets_which_appear_nowhere_else(world, told):
    world.commit("one", "linear=remote+secret")
    finished = await world.run()
    [server] = told.times[-1]
    assert {name: value.reveal() for name, value in server.secrets.items()} == {"TOKEN": world.canary}
    assert world.canary not in repr(server) + repr(finished) + repr(world.ear.events)


async def test_one_whose_secret_cannot_be_read_stays_as_it_was(world, told):
    world.secrets.errors["linear"] = SourceError("tampered", "the MAC does not fit")
    world.commit("one", "linear=remote+secret")
    finished = await world.run()
    assert world.states(finished) == {"linear": "failed"}
    assert [server.is_known for server in told.times[-1]] == [False]


async def test_one_lost_answer_makes_it_doubtful_and_several_make_it_failed(world, told, internet):
    world.commit("one", "linear=remote")
    await world.run()
    internet.answer = MUTE
    states: list[str] = []
    for _ in range(REMOTE_MISSES):
        world.clock.advance(world.settings.probe_again_s)
        finished = await world.run(Trigger.HEALTH)
        states.append(world.states(finished)["linear"])
    assert states == ["degraded"] * (REMOTE_MISSES - 1) + ["failed"]
    [status] = finished.statuses
    assert (status.detail, status.cause.value) == (MUTE.problem, "unreachable")
    internet.answer = GOOD
    assert world.states(await world.run(Trigger.HEALTH)) == {"linear": "ready"}


async def test_one_that_answers_is_asked_again_only_now_and_then(world, told, internet):
    world.commit("one", "linear=remote")
    for _ in range(5):
        await world.run(Trigger.HEALTH)
    assert internet.asked == 1
    world.clock.advance(world.settings.probe_again_s)
    await world.run(Trigger.HEALTH)
    assert internet.asked == 2


async def test_one_that_is_suspended_stays_as_it_was_and_one_that_leaves_is_gone(world, told):
    world.commit("one", "linear=remote time")
    await world.run()
    assert [server.spec.name for server in told.times[-1]] == ["linear"]
    world.commit("two", "linear=remote+suspended time")
    await world.run()
    assert [(server.spec.name, server.is_known) for server in told.times[-1]] == [("linear", False)]
    world.commit("three", "time")
    await world.run()
    assert told.times[-1] == ()


async def test_a_look_changes_nothing(world, told):
    world.commit("one", "linear=remote")
    await world.reconciler.preview()
    assert told.times == []
    assert remote_servers(()) == ()
    assert DesiredReader(world.ports, world.settings).in_force is None
