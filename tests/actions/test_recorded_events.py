"""What the action reads out of events, against GitHub's own recorded examples of every event."""

import json
from pathlib import Path

import pytest

from reconciler.cli.review_event import proposed
from tests.npm import installed

NODE = Path(__file__).parent / "node"
INDEX = "node_modules/@octokit/webhooks-examples/api.github.com/index.json"


@pytest.mark.registry
def test_every_recorded_event_is_read_and_pull_requests_are_known(tmp_path: Path) -> None:
    index = json.loads((installed(NODE) / INDEX).read_text(encoding="utf-8"))
    numbers: list[tuple[int, str]] = []
    for event in index:
        for number, payload in enumerate(event["examples"]):
            file = tmp_path / f"{event['name']}-{number}.json"
            file.write_text(json.dumps(payload), encoding="utf-8")
            found = proposed(
                {"GITHUB_EVENT_PATH": str(file), "GITHUB_REPOSITORY": "acme/fleet", "GITHUB_SHA": "c" * 40}
            )
            assert found.repository == "acme/fleet"
            pull = payload.get("pull_request") if isinstance(payload.get("pull_request"), dict) else {}
            assert found.pull_request == pull.get("number", 0)
            assert found.revision.commit == pull.get("head", {}).get("sha", "c" * 40)
            numbers += [(found.pull_request, found.revision.commit)] if found.pull_request else []
    assert len(numbers) > 20
