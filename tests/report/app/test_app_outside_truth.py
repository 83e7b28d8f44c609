"""The App's calls before an independent emulator, and all of them before GitHub's own OpenAPI document.

`emulate` 0.12.2 checks JWTs, installations and permissions and keeps check runs and comments; it tells no App of a run
and replaces annotations where GitHub adds them. GitHub's document says what may be sent; what our own stand-in answers
is held to it too, as far as it answers at all.
"""

import asyncio
import json
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reconciler.core.secret import SecretValue
from reconciler.errors import EnvironmentFault
from reconciler.loop.clock import SystemClock
from reconciler.report.app_key import AppKey
from reconciler.report.checks import RepositoryChecks
from reconciler.report.comments import StickyComment, TokenOwner
from reconciler.report.connection import Connection
from reconciler.report.credentials import AppInstallation
from reconciler.report.deployments import RepositoryDeployments
from reconciler.report.details import Annotation, CheckDetails
from reconciler.report.github import GitHub, PersonalToken
from reconciler.report.missed import FailedDeliveries, OpenPulls
from reconciler.report.outbox import Outbox
from reconciler.report.pace import Pace
from reconciler.report.repository import Repository
from reconciler.report.statuses import CommitStatus, StatusState, superseded_by
from reconciler.report.stores import MemoryOutboxStore
from reconciler.report.verification import GitHubVerifier
from tests.report.deployment_desk import DeploymentDesk

pytestmark = [pytest.mark.registry, pytest.mark.timeout(180)]

EMULATOR, DOCUMENT = "emulate@0.12.2", "@octokit/openapi@23.0.2"
DOCUMENT_PATH = "package/generated/api.github.com.json"
EMULATED = Repository(host="github.com", owner="octocat", name="fleet")
SHA = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
START = """
import { createEmulator } from "emulate";
const [port, seed] = process.argv.slice(2);
const emulator = await createEmulator({ service: "github", port: Number(port), seed: JSON.parse(seed) });
console.log(emulator.url);
"""
PERMISSIONS = {"checks": "write", "contents": "read", "metadata": "read", "issues": "write", "pull_requests": "write"}


def npm(folder: Path, *arguments: str) -> None:
    program = shutil.which("npm")
    if program is None or shutil.which("node") is None:
        pytest.skip("npm and Node are not installed")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm {' '.join(arguments)}: {done.stderr[-300:]}")


