"""Plans of proposed commits: what they say, what they never touch, and who is told how often."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from reconciler.core.actions import CreateApp, DestroyApp, SetSecrets, Update
from reconciler.core.problems import Remedy
from reconciler.core.proposals import ProposedPlan
from reconciler.core.secret import SecretValue
from reconciler.core.types import PackageReference, Registry, Revision, SecretDeclaration, ServerSpec
from reconciler.errors import CatwalkError, EnvironmentFault, SourceError, Unavailable
from reconciler.loop.desired import Accepted, Desired
from reconciler.loop.packages import PackageChecks
from reconciler.loop.ports import Proposal, StoredProposal, WaitingProposal
from reconciler.loop.proposals import ProposalDoors, ProposalPlanner
from reconciler.loop.proposing import LOOK_S, MOST_RECONSIDERED, MOST_TRIES, ProposalWorker
from reconciler.loop.servers import Resolver
from reconciler.loop.setup import PassSettings
from reconciler.sources.manifests import read_manifests
from reconciler.sources.sealed import sealed_secrets

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEAD = Proposal(number=12, commit="a" * 40, ref="refs/pull/12/head")
BASE = Revision(commit="b" * 40, branch="main", source="https://github.com/acme/fleet")
MANIFEST = b"""\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
  weather:
    package: npm:weather@1.0.0
    secrets:
      API_KEY:
"""
SECRET = "secrets/weather/API_KEY.sops.yaml"
FILES = {"catwalk.yaml": MANIFEST, SECRET: b"value: ENC[AES256_GCM,data:one]\n"}
SETTINGS = PassSettings(runner_image="registry.fly.io/catwalk-runner:0.1.0", digest_key=b"k" * 32)
CANARY = "canary-4f1d"


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class Opened:
    async def read(self, spec, _files):
        return {name: SecretValue(CANARY) for name in spec.secret_names}


@dataclass
class Catalog:
    missing: set[str] = field(default_factory=set)

    async def check(self, reference, *, entrypoint=""):
        del entrypoint
        if reference.name in self.missing:
            raise SourceError("package-not-found", f"there is no {reference}")


@dataclass
class Source:
    """The repository: what each proposed commit holds, or why it cannot be read."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    fault: CatwalkError | None = None
    asked: list[Proposal] = field(default_factory=list)

    async def proposed(self, proposal):
        self.asked.append(proposal)
        if self.fault is not None:
            raise self.fault
        return Revision(commit=proposal.commit, branch=proposal.ref, source="https://github.com/acme/fleet"), self.files


@pytest.fixture
async def in_force() -> Desired:
    accepted = Accepted(revision=BASE, manifests=read_manifests(FILES), files=FILES)
    resolver = Resolver(Opened(), PackageChecks(Catalog(), Clock()), SETTINGS)
    return Desired(accepted=accepted, servers=await resolver.resolve_all(accepted))


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture
def planner(source, catalog, in_force) -> ProposalPlanner:
    doors = ProposalDoors(
        source=source, read_manifests=read_manifests, sealed=sealed_secrets, catalog=catalog, clock=Clock()
    )
    return ProposalPlanner(doors, SETTINGS, lambda: in_force)


def kinds(planned: ProposedPlan) -> dict[str, set[type]]:
    assert planned.plan is not None
    every = [*planned.plan.actions, *(waiting.action for waiting in planned.plan.deferred)]
    return {
        server: {type(action) for action in every if action.server == server} for server in {a.server for a in every}
    }


async def test_a_commit_that_changes_nothing_plans_nothing(planner):
    planned = await planner.plan(HEAD)
    assert planned.plan is not None
    assert (planned.plan.actions, planned.plan.deferred, planned.problems) == ((), (), ())
    assert planned.plan.unchanged == ("time", "weather")
    assert planned.base == BASE
    assert planned.cost_before == planned.cost_after
    assert planned.cost_before.awake > 0


