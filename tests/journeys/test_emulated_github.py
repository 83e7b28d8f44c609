"""A pull request at a GitHub that somebody else wrote: its webhook, the plan, and what stands there in the end.

`emulate` keeps commits under the ids that git gives them, so that its pull request is about the very commit that a real
git server hands out. It signs and delivers its webhooks itself, and checks the App's tokens and permissions.
"""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.serving import Service, engine, service, service_environment
from tests.journeys.test_pull_requests import ADDED, BASE, propose, wait_for
from tests.journeys.test_serve_statuses import SECRET, SshHost, repository, ssh_host
from tests.npm import installed
from tests.report.app.conftest import pem, private_key
from tests.sources.conftest import Repository

__all__ = ["pem", "private_key", "repository", "ssh_host"]

pytestmark = [pytest.mark.registry, pytest.mark.timeout(240)]

EMULATOR = Path(__file__).parents[1] / "emulate"
PERMISSIONS = {"checks": "write", "contents": "read", "metadata": "read", "issues": "write", "pull_requests": "write"}
EVENTS = ["pull_request", "push", "check_run", "merge_group"]
FLEET = "/repos/acme/fleet"


class EmulatedGitHub:
    """The emulator, by the door of the repository's owner."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, **body: object) -> Any:  # noqa: ANN401  # JSON of many shapes.
        headers = {"Authorization": "Bearer ghp_acme"}
        answer = httpx.request(
            method, f"{self.url}{path}", headers=headers, json=body or None, timeout=20, trust_env=False
        )
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json()

    def take(self, repository: Repository, commit: str, *parents: str) -> str:
        """Makes a commit of the repository known here; the id that it gets."""
        words = repository.git("show", "--no-patch", "--format=%an%n%ae%n%aI%n%cI%n%B", commit).split("\n", 4)
        manifest = repository.git("show", f"{commit}:catwalk.yaml") + "\n"
        entry = {"path": "catwalk.yaml", "mode": "100644", "type": "blob", "content": manifest}
        tree = self.call("POST", f"{FLEET}/git/trees", tree=[entry])["sha"]
        made = self.call(
            "POST",
            f"{FLEET}/git/commits",
            message=words[4].rstrip("\n") + "\n",
            tree=tree,
            parents=list(parents),
            author={"name": words[0], "email": words[1], "date": words[2]},
            committer={"name": words[0], "email": words[1], "date": words[3]},
        )
        return str(made["sha"])

    def runs(self, commit: str) -> list[tuple[str, str | None]]:
        found = self.call("GET", f"{FLEET}/commits/{commit}/check-runs?filter=all")["check_runs"]
        return [(run["name"], run["conclusion"]) for run in found]


@contextmanager
def emulated(hook: str, pem: str) -> Iterator[EmulatedGitHub]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app: dict[str, Any] = {"app_id": 4711, "slug": "catwalk-acme", "name": "Catwalk", "private_key": pem}
    app |= {"permissions": PERMISSIONS, "events": EVENTS, "webhook_url": hook, "webhook_secret": SECRET}
    app["installations"] = [{"installation_id": 99, "account": "acme", "repository_selection": "all", "events": EVENTS}]
    seed = {
        "tokens": {"ghp_acme": {"login": "acme", "scopes": ["repo"]}},
        "github": {
            "users": [{"login": "acme"}],
            "repos": [{"owner": "acme", "name": "fleet", "private": True, "auto_init": True}],
            "apps": [app],
        },
    }
    command = ["node", "start.mjs", str(port), json.dumps(seed)]
    with subprocess.Popen(command, cwd=installed(EMULATOR), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip().replace("localhost", "127.0.0.1")
            assert url.startswith("http://127.0.0.1:"), url
            yield EmulatedGitHub(url)
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_pull_request_elsewhere_gets_its_check_and_its_comment(
    tmp_path: Path, repository: Repository, ssh_host: SshHost, pem: str
) -> None:
    repository.write("catwalk.yaml", BASE)
    base = repository.commit("Start")
    head = propose(repository, ADDED)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(ssh_host.known_hosts, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hook = f"http://127.0.0.1:{port}/webhooks/github"
    with engine(tmp_path / "engine") as machines, emulated(hook, pem) as github:
        environment = service_environment(
            machines,
            ssh_host.url,
            CATWALK_SSH_KEY=ssh_host.key,
            CATWALK_WEBHOOK_SECRET=SECRET,
            CATWALK_PUBLIC_URL="https://mcp.acme.example",
            CATWALK_GITHUB_APP_ID="4711",
            CATWALK_GITHUB_APP_KEY=pem,
            GITHUB_API_URL=github.url,
            HOME=str(home),
        )
        assert (github.take(repository, base), github.take(repository, head, base)) == (base, head)
        github.call("PATCH", f"{FLEET}/git/refs/heads/main", sha=base, force=True)
        github.call("POST", f"{FLEET}/git/refs", ref="refs/heads/clock", sha=head)
        with service(tmp_path, environment, "--poll", "3600", "--port", str(port)) as running:
            assert running.address == f"http://127.0.0.1:{port}"
            wait_for(lambda: ("catwalk/sync", "success") in github.runs(base), "the base is in force", running)
            number = open_pull(github, repository, head)
            wait_for(lambda: ("catwalk/plan", "success") in github.runs(head), "a plan", running)
            assert "**add** `clock`" in comment_of(github, number, running)
            assert running.get(f"/api/pulls/{number}").json()["proposals"][0]["commit"] == head
            assert running.stop() == 0


def open_pull(github: EmulatedGitHub, repository: Repository, head: str) -> int:
    """Its number is known only afterwards, and the webhook is on its way by then: the git server has what is next."""
    for number in range(1, 4):
        repository.git("update-ref", f"refs/pull/{number}/head", head)
    made = github.call("POST", f"{FLEET}/pulls", title="Add a clock", head="clock", base="main")
    assert made["head"]["sha"] == head
    return int(made["number"])


def comment_of(github: EmulatedGitHub, number: int, running: Service) -> str:
    def found() -> list[Any]:
        return list(github.call("GET", f"{FLEET}/issues/{number}/comments"))

    wait_for(found, "a comment", running)
    (comment,) = found()
    assert comment["user"]["login"] == "catwalk-acme[bot]"
    return str(comment["body"])
