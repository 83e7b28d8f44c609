"""Every example of the engine's README, carried out as it stands there."""

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import httpx
import pytest

import reconciler.engine

README = Path(reconciler.engine.__file__).with_name("README.md")
ROOT = README.parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
CALLS = [line for language, text in BLOCKS if language == "http" for line in text.splitlines()]
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]


def test_the_readme_has_examples_of_each_kind():
    assert (len(PYTHON), len(COMMANDS)) == (4, 1)
    assert len(CALLS) > 10
    assert {language for language, _ in BLOCKS} == {"python", "sh", "http"}


@pytest.mark.parametrize("text", PYTHON, ids=[f"example-{number}" for number in range(1, len(PYTHON) + 1)])
async def test_an_example_in_python_runs_as_it_stands(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = compile(text, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    began = FunctionType(code, {"__name__": "example"})()
    if inspect.isawaitable(began):
        await began
    assert "Traceback" not in capsys.readouterr().err


def test_the_command_and_the_calls_for_any_language_work_as_they_stand(tmp_path):
    with running(COMMANDS[0], tmp_path) as api:
        answers = {line: call(api, line) for line in CALLS}
    assert {line: answer.status_code for line, answer in answers.items() if answer.is_error} == {}
    clock = [answer.json() for line, answer in answers.items() if line.startswith("GET /_engine/clock")]
    assert [one["running"] for one in clock] == [False]
    machines = answers[CALLS[-1]].json()["machines"]
    assert [machine["app_name"] for machine in machines] == ["acme-time"]


def call(api: httpx.Client, line: str) -> httpx.Response:
    method, path, body = [*line.split(" ", 2), ""][:3]
    return api.request(method, path, json=json.loads(body) if body else None)


@contextmanager
def running(line: str, directory: Path) -> Iterator[httpx.Client]:
    """The command of the README, on a port of the system's choice."""
    program, *words = shlex.split(line)
    assert program == "catwalk"
    command = [sys.executable, "-m", "reconciler.cli", *words, "--port", "0", "--json"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(directory)}
    with subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            token = words[words.index("--token") + 1]
            with httpx.Client(base_url=ready["api"], headers={"authorization": f"FlyV1 {token}"}, timeout=30) as api:
                yield api
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0
