"""What is shipped: the images' installation, Fly's configuration, the GitHub App, the release. Read, and replayed."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reconciler.settings import KNOWN_VARIABLES, read_settings
from reconciler.web.webhooks.events import _READERS as FOLLOWED_EVENTS

ROOT = Path(__file__).resolve().parents[2]
FLY = ROOT / "examples" / "fly"
COMMIT = re.compile(r"[0-9a-f]{40}")


@pytest.mark.registry
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["control-plane", "runner"])
def test_the_installation_of_an_image_works_in_an_empty_environment(tmp_path, kind):
    if shutil.which("sh") is None:
        pytest.skip("there is no shell here")
    source, place = tmp_path / "source", tmp_path / "place"
    copy_of_the_source(source)
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment["PATH"] = f"{Path(sys.base_prefix) / 'bin'}:{environment['PATH']}"
    command = ["sh", str(FLY / "install.sh"), str(source), str(place), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    python = str(place / "bin" / "python")
    installed = run(python, "-c", "import importlib.util as f; print(bool(f.find_spec('litestar')))", cwd=tmp_path)
    if kind == "runner":
        assert "--integrity" in run(python, "-m", "gateway.adapter", "--help", cwd=tmp_path)
        assert installed == "False\n", "the runner holds the adapter and nothing else"
    else:
        assert "follow a repository" in run(str(place / "bin" / "catwalk"), "serve", "--help", cwd=tmp_path).lower()
        assert installed == "True\n"
        pins = {line for line in pinned() if line.startswith(("litestar==", "sqlalchemy==", "pygit2=="))}
        listed = run(str(place / "bin" / "uv"), "pip", "freeze", "--python", python, cwd=tmp_path).lower().splitlines()
        assert pins <= set(listed), "the versions are those that the project pins"


def copy_of_the_source(place: Path) -> None:
    """What `.dockerignore` lets into the build, and nothing else."""
    place.mkdir()
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    for name in let_in:
        for found in ROOT.glob(name):
            target = place / found.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(found, target)


def pinned() -> list[str]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [line.lower() for line in document["tool"]["uv"]["constraint-dependencies"]]


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_settings_of_fly_are_settings_of_catwalk():
    document = tomllib.loads((FLY / "fly.toml").read_text(encoding="utf-8"))
    assert set(document["env"]) <= KNOWN_VARIABLES
    settings = read_settings(document["env"])
    assert settings.public_url == f"https://{document['app']}.fly.dev"
    assert document["http_service"]["auto_stop_machines"] == "off", "a control plane that sleeps watches nothing"
    docker = (FLY / "Dockerfile").read_text(encoding="utf-8")
    assert f"EXPOSE {document['http_service']['internal_port']}" in docker
    assert document["mounts"]["destination"] == "/data"
    assert "CATWALK_STATE_DIR=/data/" in docker


def test_the_github_app_may_what_is_used_and_hears_what_is_followed():
    manifest = json.loads((FLY / "app-manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["default_events"]) == set(FOLLOWED_EVENTS), "installation events come to every App"
    assert manifest["hook_attributes"]["url"].endswith("/webhooks/github")
    assert manifest["default_permissions"] == {
        "checks": "write",
        "contents": "read",
        "merge_queues": "read",
        "metadata": "read",
        "pull_requests": "write",
        "statuses": "write",
    }


def test_actions_of_every_workflow_are_pinned_by_their_commit():
    used = [
        (path.name, line.strip())
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(- )?uses: (?!catwalk-live/|\./)", line)
    ]
    assert len(used) >= 8
    assert not [(file, line) for file, line in used if not COMMIT.search(line.partition("@")[2]) or " # v" not in line]


def test_a_release_names_both_images_and_the_runner_by_its_own_name():
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    built = dict(re.findall(r"- image: (\S+)\s+file: (\S+)", release))
    assert built == {"catwalk": "examples/fly/Dockerfile", "catwalk-runner": "examples/fly/runner.Dockerfile"}
    assert all((ROOT / file).is_file() for file in built.values())
    assert "permissions: {}" in release, "what a job may do stands at the job"
    fly = tomllib.loads((FLY / "fly.toml").read_text(encoding="utf-8"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert fly["build"]["image"].endswith(f"/catwalk:{version}")
    assert fly["env"]["CATWALK_RUNNER_IMAGE"].endswith(f"/catwalk-runner:{version}")


def test_nothing_of_an_image_runs_as_root_for_long():
    assert "USER 10001" in (FLY / "runner.Dockerfile").read_text(encoding="utf-8")
    start = (FLY / "start.sh").read_text(encoding="utf-8")
    assert start.strip().splitlines()[-2].startswith("exec setpriv --reuid=catwalk")
