"""What others recorded of GitHub and what others built to stand in for it, so that our own stand-in cannot drift.

`@octokit/fixtures` holds recorded traffic of api.github.com. `emulate` 0.12.2 is an independent emulator: it has no
commit statuses, but repositories, permissions and the hourly limit. Other versions of that name are another program.
"""

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault, RateLimited, Refused
from reconciler.report.github import GitHub, PersonalToken
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState

pytestmark = [pytest.mark.registry, pytest.mark.timeout(180)]

PACKAGES = ("@octokit/fixtures@23.1.2", "emulate@0.12.2")
RECORDED_SHA = "0000000000000000000000000000000000000001"
RECORDED = Repository(host="github.com", owner="octokit-fixture-org", name="create-status")
SEED = {
    "tokens": {"ghp_octocat": {"login": "octocat", "scopes": ["repo"]}},
    "github": {
        "users": [{"login": "octocat"}],
        "repos": [{"owner": "octocat", "name": "fleet", "private": True, "auto_init": True}],
    },
}
START = """
import { createEmulator } from "emulate";
const [port, seed] = process.argv.slice(2);
const emulator = await createEmulator({ service: "github", port: Number(port), seed: JSON.parse(seed) });
console.log(emulator.url);
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """The npm packages, in a folder of their own."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm and Node are not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {', '.join(PACKAGES)}: {done.stderr[-300:]}")
    return folder


@pytest.fixture(scope="module")
def recorded(packages):
    """Recorded calls of a scenario: `{method, path, status, body, response}`."""

    def read(scenario: str) -> list[dict[str, object]]:
        folder = packages / "node_modules/@octokit/fixtures/scenarios/api.github.com" / scenario
        return json.loads((folder / "normalized-fixture.json").read_text(encoding="utf-8"))

    return read


async def test_a_status_is_sent_as_it_was_recorded(door, github, recorded, canned):
    call = recorded("create-status")[0]
    wish = call["body"]
    github.faults.append(canned(call["status"], body=call["response"]))
    status = CommitStatus(
        sha=RECORDED_SHA,
        context=wish["context"],
        state=StatusState(wish["state"]),
        description=wish["description"],
        target_url=wish["target_url"],
    )
    await door.create_status(RECORDED, status)
    method, path, body = github.sent[0]
    assert (method.lower(), path, json.loads(body)) == (call["method"], call["path"], wish)


async def test_a_recorded_list_is_read(door, github, recorded, canned):
    call = next(one for one in recorded("create-status") if one["path"].endswith("/statuses"))
    github.faults.append(canned(call["status"], body=call["response"]))
    listed = await door.statuses(RECORDED, RECORDED_SHA)
    assert [(one.context, one.state) for one in listed] == [("example/2", "success"), ("example/1", "failure")]
    assert github.sent[0][1].partition("?")[0] == call["path"]


async def test_a_recorded_refusal_tells_its_words(door, github, recorded, canned):
    call = recorded("errors")[0]
    github.faults.append(canned(call["status"], body=call["response"]))
    with pytest.raises(Refused, match="Validation Failed; invalid"):
        await door.access(RECORDED)


@pytest.fixture
async def emulator(packages, unused_port) -> AsyncIterator[str]:
    """The emulator on a loopback port, ended with the test."""
    (packages / "start.mjs").write_text(START, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        "node",
        "start.mjs",
        str(unused_port),
        json.dumps(SEED),
        cwd=packages,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        with anyio.fail_after(30):
            url = (await process.stdout.readline()).decode().strip().replace("localhost", "127.0.0.1")
        assert url.startswith("http://127.0.0.1:"), url
        yield url
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process._transport.close()


@pytest.fixture
async def emulated(emulator, clock) -> AsyncIterator[GitHub]:
    async with GitHub(emulator, PersonalToken(SecretValue("ghp_octocat")), clock) as door:
        yield door


async def test_the_emulator_shows_a_repository_to_its_owner(emulated):
    access = await emulated.access(Repository(host="github.com", owner="octocat", name="fleet"))
    assert (access.full_name, access.private) == ("octocat/fleet", True)


async def test_the_emulator_hides_what_does_not_exist(emulated):
    with pytest.raises(EnvironmentFault, match="must see the repository"):
        await emulated.access(Repository(host="github.com", owner="octocat", name="nothing"))


async def test_the_hourly_limit_of_the_emulator_is_understood(emulated, clock):
    repository = Repository(host="github.com", owner="octocat", name="fleet")
    limits: list[RateLimited] = []

    async def call_until_limited() -> None:
        while not limits:
            try:
                await emulated.access(repository)
            except RateLimited as limit:
                limits.append(limit)

    with anyio.fail_after(150):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call_until_limited)
    assert 1 <= limits[0].retry_after_s <= 3600