async def test_what_is_added_changed_and_removed_is_planned_with_its_cost(planner, source):
    source.files["catwalk.yaml"] = MANIFEST.replace(b"npm:weather@1.0.0", b"npm:weather@2.0.0").replace(
        b"  time:\n    package: pypi:mcp-server-time@2026.10.19\n",
        b"  maps:\n    package: npm:maps@1.0.0\n    vm: {memory_mb: 1024}\n",
    )
    planned = await planner.plan(HEAD)
    found = kinds(planned)
    assert CreateApp in found["maps"]
    assert DestroyApp in found["time"]
    assert Update in found["weather"]
    assert CreateApp not in found["weather"]
    assert planned.cost_after.awake == pytest.approx(planned.cost_before.awake + 2.5)


async def test_a_secret_counts_as_changed_when_its_ciphertext_does(planner, source):
    source.files[SECRET] = b"value: ENC[AES256_GCM,data:two]\n"
    found = kinds(await planner.plan(HEAD))
    assert set(found) == {"weather"}
    assert SetSecrets in found["weather"]


async def test_a_secret_that_is_copied_to_another_server_is_not_taken_for_its_own(planner, source):
    source.files["catwalk.yaml"] = MANIFEST + b"  spy:\n    package: npm:spy@1.0.0\n    secrets:\n      API_KEY:\n"
    source.files["secrets/spy/API_KEY.sops.yaml"] = FILES[SECRET]
    planned = await planner.plan(HEAD)
    assert CreateApp in kinds(planned)["spy"]
    assert CANARY not in repr(planned)


async def test_a_secret_without_a_value_refuses_its_server(planner, source):
    del source.files[SECRET]
    planned = await planner.plan(HEAD)
    assert [problem.code for problem in planned.problems] == ["secret-file-missing"]
    assert not planned.acceptable


def test_inline_secrets_are_compared_one_by_one():
    sealed = b"ENC[AES256_GCM,data:%s,iv:aXY=,tag:dGFn,type:str]"
    inline = MANIFEST.rstrip() + b" " + sealed % b"b25l" + b"\n      OTHER: " + sealed % b"eA==" + b"\n"
    declared = tuple(SecretDeclaration(name=name, file="catwalk.yaml", inline=True) for name in ("API_KEY", "OTHER"))
    package = PackageReference(registry=Registry.NPM, name="weather")
    spec = ServerSpec(fleet="acme", name="weather", package=package, secrets=declared)
    before = sealed_secrets(spec, {"catwalk.yaml": inline})
    after = sealed_secrets(spec, {"catwalk.yaml": inline.replace(b"data:eA==", b"data:eQ==") + b"# changed\n"})
    assert (before["API_KEY"] == after["API_KEY"], before["OTHER"] == after["OTHER"]) == (True, False)


async def test_manifests_that_cannot_be_read_are_refused_with_their_lines(planner, source):
    source.files["catwalk.yaml"] = MANIFEST.replace(b"package: npm", b"pakage: npm")
    planned = await planner.plan(HEAD)
    assert planned.plan is None
    assert {problem.location.line for problem in planned.problems if problem.location} >= {7}


async def test_a_package_that_does_not_exist_blocks_its_server_alone(planner, source, catalog):
    catalog.missing.add("weather")
    source.files["catwalk.yaml"] = MANIFEST.replace(b"2026.10.19", b"2026.11.1")
    planned = await planner.plan(HEAD)
    assert [(problem.code, problem.server) for problem in planned.problems] == [("package-not-found", "weather")]
    assert set(kinds(planned)) == {"time"}


async def test_another_name_of_the_fleet_is_refused(planner, source):
    source.files["catwalk.yaml"] = MANIFEST.replace(b"fleet: acme", b"fleet: evil")
    planned = await planner.plan(HEAD)
    assert [problem.code for problem in planned.problems] == ["fleet-renamed"]


