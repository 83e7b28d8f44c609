"""Inside a machine: commands executed in it, what runs in it, and the files it starts with."""

import base64
import sys

import anyio
import pytest

LOOK = "import json,os,sys; print(json.dumps([os.getcwd(), os.environ.get('COLOUR'), os.environ['FLY_MACHINE_ID']]))"
SLEEP = (sys.executable, "-S", "-c", "import time; print('begun', flush=True); time.sleep(3600)")


def encoded(text):
    return base64.b64encode(text.encode()).decode()


async def execute(bench, machine, *command: str, **body: object):
    return await bench.api.post(f"{bench.path(machine)}/exec", json={"command": list(command), **body})


async def test_a_command_runs_with_the_directory_and_environment_of_the_machine(bench):
    made = await bench.started(config={"env": {"COLOUR": "blue"}})
    answer = await execute(bench, made, sys.executable, "-S", "-c", LOOK)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["exit_code"], body["exit_signal"], body["stderr"]) == (0, 0, "")
    directory = (await bench.environment())["cwd"]
    assert body["stdout"] == f'["{directory}", "blue", "{made["id"]}"]\n'


@pytest.mark.parametrize(
    ("command", "code", "signal", "text"),
    [
        (("/bin/sh", "-c", "echo no >&2; exit 3"), 3, 0, "no\n"),
        (("/bin/sh", "-c", "kill -9 $$"), 137, 9, ""),
        (("no-such-program",), 127, 0, "cannot run no-such-program: No such file or directory\n"),
    ],
    ids=["exit", "signal", "missing"],
)
async def test_a_command_that_fails_is_answered_with_200(bench, command, code, signal, text):
    made = await bench.started()
    answer = await execute(bench, made, *command)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["exit_code"], body["exit_signal"], body["stderr"]) == (code, signal, text)


async def test_a_command_reads_what_was_sent_for_it(bench):
    made = await bench.started()
    answer = await execute(bench, made, "cat", stdin="three\nlines\n€")
    assert answer.json()["stdout"] == "three\nlines\n€"


async def test_the_older_form_of_a_command_is_one_text(bench):
    made = await bench.started()
    answer = await bench.api.post(f"{bench.path(made)}/exec", json={"cmd": "echo 'two words'"})
    assert answer.json()["stdout"] == "two words\n"


@pytest.mark.parametrize("body", [{}, {"cmd": "'"}, {"command": ["true"], "container": "c"}, {"command": ["a\0"]}])
async def test_a_command_that_is_none_is_refused(bench, body):
    made = await bench.started()
    assert (await bench.api.post(f"{bench.path(made)}/exec", json=body)).status_code == 400


async def test_long_output_is_cut_and_does_not_block_the_command(bench):
    made = await bench.started()
    answer = await execute(bench, made, "head", "-c", "3000000", "/dev/zero")
    assert answer.json()["exit_code"] == 0
    assert len(answer.json()["stdout"]) == 1024 * 1024


async def test_a_command_that_does_not_end_in_time_is_killed_with_what_it_started(bench, living, eventually):
    made = await bench.started()
    await eventually(lambda: living(made["id"]))
    before = {process.pid for process in living(made["id"])}
    answer = await execute(bench, made, "/bin/sh", "-c", "sleep 3600 & sleep 3600", timeout=1)
    assert answer.status_code == 408
    assert {process.pid for process in living(made["id"])} == before


async def test_a_command_ends_with_the_machine(bench, living, eventually, vanish):
    made = await bench.started()
    answers = []

    async def run():
        answers.append(await execute(bench, made, *SLEEP))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await eventually(lambda: len(living(made["id"])) == 2)
        await bench.api.post(f"{bench.path(made)}/stop", json={})
    assert (answers[0].status_code, answers[0].json()["exit_code"]) == (200, 137)
    await vanish(made["id"])


async def ps(bench, machine):
    return (await bench.api.get(f"{bench.path(machine)}/ps")).json()


async def test_the_processes_of_a_machine_are_listed(bench):
    made = await bench.started()
    # Its answer tells that the command has begun.
    environment = await bench.environment()
    [process] = await ps(bench, made)
    assert (process["pid"], process["directory"]) == (environment["pid"], environment["cwd"])
    assert "machine_program.py" in process["command"]
    assert process["rss"] > 1_000_000


@pytest.mark.parametrize("verb", ["stop", "suspend"])
async def test_nothing_is_executed_in_a_machine_that_does_not_run(bench, verb):
    made = await bench.started()
    await bench.api.post(f"{bench.path(made)}/{verb}", json={})
    await bench.wait(made, {"stop": "stopped", "suspend": "suspended"}[verb])
    assert (await execute(bench, made, "true")).status_code == 412
    assert (await bench.api.get(f"{bench.path(made)}/ps")).status_code == 412


async def test_files_are_in_place_before_the_command_starts(bench):
    await bench.api.post("/apps/acme-time/secrets", json={"values": {"KEY": encoded("hidden")}})
    files = [
        {"guest_path": "/etc/app/settings.json", "raw_value": encoded("{}")},
        {"guest_path": "/key", "secret_name": "KEY", "mode": 0o400},
    ]
    made = await bench.started(config={"files": files})
    assert made["config"]["files"] == files
    shown = await execute(bench, made, "/bin/sh", "-c", "cat etc/app/settings.json key; stat -c %a etc/app/* key")
    assert shown.json()["stdout"] == "{}hidden644\n400\n"


async def test_a_file_follows_its_secret_with_the_next_start(bench):
    await bench.api.post("/apps/acme-time/secrets", json={"values": {"KEY": encoded("first")}})
    made = await bench.started(config={"files": [{"guest_path": "/key", "secret_name": "KEY"}]})
    await bench.api.post("/apps/acme-time/secrets", json={"values": {"KEY": encoded("second")}})
    assert (await execute(bench, made, "cat", "key")).json()["stdout"] == "first"
    await bench.api.post(f"{bench.path(made)}/stop", json={})
    await bench.wait(made, "stopped")
    await bench.api.post(f"{bench.path(made)}/start")
    await bench.wait(made)
    assert (await execute(bench, made, "cat", "key")).json()["stdout"] == "second"


@pytest.mark.parametrize("value", [None, "hunter2!"], ids=["missing", "no-base64"])
async def test_a_file_without_its_secret_fails_the_machine_and_tells_no_value(bench, value):
    await bench.api.post("/apps/acme-time/secrets", json={"values": {"KEY": value}})
    made = await bench.make_machine(config={"files": [{"guest_path": "/key", "secret_name": "KEY"}]})
    await bench.wait(made, "failed")
    text = await bench.log_text()
    assert "/key" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "file",
    [
        {"guest_path": "key", "raw_value": ""},
        {"guest_path": "/a/../../key", "raw_value": ""},
        {"guest_path": "/key"},
        {"guest_path": "/key", "raw_value": "", "secret_name": "KEY"},
        {"guest_path": "/key", "raw_value": "no base64"},
        {"guest_path": "/key", "image_config": "nginx"},
    ],
    ids=["relative", "outside", "nothing", "both", "no-base64", "image-config"],
)
async def test_a_file_that_cannot_be_written_is_refused(bench, file):
    config = {"image": "catwalk-runner", "files": [file]}
    refused = await bench.api.post("/apps/acme-time/machines", json={"config": config})
    assert refused.status_code == 400
    assert "config.files.0" in refused.json()["error"]
