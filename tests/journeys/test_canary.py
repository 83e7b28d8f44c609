"""A secret is deployed and used; then everything that Catwalk shows or keeps is searched for it."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx
import pytest
from mcp import Client

from tests.journeys.harness import Repository, clean_environment, command, copy_of_quickstart, running
from tests.journeys.test_rotation import rotate_to, token_of

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

CANARY = "canary/7c1e+plain text&value"
FORMS = {
    CANARY,
    base64.b64encode(CANARY.encode()).decode().rstrip("="),
    quote(CANARY),
    quote(CANARY, safe=""),
    CANARY.replace("/", "\\/"),
    CANARY.replace("&", "&amp;"),
}
MOST_PAGES = 60


def shown(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def pages(client: httpx.Client, base: str) -> Iterator[tuple[str, str]]:
    """Every page that links lead to from the first, and what machines read."""
    waiting = ["/", "/metrics", "/health"]
    seen: set[str] = set()
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(urljoin(base, path))
        yield path, answer.text + str(answer.headers)
        for link in re.findall(r'(?:href|src|hx-get)="([^"#]+)', answer.text):
            target = urlsplit(urljoin(urljoin(base, path), link))
            if target.netloc == urlsplit(base).netloc and "/events" not in target.path:
                waiting.append(target.path)


def kept(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file that Catwalk wrote: database, logs, state.

    The embedded engine is what Fly is elsewhere: it keeps the secrets that it was given, and nobody else may look.
    """
    for path in sorted((folder / ".catwalk").rglob("*")):
        if path.name.startswith("engine.sqlite3"):
            assert not path.stat().st_mode & 0o077 or not path.parent.stat().st_mode & 0o077, path
        elif path.is_file() and not path.is_symlink():
            yield str(path.relative_to(folder)), path.read_bytes()


async def test_a_secret_is_nowhere_but_in_its_machine(tmp_path: Path) -> None:
    rotate_to(copy_of_quickstart(tmp_path), f"'{CANARY}'")
    with running(tmp_path) as catwalk:
        url = catwalk.until_ready()["servers"]["everything"]["url"]
        assert await token_of(url) == CANARY
        async with Client(url, mode="legacy") as client:
            await client.call_tool("echo", {"message": "hello"})
        base = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        with httpx.Client(follow_redirects=True, timeout=30) as browser:
            looked = {path: shown(text) for path, text in pages(browser, base)}
        place = str(tmp_path)
        for arguments in (["status", place, "--json"], ["plan", place, "--json"], ["logs", "everything", "-C", place]):
            done = command(*arguments)
            assert done.returncode in {0, 1}, done.stderr
            looked[arguments[0]] = shown(done.stdout + done.stderr)
        looked["output"] = shown(catwalk.output)
        files = {name: shown(content.decode("latin-1")) for name, content in kept(tmp_path)}
    assert len(looked) > 8
    assert any(name.endswith((".db", ".sqlite", ".sqlite3")) for name in files)
    assert {place: found for place, found in {**looked, **files}.items() if found} == {}


FLEET = """\
apiVersion: catwalk.dev/v1
fleet: fromnothing
servers:
  everything:
    package: npm:@modelcontextprotocol/server-everything@2026.8.31
"""


def secret_set(repository: Repository, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = ["secrets", "set", "everything", "DEMO_TOKEN", "-C", str(repository.directory)]
    return subprocess.run(
        [sys.executable, "-m", "reconciler.cli", *arguments],
        input=CANARY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )


async def test_five_commands_lead_from_nothing_to_a_deployed_secret(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "fleet")
    repository.write("catwalk.yaml", FLEET)
    environment = clean_environment(XDG_CONFIG_HOME=str(tmp_path / "config"))
    first = command("secrets", "init", str(repository.directory), environment=environment)
    assert first.returncode == 0, first.stderr
    second = secret_set(repository, environment)
    assert second.returncode == 0, second.stderr
    repository.commit("Give it its token")  # git add, and git commit.
    with running(repository.directory, environment=environment) as catwalk:
        url = catwalk.until_ready()["servers"]["everything"]["url"]
        assert await token_of(url) == CANARY
        assert shown(catwalk.output + first.stdout + second.stdout) == []
    assert ".env" in repository.read(".gitignore")