@dataclass
class Memory:
    waits: list[WaitingProposal] = field(default_factory=list)
    kept: list[ProposedPlan] = field(default_factory=list)
    known: dict[Proposal, StoredProposal] = field(default_factory=dict)

    async def waiting(self):
        return list(self.waits)

    async def stored(self, proposal):
        return self.known.get(proposal)

    async def keep_proposed(self, proposal, planned, *, asked):
        self.kept.append(planned)
        self.waits = [one for one in self.waits if (one.proposal, one.asked) != (proposal, asked)]


@dataclass
class Told:
    words: list[tuple[str, object]] = field(default_factory=list)
    fault: CatwalkError | None = None

    async def begun(self, proposal):
        self.words.append(("begun", proposal.number))

    async def planned(self, _, planned, *, again):
        if self.fault is not None:
            raise self.fault
        self.words.append(("again" if again else "planned", planned.acceptable))

    async def failed(self, _, fault):
        self.words.append(("failed", fault.problem.code))


@dataclass
class Lead:
    leads: bool = True

    def may_act(self) -> bool:
        return self.leads


@dataclass
class Scene:
    worker: ProposalWorker
    memory: Memory
    told: Told
    lead: Lead
    clock: Clock


@pytest.fixture
def scene(planner) -> Scene:
    memory, told, lead, clock = Memory(), Told(), Lead(), Clock()
    worker = ProposalWorker(planner, memory, told, lead, clock)
    return Scene(worker=worker, memory=memory, told=told, lead=lead, clock=clock)


async def test_a_commit_is_told_pending_and_then_its_plan_once(scene):
    scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=1, told=False))
    assert await scene.worker.step()
    assert not await scene.worker.step()
    assert scene.told.words == [("begun", 12), ("planned", True)]
    assert [planned.number for planned in scene.memory.kept] == [12]


async def test_what_is_asked_for_anew_is_told_anew(scene):
    scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=2, told=True))
    await scene.worker.step()
    assert scene.told.words == [("again", True)]


async def test_only_the_leader_plans(scene, source):
    scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=1, told=False))
    scene.lead.leads = False
    assert not await scene.worker.step()
    assert source.asked == []


async def test_a_repository_that_is_away_is_asked_again_and_holds_nothing_up(scene, source):
    other = replace(HEAD, number=13)
    scene.memory.waits += [WaitingProposal(proposal=one, asked=1, told=False) for one in (HEAD, other)]
    source.fault = Unavailable("git-unreachable", "away")
    await scene.worker.step()
    source.fault = None
    await scene.worker.step()
    assert [planned.number for planned in scene.memory.kept] == [13]
    assert not await scene.worker.step(), "it is too early for the first one"
    scene.clock.time += timedelta(seconds=5)
    await scene.worker.step()
    assert [planned.number for planned in scene.memory.kept] == [13, 12]
    assert ("failed", "git-unreachable") in scene.told.words


async def test_patience_ends(scene, source):
    scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=1, told=False))
    source.fault = EnvironmentFault("git-credentials", "refused")
    for _ in range(MOST_TRIES + 3):
        await scene.worker.step()
        scene.clock.time += timedelta(seconds=301)
    assert len(source.asked) == MOST_TRIES
    assert source.fault.remedy is Remedy.FIX_ENVIRONMENT


async def test_what_could_not_be_told_is_planned_again(scene):
    scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=1, told=False))
    scene.told.fault = Unavailable("database-failed", "busy")
    await scene.worker.step()
    assert scene.memory.kept == []
    scene.told.fault = None
    scene.clock.time += timedelta(seconds=5)
    await scene.worker.step()
    assert len(scene.memory.kept) == 1


