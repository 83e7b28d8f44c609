"""What outlives what: nothing outlives the engine, and the state outlives everything."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest

from reconciler.engine import run_engine
from reconciler.errors import EnvironmentFault

ROOT = Path(__file__).resolve().parents[2]

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the guarantee rests on prctl")

HOST_PROGRAM = """
    import asyncio, json, sys
    from pathlib import Path
    from reconciler.engine import EngineSettings, run_engine

    async def main():
        images = {"catwalk-runner": tuple(sys.argv[2:])}
        settings = EngineSettings(state_dir=Path(sys.argv[1]), token="t", images=images)
        async with run_engine(settings) as engine:
            print(json.dumps({"api": engine.api_url}), flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


async def test_machines_that_ran_run_again_after_a_restart_and_the_others_do_not(open_bench, settings):
    async with open_bench(settings) as bench:
        await bench.make_app()
        await bench.api.post("/apps/acme-time/secrets", json={"values": {"API_KEY": "kept"}})
        running = await bench.started(name="running")
        resting = await bench.make_machine(name="resting", skip_launch=True)
        await bench.wait(resting, "stopped")
    async with open_bench(settings) as bench:
        found = await bench.wait(running)
        assert (found["name"], found["instance_id"]) == ("running", running["instance_id"])
        assert (await bench.environment())["env"]["API_KEY"] == "kept"
        assert (await bench.show(resting))["state"] == "stopped"


async def test_an_engine_that_only_reads_starts_nothing_and_changes_nothing(open_bench, settings, living):
    async with open_bench(settings) as bench:
        await bench.make_app()
        made = await bench.started()
    async with open_bench(replace(settings, boot=False)) as bench:
        assert (await bench.show(made))["id"] == made["id"]
        assert living(made["id"]) == []
        refused = await bench.api.post(f"{bench.path(made)}/stop")
        assert refused.status_code == 503
        async with run_engine(replace(settings, boot=False)) as second:
            assert second.api_url != bench.engine.api_url


async def test_a_second_engine_on_the_same_state_is_refused(bench):
    with pytest.raises(EnvironmentFault, match="another engine uses the state directory"):
        async with run_engine(bench.settings):
            pass
    assert (await bench.api.get("/apps/acme-time")).status_code == 200


async def test_a_port_in_use_is_refused_with_its_number(bench, settings, tmp_path):
    port = int(bench.engine.api_url.rpartition(":")[2])
    with pytest.raises(EnvironmentFault, match=f"127.0.0.1:{port} cannot be used for the Machines API"):
        async with run_engine(replace(settings, state_dir=tmp_path / "other", api_port=port)):
            pass


async def test_a_damaged_state_file_is_refused(settings):
    settings.state_dir.mkdir()
    (settings.state_dir / "engine.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        async with run_engine(settings):
            pass


async def test_an_error_of_the_host_leaves_the_engine_unwrapped_and_with_nothing_running(open_bench, settings, vanish):
    made = {}

    async def host():
        async with open_bench(settings) as bench:
            await bench.make_app()
            made.update(await bench.started("--children"))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await host()
    await vanish(made["id"])


async def test_cancelling_the_host_stops_everything(settings, open_bench, vanish, eventually):
    ids = []

    async def host():
        async with open_bench(settings) as bench:
            await bench.make_app()
            ids.append((await bench.started("--children", "--deaf"))["id"])
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host)
        await eventually(lambda: ids)
        tasks.cancel_scope.cancel()
    await vanish(ids[0])


async def test_what_a_machine_left_running_ends_with_its_command(bench, living, vanish):
    made = await bench.started("--children", config={"restart": {"policy": "no"}})
    await bench.call("/health")
    assert len(living(made["id"])) >= 3
    await bench.call("/exit?0")
    await bench.wait(made, "stopped")
    await vanish(made["id"])


async def test_a_machine_that_ignores_its_signal_is_killed_after_its_timeout(bench, vanish):
    made = await bench.started("--deaf", "--children")
    await bench.call("/health")
    await bench.api.post(f"{bench.path(made)}/stop", json={"signal": "SIGTERM", "timeout": "100ms"})
    found = await bench.wait(made, "stopped")
    exit_event = next(e for e in found["events"] if e["type"] == "exit")["request"]["exit_event"]
    assert (exit_event["guest_signal"], exit_event["requested_stop"]) == (9, True)
    await vanish(made["id"])


async def test_a_stopped_machine_starts_with_an_empty_directory(bench):
    made = await bench.started()
    directory = Path((await bench.environment())["cwd"])
    assert directory.parent == bench.settings.state_dir / "machines"
    await anyio.Path(directory / "written").write_text("x", encoding="utf-8")
    await bench.api.post(f"{bench.path(made)}/stop")
    await bench.wait(made, "stopped")
    assert (await bench.environment())["cwd"] == str(directory)
    assert [entry async for entry in anyio.Path(directory).iterdir()] == []
    await bench.api.delete(bench.path(made), params={"force": "true"})
    await bench.wait(made, "destroyed")
    assert not await anyio.Path(directory).exists()


async def test_a_command_that_does_not_exist_is_an_exit_with_its_reason_in_the_log(bench):
    config = {"init": {"exec": ["/no/such/program"]}, "restart": {"policy": "no"}}
    made = await bench.make_machine(config=config)
    found = await bench.wait(made, "stopped")
    assert found["events"][0]["request"]["exit_event"]["exit_code"] == 127
    assert "cannot run /no/such/program: No such file or directory" in await bench.log_text()


async def test_init_exec_and_entrypoint_replace_the_image(bench):
    config = {"init": {"entrypoint": ["/bin/echo"], "cmd": ["from", "cmd"]}, "restart": {"policy": "no"}}
    await bench.wait(await bench.make_machine(config=config), "stopped")
    config = {"init": {"exec": ["/bin/echo", "exec"], "cmd": ["unused"]}, "restart": {"policy": "no"}}
    await bench.wait(await bench.make_machine(config=config), "stopped")
    lines = (await bench.log_text()).splitlines()
    assert "from cmd" in lines
    assert "exec" in lines


@linux_only
async def test_killing_the_supervisor_leaves_no_process_and_the_machine_comes_back(bench, living, eventually):
    made = await bench.started("--children")
    await bench.call("/health")
    before = living(made["id"])
    [supervisor] = {process.parent().pid for process in before if process.pid == (await bench.environment())["pid"]}
    os.kill(supervisor, signal.SIGKILL)
    await eventually(lambda: not any(process.is_running() and process.status() != "zombie" for process in before))
    found = await bench.until(made, lambda machine: any(event["type"] == "exit" for event in machine["events"]))
    assert next(e for e in found["events"] if e["type"] == "exit")["request"]["exit_event"]["guest_signal"] == 9
    await bench.wait(made)


@linux_only
async def test_killing_the_engine_leaves_no_process_and_loses_no_machine(open_bench, settings, vanish):
    machine = await _started_in_another_process(settings)
    await vanish(machine["id"])
    async with open_bench(settings) as bench:
        assert (await bench.wait(machine))["name"] == "survivor"
        listed = (await bench.api.get("/apps/acme-time/machines")).json()
        assert [found["id"] for found in listed] == [machine["id"]]


async def _started_in_another_process(settings) -> dict:
    """A machine of an engine that was killed while the machine ran."""
    command = [sys.executable, "-c", textwrap.dedent(HOST_PROGRAM), str(settings.state_dir)]
    async with await anyio.open_process(
        [*command, *settings.images["catwalk-runner"]],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as host:
        url = json.loads(await host.stdout.receive())["api"]
        async with httpx.AsyncClient(base_url=f"{url}/v1", headers={"authorization": "Bearer t"}, timeout=30) as api:
            await api.post("/apps", json={"name": "acme-time", "org_slug": "personal"})
            config = {"image": "catwalk-runner", "init": {"cmd": ["--children"]}}
            made = await api.post("/apps/acme-time/machines", json={"name": "survivor", "config": config})
            waited = await api.get(f"/apps/acme-time/machines/{made.json()['id']}/wait", params={"timeout": "20"})
            assert waited.status_code == 200
        host.kill()
        await host.wait()
    return made.json()
