"""Over ssh, with a key and a known host: a commit is fetched, run, and told its result in its statuses."""

import getpass
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.journeys.serving import Service, engine, service, service_environment
from tests.report.conftest import TOKEN, LoopbackGitHub, make_loopback
from tests.sources.conftest import Repository, make_key
from tests.sources.conftest import _wait_for_listening as wait_for_listening

__all__ = ["make_loopback"]

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

SECRET = "hook-canary-2d4f"
MANIFEST = b"""\
apiVersion: catwalk.dev/v1
fleet: told
servers:
  time:
    package: pypi:mcp-server-time@2026.10.19
"""


@dataclass
class SshHost:
    """sshd that gives out one repository, under the name that GitHub would give it."""

    url: str
    key: str
    known_hosts: str


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    path = tmp_path / "git" / "fleet"
    path.mkdir(parents=True)
    made = Repository(path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "receive.denyCurrentBranch", "updateInstead")
    made.write("catwalk.yaml", MANIFEST)
    return made


@pytest.fixture
def ssh_host(tmp_path: Path, repository: Repository) -> Iterator[SshHost]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("sshd is not installed")
    home = tmp_path / "sshd"
    home.mkdir(mode=0o700)
    for name in ("host", "client"):
        make_key(home / name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (home / "authorized_keys").write_bytes((home / "client.pub").read_bytes())
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nPidFile {home}/pid\n"
        f"AuthorizedKeysFile {home}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        'ForceCommand case "$SSH_ORIGINAL_COMMAND" in '
        f"git-receive-pack*) exec git-receive-pack '{repository.path}';; "
        f"*) exec git-upload-pack '{repository.path}';; esac\n",
        encoding="utf-8",
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    command = [program, "-D", "-e", "-f", str(home / "config")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        wait_for_listening(process)
        host_key = " ".join((home / "host.pub").read_text(encoding="utf-8").split()[:2])
        yield SshHost(
            url=f"ssh://{getpass.getuser()}@127.0.0.1:{port}/acme/fleet",
            key=(home / "client").read_text(encoding="utf-8"),
            known_hosts=f"[127.0.0.1]:{port} {host_key}\n",
        )
    finally:
        process.terminate()
        process.communicate(timeout=10)


def wait_for_success(github: LoopbackGitHub, context: str, sha: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and github.states(context, sha)[-1:] != ["success"]:
        time.sleep(0.05)
    assert github.states(context, sha)[-1:] == ["success"]


def push(host: SshHost, folder: Path) -> str:
    """What a developer does: a clone, a commit, and a push over ssh. The commit."""
    (key := folder / "key").write_text(host.key, encoding="utf-8")
    key.chmod(0o600)
    (folder / "known_hosts").write_text(host.known_hosts, encoding="utf-8")
    ssh = f"ssh -F /dev/null -i {key} -o IdentitiesOnly=yes -o UserKnownHostsFile={folder / 'known_hosts'}"
    clone = folder / "clone"
    environment = {**os.environ, "GIT_SSH_COMMAND": ssh}
    subprocess.run(["git", "clone", "--quiet", host.url, str(clone)], check=True, timeout=60, env=environment)
    developer = Repository(clone)
    developer.write("catwalk.yaml", MANIFEST + b"    args: [--local-timezone=Asia/Tokyo]\n")
    commit = developer.commit("Move to Tokyo")
    subprocess.run(["git", "push", "--quiet"], cwd=clone, check=True, timeout=60, env=environment)
    return commit


def push_webhook(running: Service, secret: str) -> int:
    """What GitHub sends when the branch has moved."""
    payload = {"ref": "refs/heads/main", "repository": {"full_name": "acme/fleet", "default_branch": "main"}}
    body = json.dumps(payload).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": str(uuid.uuid4()),
        "x-hub-signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
    }
    url = f"{running.address}/webhooks/github"
    return httpx.post(url, content=body, headers=headers, timeout=10, trust_env=False).status_code


def test_a_commit_is_told_what_became_of_it(
    tmp_path: Path, repository: Repository, ssh_host: SshHost, make_loopback
) -> None:
    github, api = make_loopback()
    commit = repository.commit("Start")
    github.commits.add(commit)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(ssh_host.known_hosts, encoding="utf-8")
    with engine(tmp_path / "engine") as machines:
        environment = service_environment(
            machines,
            ssh_host.url,
            CATWALK_SSH_KEY=ssh_host.key,
            CATWALK_WEBHOOK_SECRET=SECRET,
            CATWALK_PUBLIC_URL="https://mcp.acme.example",
            GITHUB_API_URL=api,
            GITHUB_TOKEN=TOKEN,
            HOME=str(home),
        )
        with service(tmp_path, environment, "--poll", "3600") as running:
            running.until_state("time", "ready")
            wait_for_success(github, "catwalk/health", commit)
            wait_for_success(github, "catwalk/sync", commit)
            github.commits.add(second := push(ssh_host, home))
            assert push_webhook(running, "another secret") == 401
            assert push_webhook(running, SECRET) == 202
            running.until(lambda line: line["event"] == "revision" and line["commit"] == second, what="the revision")
            wait_for_success(github, "catwalk/health", second)
            wait_for_success(github, "catwalk/sync", second)
            page = running.get(f"/revisions/{second}")
            assert running.get(f"/api/revisions/{second}").json()["servers"][0]["state"] == "ready"
            assert (page.status_code, second[:7] in page.text, "ready" in page.text) == (200, True, True)
            assert "Asia/Tokyo" in json.dumps(machines.machines("told-time"))
            assert running.stop() == 0
    told = [one for one in github.posted if one["context"] == "catwalk/health"]
    assert {one["target_url"] for one in told} == {
        f"https://mcp.acme.example/revisions/{sha}" for sha in (commit, second)
    }
    assert github.violations == []
    assert TOKEN not in running.log
    assert SECRET not in running.log