async def test_who_proposes_is_not_kept_waiting(scene):
    kept = anyio.Event()
    keep = scene.memory.keep_proposed

    async def keep_and_tell(proposal, planned, *, asked) -> None:
        await keep(proposal, planned, asked=asked)
        kept.set()

    scene.memory.keep_proposed = keep_and_tell
    async with anyio.create_task_group() as group:
        group.start_soon(scene.worker.run)
        await anyio.wait_all_tasks_blocked()
        scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=1, told=False))
        scene.worker.wake()
        with anyio.fail_after(LOOK_S - 0.5):
            await kept.wait()
        group.cancel_scope.cancel()
    assert len(scene.memory.kept) == 1


async def planned_before(scene, planner, number: int = 12) -> Proposal:
    """An open pull request whose plan was made when another commit was in force."""
    proposal = replace(HEAD, number=number)
    planned = replace(await planner.plan(proposal), base=replace(BASE, commit="c" * 40))
    scene.memory.known[proposal] = StoredProposal(proposal=proposal, received_at=NOW, waits=False, planned=planned)
    return proposal


async def test_a_base_that_moves_elsewhere_is_no_news_and_the_plan_is_kept_with_its_new_base(scene, planner):
    scene.worker.reconsider([await planned_before(scene, planner)])
    assert await scene.worker.step()
    assert scene.told.words == []
    assert [planned.base for planned in scene.memory.kept] == [BASE]
    assert not await scene.worker.step()


async def test_a_plan_that_the_new_base_changes_is_told_without_a_run_of_its_own(scene, planner, source):
    scene.worker.reconsider([await planned_before(scene, planner)])
    source.files["catwalk.yaml"] = MANIFEST.replace(b"npm:weather@1.0.0", b"npm:weather@2.0.0")
    await scene.worker.step()
    assert scene.told.words == [("planned", True)]


async def test_a_commit_that_is_refused_against_the_new_base_is_told_so(scene, planner, source):
    scene.worker.reconsider([await planned_before(scene, planner)])
    source.files["catwalk.yaml"] = MANIFEST.replace(b"fleet: acme", b"fleet: evil")
    await scene.worker.step()
    assert scene.told.words == [("planned", False)]


@pytest.mark.parametrize("why", ["unknown", "waits", "unplanned", "same base"])
async def test_what_needs_no_other_plan_is_not_read_again(scene, planner, source, why):
    proposal = await planned_before(scene, planner)
    stored = scene.memory.known[proposal]
    scene.memory.known = {
        "unknown": {},
        "waits": {proposal: replace(stored, waits=True)},
        "unplanned": {proposal: replace(stored, planned=None)},
        "same base": {proposal: replace(stored, planned=replace(stored.planned, base=BASE))},
    }[why]
    source.asked.clear()
    scene.worker.reconsider([proposal])
    assert not await scene.worker.step()
    assert (source.asked, scene.memory.kept) == ([], [])


async def test_a_new_commit_comes_before_those_that_are_planned_anew(scene, planner):
    scene.worker.reconsider([await planned_before(scene, planner, 13)])
    scene.memory.waits.append(WaitingProposal(proposal=HEAD, asked=1, told=False))
    await scene.worker.step()
    await scene.worker.step()
    assert [planned.number for planned in scene.memory.kept] == [12, 13]


async def test_however_many_are_open_only_the_newest_are_planned_anew_and_each_once(scene, planner):
    several = [await planned_before(scene, planner, number) for number in range(1, MOST_RECONSIDERED + 5)]
    for _ in range(3):
        scene.worker.reconsider(several)
    while await scene.worker.step():
        pass
    assert [planned.number for planned in scene.memory.kept] == list(range(1, MOST_RECONSIDERED + 1))


async def test_a_repository_that_is_away_leaves_the_old_plans(scene, planner, source):
    several = [await planned_before(scene, planner, number) for number in (1, 2)]
    source.fault = Unavailable("git-unreachable", "away")
    scene.worker.reconsider(several)
    assert not await scene.worker.step()
    assert (scene.told.words, scene.memory.kept) == ([], [])
