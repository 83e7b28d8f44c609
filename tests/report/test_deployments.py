"""Deployments at GitHub's stand-in: one for each revision, through the same outbox, whatever goes wrong on the way."""

import itertools
import math
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.cli.github_access import open_github
from reconciler.cli.reporting import Backstage, Outside
from reconciler.core.actions import Pass
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.loop.store import open_store
from reconciler.report.deployments import RepositoryDeployments, WithDeployments
from reconciler.report.explanations import Explanations
from reconciler.report.github import RepositoryStatuses
from reconciler.report.outbox import Outbox
from reconciler.report.pace import SPACING_S, Pace
from reconciler.report.reporter import GitHubReporter
from reconciler.report.rollouts import DeploymentReporter
from reconciler.report.stores import MemoryOutboxStore
from reconciler.settings import read_settings
from tests.report.deployment_desk import DeploymentDesk
from tests.report.dying_deployer import EXPECTED, NEXT, REPOSITORY, SHA, passes
from tests.report.dying_sender import TOKEN

ROOT = Path(__file__).resolve().parents[2]
STARTING, FAILED, READY, LATE, NEXT_STARTING, NEXT_READY = passes()


@pytest.fixture
def deploys(github, canned) -> DeploymentDesk:
    return DeploymentDesk(github, canned)


@pytest.fixture
def begin(door, clock):
    """Starts a process: with a store of its own, or one that an earlier process has left."""

    async def sleep(seconds: float) -> None:
        clock.forward(seconds)

    def start(store=None, environment="acme"):
        deployments = RepositoryDeployments(
            door, REPOSITORY, Pace(clock, sleep=sleep), environment=lambda: environment
        )  # fmt: skip
        service = WithDeployments(RepositoryStatuses(door, REPOSITORY), deployments)
        outbox = Outbox(service, store or MemoryOutboxStore(), clock)
        overlay = environment.partition("/")[2]
        both = (
            GitHubReporter(outbox),
            DeploymentReporter(outbox, Explanations(None), overlay=overlay, public_url="https://c.dev"),
        )

        async def tell(*finished: Pass) -> None:
            for one in finished:
                for reporter in both:
                    await reporter.begin(one)
                    await reporter.report(one)
                while (delay_s := await outbox.step()) < math.inf:
                    clock.forward(delay_s)

        return tell

    return start


async def test_each_revision_has_one_deployment_that_ends_when_the_next_is_in_force(begin, deploys, github):
    tell = begin()
    await tell(STARTING, FAILED, READY, LATE, NEXT_STARTING)
    assert deploys.states(SHA) == ["in_progress", "failure", "success"], "in use until the next one is"
    await tell(NEXT_READY, NEXT_READY)
    assert {sha: deploys.states(sha) for sha in EXPECTED} == EXPECTED
    assert [one["sha"] for one in deploys.deployments] == [SHA, NEXT]
    success, end = deploys.statuses[-2:]
    assert success["log_url"] == success["environment_url"] == f"https://c.dev/revisions/{NEXT}"
    assert end["deployment"] == deploys.deployments[0]["id"], "the new one is told of before"
    assert end["description"] == "superseded by bbbbbbb"
    assert github.states("catwalk/health", NEXT) == ["pending", "success"], "statuses are written as ever"


async def test_an_overlay_is_an_environment_of_its_own(begin, deploys):
    await begin()(READY)
    await begin(environment="acme/staging")(READY)
    told = [(one["environment"], one["production_environment"]) for one in deploys.deployments]
    assert told == [("acme", True), ("acme/staging", False)]
    assert deploys.states(SHA) == deploys.states(SHA, "acme/staging") == ["success"]


async def test_a_process_without_memory_repeats_nothing_and_takes_nothing_back(begin, deploys):
    await begin()(STARTING, READY)
    for _ in range(2):
        await begin()(STARTING, FAILED, READY)
    assert deploys.states(SHA) == ["in_progress", "success"]
    assert len(deploys.deployments) == 1


async def test_deployments_of_others_are_left_alone(begin, deploys):
    theirs = {"ref": SHA, "sha": SHA, "task": "deploy", "environment": "acme", "id": 99}
    deploys.deployments.append({**theirs, "transient_environment": False, "production_environment": False})
    await begin()(READY)
    assert [one["deployment"] for one in deploys.statuses] == [deploys.deployments[1]["id"]]


async def test_what_was_never_made_is_not_made_to_be_ended(begin, deploys):
    store = MemoryOutboxStore()
    await DeploymentReporter(Outbox(None, store, None), Explanations(None)).begin(STARTING)
    await begin(store)(NEXT_READY)
    assert [one["sha"] for one in deploys.deployments] == [NEXT]


async def test_what_somebody_removed_is_no_fault_of_the_token(begin, deploys):
    tell = begin()
    await tell(STARTING)
    deploys.deployments.clear()
    with capture_logs() as logs:
        await tell(READY, NEXT_READY)
    assert "somebody has removed the deployment" in next(one for one in logs if one["log_level"] == "error")["problem"]
    assert [one["sha"] for one in deploys.deployments] == [NEXT]
    assert deploys.states(NEXT) == ["success"]


