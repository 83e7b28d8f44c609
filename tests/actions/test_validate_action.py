"""The action's own script, run as GitHub runs it: what it says, what it writes, and what hostile pull requests get."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.core.digests import canonical_json
from reconciler.core.resolve import resolve
from reconciler.sources.manifests import read_manifests
from tests.sources.local_registry import LocalRegistry, local_registry

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "validate"
GOOD = """\
apiVersion: catwalk.dev/v1
fleet: acme
servers:
  notes:
    git: {url: https://github.com/acme/notes, commit: 8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e}
"""
SHA = "a" * 40
CANARY = "canary-91c2"


@dataclass
class Run:
    code: int
    log: str
    summary: str
    outputs: dict[str, str]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "catwalk.yaml").write_text(GOOD, encoding="utf-8")
    return folder


@pytest.fixture
def review(workspace: Path, tmp_path: Path) -> Callable[..., Run]:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": {"sha": SHA}}}), encoding="utf-8")
    summary, output = tmp_path / "summary.md", tmp_path / "output"

    def call(**variables: str) -> Run:
        for file in (summary, output):
            file.write_text("", encoding="utf-8")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "REVIEW_PYTHON": sys.executable,
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": "acme/fleet",
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(output),
        }
        done = subprocess.run(
            ["bash", str(ACTION / "review.sh")],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        written = dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())
        log = done.stdout + done.stderr
        return Run(code=done.returncode, log=log, summary=summary.read_text(encoding="utf-8"), outputs=written)

    return call


@pytest.fixture
def outside() -> Iterator[LocalRegistry]:
    """Stands in for the control plane and for GitHub."""
    with local_registry() as local:
        yield local


def state(*servers: dict[str, object], fleet: str = "acme") -> dict[str, object]:
    revision = {
        "commit": "b" * 40,
        "short": "b" * 7,
        "branch": "main",
        "subject": "Begin",
        "committed_at": None,
        "url": "",
    }
    return {"fleet": fleet, "revision": revision, "servers": list(servers)}


def in_force(name: str) -> dict[str, object]:
    config = canonical_json(
        {"image": "registry.example/catwalk-runner:9", "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}}
    )
    machine = {"name": f"{name}-1", "region": "iad", "config": config, "digest": "d" * 64}
    return {"name": name, "app": f"acme-{name}", "suspended": False, "machines": [machine], "secrets": []}


def test_a_good_manifest_passes_and_is_summed_up(review: Callable[..., Run]) -> None:
    run = review()
    assert (run.code, run.log) == (0, "")
    assert run.summary.startswith("## Catwalk: valid")
    assert run.outputs == {"valid": "true", "errors": "0", "warnings": "0", "plan-digest": "", "changes": ""}


def test_what_is_wrong_is_marked_at_its_line(review: Callable[..., Run], workspace: Path, tmp_path: Path) -> None:
    (workspace / "catwalk.yaml").write_text(GOOD.replace("fleet: acme", "fleet: Acme"), encoding="utf-8")
    sarif = tmp_path / "out.sarif"
    run = review(REVIEW_SARIF=str(sarif))
    assert run.code == 1
    assert "::error file=catwalk.yaml,line=2,col=8,title=bad-name::" in run.log
    assert "`catwalk.yaml:2:8`" in run.summary
    assert run.outputs["errors"] == "1"
    assert json.loads(sarif.read_text(encoding="utf-8"))["runs"][0]["results"][0]["ruleId"] == "bad-name"


def test_a_plan_is_made_against_what_is_in_force(review: Callable[..., Run], outside: LocalRegistry) -> None:
    answer = outside.put("/api/state", state(in_force("old")))
    answer.authorization = f"Bearer {CANARY}"
    run = review(REVIEW_CONTROL_PLANE=outside.url, STATE_TOKEN=CANARY)
    assert run.code == 0, run.log
    assert "acme-notes" in run.summary
    assert "old" in run.summary
    assert int(run.outputs["changes"]) > 1
    assert len(run.outputs["plan-digest"]) == 64
    assert CANARY not in run.log + run.summary


def test_what_is_in_force_already_is_no_change(review: Callable[..., Run], outside: LocalRegistry) -> None:
    """The image that the control plane runs servers with is its own setting, and no difference."""
    spec = read_manifests({"catwalk.yaml": GOOD.encode()}).specs[0]
    wanted = resolve(spec, runner_image="registry.example/catwalk-runner:9", secret_digests={})
    machines = [
        {"name": one.name, "region": one.region, "config": one.config, "digest": one.digest} for one in wanted.machines
    ]
    outside.put("/api/state", state(in_force("notes") | {"machines": machines}))
    run = review(REVIEW_CONTROL_PLANE=outside.url)
    assert (run.code, run.outputs["changes"]) == (0, "0"), run.log + run.summary


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param({"status": 503}, "status 503", id="down"),
        pytest.param({"status": 401}, "does not accept the token", id="a wrong token"),
        pytest.param({"body": state(fleet="other")}, "runs the fleet other", id="another fleet"),
        pytest.param({"body": {"hello": "world"}}, "does not tell", id="something else"),
    ],
)
def test_a_plan_that_cannot_be_made_is_said_and_fails_nothing(
    review: Callable[..., Run], outside: LocalRegistry, answer: dict[str, object], words: str
) -> None:
    outside.put("/api/state", answer.get("body", {}), status=answer.get("status", 200))
    run = review(REVIEW_CONTROL_PLANE=outside.url)
    assert run.code == 0
    assert words in run.log
    assert words in run.summary


def test_a_control_plane_without_encryption_is_not_asked(review: Callable[..., Run]) -> None:
    run = review(REVIEW_CONTROL_PLANE="http://catwalk.example", STATE_TOKEN=CANARY)
    assert "no https address" in run.log


def test_one_comment_is_made_and_kept_up_to_date(review: Callable[..., Run], outside: LocalRegistry) -> None:
    comments = "/repos/acme/fleet/issues/7/comments"
    outside.put(f"{comments}?per_page=100&page=1", [])
    outside.put(comments, {"id": 5}, status=201)
    run = review(REVIEW_COMMENT="true", GITHUB_TOKEN=CANARY, GITHUB_API_URL=outside.url)
    assert run.code == 0, run.log
    assert run.log == ""
    assert [path for path in outside.paths if path == comments]


def test_a_token_that_may_not_comment_is_a_warning(review: Callable[..., Run], outside: LocalRegistry) -> None:
    outside.put("/repos/acme/fleet/issues/7/comments?per_page=100&page=1", {"message": "no"}, status=403)
    run = review(REVIEW_COMMENT="true", GITHUB_TOKEN=CANARY, GITHUB_API_URL=outside.url)
    assert run.code == 0
    assert "::warning" in run.log
    assert CANARY not in run.log


def test_nothing_of_a_pull_request_is_run(review: Callable[..., Run], workspace: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    code = f"open({str(mark)!r}, 'w').close()\n"
    for name in ("reconciler", "json", "click"):
        (workspace / name).mkdir()
        (workspace / name / "__init__.py").write_text(code, encoding="utf-8")
    for name in ("sitecustomize.py", "usercustomize.py", "anyio.py"):
        (workspace / name).write_text(code, encoding="utf-8")
    (workspace / ".env").write_text("SOPS_AGE_KEY=x\nCATWALK_NONSENSE=1\n", encoding="utf-8")
    (workspace / ".npmrc").write_text("registry=http://127.0.0.1:1/${STATE_TOKEN}\n", encoding="utf-8")
    (workspace / "catwalk.yaml").write_text(
        GOOD.replace("fleet: acme", f'fleet: "$(touch {mark})"')
        + f"  '`touch {mark}`':\n    package: !!python/object/apply:os.system ['touch {mark}']\n",
        encoding="utf-8",
    )
    run = review(STATE_TOKEN=CANARY)
    assert run.code == 1
    assert not mark.exists()
    assert CANARY not in run.log + run.summary


def test_text_of_strangers_makes_no_command_and_no_markup(review: Callable[..., Run], workspace: Path) -> None:
    hostile = "x\\n::set-output name=valid::true\\n::stop-commands::z <img src=x onerror=alert(1)> @everyone | a `b`"
    (workspace / "catwalk.yaml").write_text(f'apiVersion: catwalk.dev/v1\n"{hostile}": 1\n', encoding="utf-8")
    run = review()
    assert run.code == 1
    lines = [line for line in run.log.splitlines() if line.startswith("::")]
    assert lines
    assert all(line.startswith("::error file=catwalk.yaml") for line in lines)
    in_the_open = re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", run.summary)
    assert "<img" in run.summary
    assert "<img" not in in_the_open
    assert "@everyone" not in in_the_open


def test_a_directory_with_a_hostile_name_is_only_a_name(
    review: Callable[..., Run], workspace: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    folder = workspace / f"$(touch {mark.name}); --x"
    folder.mkdir()
    (folder / "catwalk.yaml").write_text(GOOD, encoding="utf-8")
    assert review(REVIEW_DIRECTORY=folder.name).code == 0
    assert not (workspace / mark.name).exists()


def test_the_action_passes_inputs_only_through_the_environment() -> None:
    action = YAML(typ="safe").load(ACTION / "action.yml")
    steps = action["runs"]["steps"]
    assert all("${{" not in step["run"] for step in steps)
    named = {
        word for step in steps for value in step["env"].values() for word in value.split() if word.startswith("inputs.")
    }
    assert named == {f"inputs.{name}" for name in action["inputs"]}
    readme = (ACTION / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in readme for name in action["inputs"])
