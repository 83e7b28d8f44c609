"""A secret is rotated while the server is being called: callers get the old value, then the new one, and no error."""

import json
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.types import TextContent

from reconciler.sops.rules import RuleKind
from tests.journeys.harness import Catwalk, Event, Repository, copy_of_quickstart, running
from tests.sops.writer import Options, encrypt_yaml

pytestmark = [pytest.mark.registry, pytest.mark.timeout(420)]

RECIPIENT = "age15jswsjlnqzfc3sg3yt95k79j3qlc8y6u44ftmrtaxe8z0xmaefgqaa5dcu"
"""The public half of the example's demo key."""
MANIFEST = """\
apiVersion: catwalk.dev/v1
fleet: rotation
servers:
  everything:
    package: npm:@modelcontextprotocol/server-everything@2026.8.31
    scale: {{min: 1}}
    secrets:
      DEMO_TOKEN: {token}
"""


def rotate_to(repository: Repository, token: str) -> None:
    options = Options(recipients=(RECIPIENT,), rule=(RuleKind.ENCRYPTED_REGEX, "^secrets$"), mac_only_encrypted=True)
    repository.write("catwalk.yaml", encrypt_yaml(MANIFEST.format(token=token), options))
    repository.commit("Rotate")


async def token_of(url: str) -> str:
    """The environment variable, as the server itself shows it."""
    async with Client(url, mode="legacy") as client:
        result = await client.call_tool("get-env", {})
    assert isinstance(result.content[0], TextContent)
    token: str = json.loads(result.content[0].text)["DEMO_TOKEN"]
    return token


async def test_a_rotated_secret_reaches_the_server_without_a_gap(tmp_path: Path) -> None:
    repository = copy_of_quickstart(tmp_path)
    rotate_to(repository, "first-5e1f")
    with running(tmp_path) as catwalk:
        ready: Event = catwalk.until_ready()
        url = ready["servers"]["everything"]["url"]
        seen: list[str] = [await token_of(url)]
        rotate_to(repository, "second-a3c2")
        done = anyio.Event()

        async def call() -> None:
            while not done.is_set():
                seen.append(await token_of(url))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.to_thread.run_sync(lambda: until_the_old_one_is_gone(catwalk))
            seen.append(await token_of(url))
            done.set()
        output = catwalk.output
    assert seen[0] == "first-5e1f"
    assert seen[-1] == "second-a3c2"
    assert set(seen) == {"first-5e1f", "second-a3c2"}
    assert "5e1f" not in output
    assert "a3c2" not in output


def until_the_old_one_is_gone(catwalk: Catwalk) -> None:
    catwalk.until(
        lambda event: event["event"] == "action" and event["kind"] == "destroy" and event["outcome"] == "applied",
        within_s=240,
        what="the end of the machine with the old secret",
    )
