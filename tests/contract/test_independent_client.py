"""The engine, driven by `fly-admin` of npm: a client of the Machines API that nobody here has written."""

import json
import shutil
from pathlib import Path

import anyio
import pytest

from tests.contract.evidence import source
from tests.contract.targets import RUN_ON, engine_place
from tests.npm import installed as npm_installed

pytestmark = [pytest.mark.registry, pytest.mark.timeout(300)]

CLIENT = Path(__file__).with_name("node")


@pytest.fixture(scope="session")
def script() -> Path:
    """The client's script, with the client installed as its lock file says."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("the independent client needs Node.js with npm, which is not here")
    return npm_installed(CLIENT) / "life-of-a-machine.mjs"


@source("fly.md 15.F", "fly.md 4.1", "fly.md 4.2", "fly.md 6.2", "fly.md 17.16")
async def test_a_client_of_others_makes_waits_for_lists_and_destroys_a_machine(script, tmp_path):
    async with engine_place(tmp_path / "engine") as place:
        config = json.dumps({"image": place.image, "init": {"exec": RUN_ON}})
        # The client always says Bearer; a macaroon with its scheme is what its users store.
        words = ["node", str(script), place.api_url, f"FlyV1 {place.token}", place.organization, config]
        with anyio.fail_after(120):
            finished = await anyio.run_process(words, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    said = json.loads(finished.stdout)
    machine_id = said["created"]["id"]
    assert (said["created"]["state"], said["created"]["name"]) == ("created", "one")
    assert [said[step]["state"] for step in ("started", "stopped", "destroyed")] == ["started", "stopped", "destroyed"]
    assert [machine["id"] for machine in said["listed"]] == [machine_id]
    assert said["lease"]["data"]["nonce"]
    assert said["held"]["data"]["owner"] == said["lease"]["data"]["owner"]
    assert {"launch", "start", "exit"} <= {event["type"] for event in said["events"]}
    assert [version["version"] for version in said["versions"]] == [said["created"]["instance_id"]]
    assert (said["read"]["id"], said["read"]["state"]) == (machine_id, "stopped")
    assert [app["name"] for app in said["apps"]["apps"]] == ["from-node"]
    assert said["missing"] == '404: {"message":"app not found"}'