@pytest.mark.parametrize(("who", "code"), [("writers", 403), ("readers", 404)])
async def test_a_token_that_may_not_is_told_of_once_and_asked_no_more(begin, deploys, github, who, code):
    getattr(deploys, who).clear()
    tell = begin()
    with capture_logs() as logs:
        await tell(STARTING)
        asked = len(deploys.calls)
        await tell(READY, NEXT_STARTING, NEXT_READY)
    warnings = [one for one in logs if one["log_level"] not in {"info", "debug"}]
    assert [(one["event"], one["log_level"]) for one in warnings] == [("deployments_not_permitted", "warning")]
    assert f"GitHub answered {code}" in warnings[0]["problem"]
    assert "Deployments: write" in warnings[0]["problem"]
    assert asked == len(deploys.calls) <= 3
    assert github.states("catwalk/health", NEXT) == ["pending", "success"], "statuses do not wait for it"


async def test_a_new_process_may_have_a_new_token(begin, deploys):
    store = MemoryOutboxStore()
    deploys.writers.clear()
    await begin(store)(READY)
    deploys.writers.add(TOKEN)
    await begin(store)(READY)
    assert deploys.states(SHA) == ["success"]


async def test_writes_are_a_second_apart(begin, deploys, clock, github):
    at: list[float] = []

    def spy(method, _path, _headers, _body):
        if method == "POST":
            at.append(clock.now().timestamp())

    github.routes.insert(0, spy)
    await begin()(STARTING, READY, NEXT_READY)
    assert len(at) > 8
    assert min(later - earlier for earlier, later in itertools.pairwise(at)) >= SPACING_S


@pytest.mark.parametrize("seed", range(2))
async def test_the_story_is_right_whatever_github_answers(begin, deploys, github, canned, seed):
    dice = random.Random(seed)
    kinds = [
        canned(502),
        canned(502, done=True),
        canned(500, body=b"<html>", done=True),
        canned(403, headers={"retry-after": "30"}),
        canned(403, body={"message": "You have exceeded a secondary rate limit"}),
        canned(429, headers={"x-ratelimit-remaining": "0"}),
        canned(200, body=b"[", done=True),
    ]
    github.faults += [dice.choice(kinds) if dice.random() < 0.4 else None for _ in range(60)]
    store = MemoryOutboxStore()
    tell = begin(store)
    for one in passes():
        await tell(one)
        tell = begin(store if dice.random() < 0.7 else None) if dice.random() < 0.3 else tell
    assert [one["sha"] for one in deploys.deployments] == [SHA, NEXT]
    for sha, states in EXPECTED.items():
        told = deploys.states(sha)
        assert told[-1] == states[-1] or (sha, told[-1]) == (SHA, "success"), "a lost store forgets to end"
        assert told == [state for state in states if state in told], "in order, and each once"


async def test_it_is_off_until_it_is_asked_for(loopback, deploys, tmp_path):
    where = {"CATWALK_REPO_URL": "https://github.com/acme/fleet", "GITHUB_API_URL": loopback[1], "GITHUB_TOKEN": TOKEN}
    for switch, contexts in (("", set()), ("1", {"deployment/acme/staging"})):
        settings = read_settings(
            {**where, "CATWALK_ENVIRONMENT": "staging", "CATWALK_GITHUB_DEPLOYMENTS": switch}
        )  # fmt: skip
        store = await open_store(tmp_path / f"state{switch}", SystemClock())
        async with open_github(settings) as access:
            backstage = Backstage(store=store, lead=None, logs=None, fleet_name=lambda: "acme")
            reporting = Outside(settings=settings, access=access).report(backstage)
            await reporting.reporter.report(READY)
            letters = await reporting.outbox.letters()
        store.close()
        assert {one.wanted.context for one in letters} == {"catwalk/sync", "catwalk/health", *contexts}
    with pytest.raises(EnvironmentFault, match="CATWALK_GITHUB_DEPLOYMENTS is 1 or nothing"):
        read_settings({"CATWALK_GITHUB_DEPLOYMENTS": "yes"})


@pytest.fixture
def send():
    """Runs a sender from a process that has everything imported: its end, and how many steps it took."""
    command = [sys.executable, "-m", "tests.report.dying_deployer"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        told, asked = nursery.stdout, nursery.stdin

        def run(state_dir: Path, url: str, step: int) -> tuple[int, int]:
            asked.write(f"{state_dir} {url} {step}\n")
            asked.flush()
            code, steps = told.readline().split()
            return int(code), int(steps)

        yield run
        asked.close()


def test_killed_again_and_again_each_revision_has_one_deployment_and_its_whole_story(loopback, deploys, tmp_path, send):
    dice, ends = random.Random(7), list[int]()
    while 0 not in ends and len(ends) < 40:
        ends.append(send(tmp_path / "state", loopback[1], dice.randint(10, 30))[0])
    assert ends == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    assert len(ends) > 3
    assert {sha: deploys.states(sha) for sha in EXPECTED} == EXPECTED
    assert [one["sha"] for one in deploys.deployments] == [SHA, NEXT]
