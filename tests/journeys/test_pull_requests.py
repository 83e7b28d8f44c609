"""A pull request, from its webhook to its check and its comment, with a real `catwalk serve` and a real git server."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from reconciler.loop.clock import SystemClock
from tests.journeys.serving import Service, engine, service, service_environment
from tests.journeys.test_serve_statuses import SECRET, SshHost, repository, ssh_host
from tests.report.app.conftest import AppDesk, pem, private_key
from tests.report.conftest import Canned, make_loopback
from tests.sources.conftest import Repository

__all__ = ["make_loopback", "pem", "private_key", "repository", "ssh_host"]

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

BASE = b"""\
apiVersion: catwalk.dev/v1
fleet: told
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
    suspend: true
"""
ADDED = BASE + b"  clock:\n    package: pypi:mcp-server-time@2026.10.19\n    args: [--local-timezone=Asia/Tokyo]\n"
BROKEN = ADDED.replace(b"args:", b"arrgs:")


def nothing_missed(_method, path, _headers, _body):
    """No webhook failed, and no pull request was open when the service began."""
    return Canned(200, body=[]) if "/app/hook/deliveries?" in path or "/pulls?" in path else None


def propose(repository: Repository, manifest: bytes) -> str:
    """A commit that no branch holds, under the name that GitHub gives heads of pull requests, also of forks."""
    repository.git("checkout", "--quiet", "--detach", "main")
    repository.write("catwalk.yaml", manifest)
    commit = repository.commit("Add a clock")
    repository.git("update-ref", "refs/pull/12/head", commit)
    repository.git("checkout", "--quiet", "main")
    return commit


def deliver(running: Service, event: str, payload: dict[str, object]) -> int:
    body = json.dumps(payload | {"repository": {"full_name": "acme/fleet", "default_branch": "main"}}).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": event,
        "x-github-delivery": str(uuid.uuid4()),
        "x-hub-signature-256": f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}",
    }
    url = f"{running.address}/webhooks/github"
    return httpx.post(url, content=body, headers=headers, timeout=10, trust_env=False).status_code


def pull_request(commit: str) -> dict[str, object]:
    return {"action": "synchronize", "number": 12, "pull_request": {"head": {"sha": commit}, "base": {"ref": "main"}}}


def wait_for(found: Callable[[], object], what: str, running: Service, *, within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not found():
        time.sleep(0.05)
    assert found(), f"{what} did not come:\n{running.log}"


def test_a_pull_request_is_told_what_it_would_do_and_changes_nothing(
    tmp_path: Path, repository: Repository, ssh_host: SshHost, make_loopback, private_key, pem
) -> None:
    github, api = make_loopback()
    desk = AppDesk(private_key.public_key(), SystemClock(), Canned)
    github.routes += [nothing_missed, desk.route]
    repository.write("catwalk.yaml", BASE)
    base = repository.commit("Start")
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(ssh_host.known_hosts, encoding="utf-8")

    def runs(commit: str, name: str = "catwalk/plan") -> list[dict[str, object]]:
        return [run for run in desk.runs if (run["head_sha"], run["name"]) == (commit, name)]

    def concluded(commit: str, conclusion: str, name: str = "catwalk/plan") -> bool:
        return [run["conclusion"] for run in runs(commit, name)][-1:] == [conclusion]

    with engine(tmp_path / "engine") as machines:
        environment = service_environment(
            machines,
            ssh_host.url,
            CATWALK_SSH_KEY=ssh_host.key,
            CATWALK_WEBHOOK_SECRET=SECRET,
            CATWALK_PUBLIC_URL="https://mcp.acme.example",
            CATWALK_GITHUB_APP_ID="4711",
            CATWALK_GITHUB_APP_KEY=pem,
            GITHUB_API_URL=api,
            HOME=str(home),
        )
        with service(tmp_path, environment, "--poll", "3600") as running:
            wait_for(lambda: concluded(base, "success", "catwalk/sync"), "the base is in force", running)
            first = propose(repository, ADDED)
            assert deliver(running, "pull_request", pull_request(first)) == 202
            wait_for(lambda: concluded(first, "success"), "a plan", running)
            wait_for(lambda: desk.comments, "a comment", running)
            assert "1 to add" in str(runs(first)[-1]["output"])
            assert "**add** `clock`" in desk.comments[0]["body"]
            assert runs(first)[-1]["details_url"] == "https://mcp.acme.example/pulls/12"

            second = propose(repository, BROKEN)
            assert deliver(running, "pull_request", pull_request(second)) == 202
            wait_for(lambda: concluded(second, "failure"), "a refusal", running)
            marks = desk.annotations[int(str(runs(second)[-1]["id"]))]
            assert [(mark["path"], mark["start_line"]) for mark in marks] == [("catwalk.yaml", 9)]
            wait_for(lambda: "refused" in desk.comments[0]["body"], "the comment of the refusal", running)
            assert len(desk.comments) == 1

            rerun = {"action": "rerequested", "check_run": {"name": "catwalk/plan", "head_sha": first}}
            assert deliver(running, "check_run", rerun) == 202
            wait_for(lambda: len(runs(first)) == 2 and concluded(first, "success"), "a run of its own", running)

            told = running.get("/api/pulls/12").json()["proposals"]
            assert [(one["commit"], one["acceptable"]) for one in told] == [(second, False), (first, True)]
            state = running.get("/api/state").json()
            assert (state["revision"]["commit"], [server["name"] for server in state["servers"]]) == (base, ["time"])
            assert running.fleet()["applied_revision"]["commit"] == base
            assert machines.machines("told-clock") == []
            assert running.stop() == 0
    assert github.violations == []