@pytest.fixture
async def emulator(tmp_path_factory, unused_port, pem) -> AsyncIterator[str]:
    """The emulator on a loopback port with an App that is installed, ended with the test."""
    folder = tmp_path_factory.mktemp("npm")
    npm(folder, "install", "--ignore-scripts", "--no-audit", "--no-fund", EMULATOR)
    (folder / "start.mjs").write_text(START, encoding="utf-8")
    app = {"app_id": 4711, "slug": "catwalk-acme", "name": "Catwalk", "private_key": pem, "permissions": PERMISSIONS}
    app["installations"] = [{"installation_id": 99, "account": "octocat", "repository_selection": "all"}]
    seed = {
        "tokens": {"ghp_octocat": {"login": "octocat", "scopes": ["repo"]}},
        "github": {
            "users": [{"login": "octocat"}],
            "repos": [{"owner": "octocat", "name": "fleet", "private": True, "auto_init": True}],
            "apps": [app],
        },
    }
    process = await asyncio.create_subprocess_exec(
        "node", "start.mjs", str(unused_port), json.dumps(seed), cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
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
async def emulated(emulator, pem):
    """The App at the emulator: its installation, its door, and the door of the owner."""
    clock = SystemClock()
    async with Connection(emulator, clock) as connection:
        installation = AppInstallation(AppKey("4711", SecretValue(pem)), EMULATED, connection, clock)
        owner = PersonalToken(SecretValue("ghp_octocat"))
        async with GitHub(emulator, installation, clock) as door, GitHub(emulator, owner, clock) as own:
            yield installation, door, own


async def head_of(door) -> str:
    return json.loads(await door.call("GET", "/repos/octocat/fleet/commits/main"))["sha"]


def status(state="pending", *, sha: str = SHA, description="being applied", **more: object) -> CommitStatus:
    return CommitStatus(
        sha=sha, context="catwalk/sync", state=StatusState(state), description=description, **more
    )  # fmt: skip


async def test_the_emulator_gives_the_app_a_token_and_takes_its_check_runs(emulated):
    installation, door, own = emulated
    sha = await head_of(own)
    checks = RepositoryChecks(door, EMULATED, Pace(SystemClock()), app_id="4711")
    outbox = Outbox(checks, MemoryOutboxStore(), SystemClock())
    marks = (Annotation(path="catwalk.yaml", line=1, message="no such package"),)
    for one in (
        status(sha=sha),
        status("failure", sha=sha, description="no such package", details=CheckDetails(summary="s", annotations=marks)),
        status("success", sha=sha, description="1 server as declared"),
    ):
        await outbox.want([one])
        assert await outbox.drain(timeout_s=20)
    runs = json.loads(await own.call("GET", f"/repos/octocat/fleet/commits/{sha}/check-runs?filter=all"))["check_runs"]
    told = [(run["conclusion"], run["output"]["title"], run["output"]["annotations_count"]) for run in runs]
    assert told == [("success", "1 server as declared", 0), ("failure", "no such package", 1)]
    assert (await installation.permissions())["checks"] == "write"


async def test_a_process_that_died_repeats_nothing_at_the_emulator(emulated):
    _, door, own = emulated
    sha = await head_of(own)
    for _ in range(2):
        checks = RepositoryChecks(door, EMULATED, Pace(SystemClock()), app_id="4711")
        outbox = Outbox(checks, MemoryOutboxStore(), SystemClock())
        await outbox.want([status("success", sha=sha, description="done")])
        assert await outbox.drain(timeout_s=20)
    listed = json.loads(await own.call("GET", f"/repos/octocat/fleet/commits/{sha}/check-runs?filter=all"))
    assert listed["total_count"] == 1


async def test_the_emulator_keeps_one_comment_of_the_app(emulated):
    installation, door, own = emulated
    issue = json.loads(await own.call("POST", "/repos/octocat/fleet/issues", body={"title": "t"}))["number"]
    address = f"/repos/octocat/fleet/issues/{issue}/comments"
    await own.call("POST", address, body={"body": "<!-- catwalk:plan:acme -->\npasted"})
    comment = StickyComment(door, EMULATED, installation, Pace(SystemClock()), fleet="acme")
    for word in ("first", "second", "second"):
        await comment.say(issue, word)
    told = [(one["user"]["login"], one["body"].splitlines()[1]) for one in json.loads(await own.call("GET", address))]
    assert told == [("octocat", "pasted"), ("catwalk-acme[bot]", "second")]


async def test_the_emulator_refuses_another_key(emulator, key_of_a_stranger):
    async with Connection(emulator, SystemClock()) as connection:
        stranger = AppInstallation(AppKey("4711", key_of_a_stranger), EMULATED, connection, SystemClock())
        with pytest.raises(EnvironmentFault, match="could not be decoded"):
            await stranger.token()


@pytest.fixture
def key_of_a_stranger() -> SecretValue:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return SecretValue(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


class Judge:
    """GitHub's OpenAPI document. Answers are judged by what they have, not by what they leave out."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.openapi = pytest.importorskip("openapi_schema_validator")
        referencing = pytest.importorskip("referencing")
        self.document, self.paths = document, document["paths"]
        draft = referencing.jsonschema.DRAFT4
        parts = [("urn:sent", document), ("urn:answered", lenient(document))]
        self.registry = referencing.Registry().with_resources(
            [(name, referencing.Resource(contents=part, specification=draft)) for name, part in parts]
        )

    def request(self, method: str, path: str, body: bytes) -> None:
        template, operation = self._operation(method, path)
        if "requestBody" not in operation:
            assert not body
            return
        said = json.loads(body)
        place = f"urn:sent#{_pointer(template, method)}/requestBody/content/application~1json/schema"
        self._validate(self.openapi.OAS30WriteValidator, place, said)
        documented = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
        assert set(said) <= set(documented), f"{method} {template} sends what is not documented"

    def query(self, method: str, path: str) -> None:
        """What is asked for besides the path."""
        template, operation = self._operation(method, path)
        named = [self._parameter(one) for one in operation.get("parameters", [])]
        documented = {one["name"] for one in named if one["in"] == "query"}
        asked = {pair.partition("=")[0] for pair in path.partition("?")[2].split("&") if pair}
        assert asked <= documented, f"{method} {template} asks for what is not documented: {asked - documented}"

    def _parameter(self, one: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in one:
            return one
        found: dict[str, Any] = self.document["components"]["parameters"][one["$ref"].rpartition("/")[2]]
        return found

    def answer(self, method: str, path: str, code: int, body: object) -> None:
        template, operation = self._operation(method, path)
        assert str(code) in operation["responses"], f"{method} {template} does not answer {code}"
        shared = operation["responses"][str(code)].get("$ref", "").removeprefix("#")
        told = shared or f"{_pointer(template, method)}/responses/{code}"
        place = f"urn:answered#{told}/content/application~1json/schema"
        self._validate(self.openapi.OAS30ReadValidator, place, body)

    def _validate(self, validator: Callable[..., Any], place: str, value: object) -> None:
        faults = [fault.message for fault in validator({"$ref": place}, registry=self.registry).iter_errors(value)]
        assert not faults, f"{place}: {faults}"

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """Literal segments win over placeholders."""
        fitting = [template for template in self.paths if _matches(template, path.partition("?")[0])]
        template = min(fitting, key=lambda one: one.count("{"))
        return template, self.paths[template][method.lower()]


def _matches(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path) is not None


def _pointer(template: str, method: str) -> str:
    return f"/paths/{template.replace('/', '~1')}/{method.lower()}"


def lenient(part: object) -> object:
    """The document for answers: nothing is required, and null is what `nullable` says, also beside an `enum`."""
    if isinstance(part, list):
        return [lenient(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = {key: lenient(one) for key, one in part.items() if key != "required" or not isinstance(one, list)}
    if part.get("nullable") is True and isinstance(kept.get("enum"), list):
        kept["enum"] = [*kept["enum"], None]
    return kept


@pytest.fixture(scope="module")
def judge(tmp_path_factory) -> Judge:
    folder = tmp_path_factory.mktemp("openapi")
    npm(folder, "pack", DOCUMENT, "--silent")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        member = package.extractfile(DOCUMENT_PATH)
        assert member is not None
        return Judge(json.loads(member.read()))


@pytest.fixture
def answered(desk, github) -> list[tuple[str, str, int, object]]:
    """What the stand-in answers."""
    told: list[tuple[str, str, int, object]] = []

    def spy(method, path, headers, body):
        answer = desk.route(method, path, headers, body)
        if answer is not None:
            told.append((method, path, answer.status, json.loads(json.dumps(answer.body))))
        return answer

    github.routes[:] = [spy]
    return told


async def test_everything_that_is_sent_and_answered_is_as_github_documents_it(
    judge, answered, app_door, installation, repository, pace, app_id, github
):
    checks = RepositoryChecks(app_door, repository, pace, app_id=app_id)
    marks = tuple(
        Annotation(path="catwalk.yaml", line=line, message="unknown key", title="unknown-key") for line in range(1, 60)
    )
    details = CheckDetails(summary="s" * 80_000, text="t" * 80_000, annotations=marks, external_id="d" * 64)
    for state in StatusState:
        await checks.post(status(state, details=details, target_url="https://c.dev/revisions/a1"))
        await checks.statuses(SHA)
    comment = StickyComment(app_door, repository, installation, pace, fleet="acme")
    await comment.say(5, "first")
    await comment.say(5, "second " * 20_000)
    for method, path, body in github.sent:
        judge.request(method, path, body)
    for call in answered:
        judge.answer(*call)
    assert {(method, re.sub(r"\d+|[0-9a-f]{40}", "N", path.partition("?")[0])) for method, path, _ in github.sent} == {
        ("GET", "/app"),
        ("GET", "/repos/acme/fleet/installation"),
        ("POST", "/app/installations/N/access_tokens"),
        ("POST", "/repos/acme/fleet/check-runs"),
        ("PATCH", "/repos/acme/fleet/check-runs/N"),
        ("GET", "/repos/acme/fleet/commits/N/check-runs"),
        ("GET", "/repos/acme/fleet/issues/N/comments"),
        ("POST", "/repos/acme/fleet/issues/N/comments"),
        ("PATCH", "/repos/acme/fleet/issues/comments/N"),
    }


async def test_calls_for_pull_requests_and_lost_webhooks_are_as_github_documents_them(
    judge, app_door, installation, repository, pace, clock, github, canned
):
    at = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    delivery = {
        "id": 12345678, "guid": "0b989ba4-242f-11e5-81e1-c7b6966d2516", "delivered_at": at, "redelivery": False,
        "duration": 0.27, "status": "Invalid HTTP Response: 502", "status_code": 502, "event": "push", "action": None,
        "installation_id": 123, "repository_id": 456, "throttled_at": None,
    }  # fmt: skip
    verification = {"verified": True, "reason": "valid", "signature": "s", "payload": "p", "verified_at": at}
    answers = {
        "/app/hook/deliveries": (200, [delivery]),
        "/app/hook/deliveries/12345678/attempts": (202, {}),
        "/repos/acme/fleet/pulls": (200, [{"number": 1, "head": {"sha": SHA, "ref": "f"},
                                           "base": {"sha": SHA, "ref": "main"}}]),
        f"/repos/acme/fleet/commits/{SHA}": (200, {"sha": SHA, "commit": {"verification": verification}}),
        "/user": (200, {"login": "octocat", "user_view_type": "public"}),
    }  # fmt: skip

    def route(_method, path, _headers, _body):
        found = answers.get(path.partition("?")[0])
        return None if found is None else canned(found[0], body=found[1])

    github.routes.insert(0, route)
    assert await FailedDeliveries(installation, pace, clock).ask_again() == 1
    assert len(await OpenPulls(app_door, repository).proposals("main")) == 1
    await GitHubVerifier(app_door, repository).verify(SHA)
    assert await TokenOwner(app_door).login() == "octocat"
    asked = [(method, path, body) for method, path, body in github.sent if path.partition("?")[0] in answers]
    assert {path.partition("?")[0] for _, path, _ in asked} == set(answers)
    for method, path, body in asked:
        judge.request(method, path, body)
        judge.query(method, path)
        code, answer = answers[path.partition("?")[0]]
        judge.answer(method, path, code, answer)


def test_the_judge_is_no_rubber_stamp(judge):
    for wrong in (
        {"name": "x"},
        {"name": "x", "head_sha": SHA, "status": "done"},
        {"name": "x", "head_sha": SHA, "c": 1},
    ):
        with pytest.raises(AssertionError):
            judge.request("POST", "/repos/acme/fleet/check-runs", json.dumps(wrong).encode())
    long = {"name": "x", "head_sha": SHA, "status": "queued", "output": {"title": "t", "summary": "s" * 70_000}}
    with pytest.raises(AssertionError):
        judge.request("POST", "/repos/acme/fleet/check-runs", json.dumps(long).encode())


async def test_deployments_are_sent_and_answered_as_github_documents_them(
    judge, door, repository, pace, github, canned
):
    desk = DeploymentDesk(github, canned)
    deployments = RepositoryDeployments(door, repository, pace, environment=lambda: "acme/staging")
    words = {"being applied": "pending", "timeout": "failure", "no token": "error", "1/1 healthy": "success"}
    for description, state in (words | {superseded_by("b1c2d3e"): "pending"}).items():
        said = status(state, description=description, target_url="https://c.dev/revisions/a1")
        await deployments.post(replace(said, context="deployment/acme/staging"))
        assert (await deployments.statuses(SHA))[0].description == description
    assert desk.states(SHA, "acme/staging") == ["in_progress", "failure", "error", "success", "inactive"]
    for method, path, body in github.sent:
        judge.request(method, path, body)
        judge.query(method, path)
    for call in desk.told:
        judge.answer(*call)
    wrong = {"ref": SHA, "required_contexts": "all"}
    with pytest.raises(AssertionError):
        judge.request("POST", "/repos/acme/fleet/deployments", json.dumps(wrong).encode())
