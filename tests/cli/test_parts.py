"""The parts of the command line: places, rendering, routes, and what joins the rooms."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from gateway.routing import RouteTable
from reconciler.cli.fleet_process import caller_note, what_runs
from reconciler.cli.known_secrets import KnownSecrets
from reconciler.cli.machine_environment import machine_environment
from reconciler.cli.named_fleet import NamedFleet
from reconciler.cli.place import (
    Endpoint,
    Place,
    find_place,
    make_state,
    remove_endpoint,
    running_endpoint,
    with_dotenv,
    write_endpoint,
)
from reconciler.cli.plan_text import plan_lines, summary
from reconciler.cli.progress_json import JSONProgress
from reconciler.cli.progress_text import TextProgress
from reconciler.cli.ready import Ready, ReadyWatch
from reconciler.cli.routes import RouteKeeper
from reconciler.cli.validation import Finding
from reconciler.cli.validation_formats import as_github, as_sarif
from reconciler.core.actions import Pass, Plan
from reconciler.core.cost import MonthlyCost
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.plan import plan
from reconciler.core.problems import Location, Problem
from reconciler.core.resolve import resolve
from reconciler.core.secret import MASK, SecretValue
from reconciler.core.types import (
    Cause,
    MachineState,
    Observation,
    ObservedMachine,
    PackageReference,
    Registry,
    Revision,
    SecretDeclaration,
    ServerSpec,
    ServerState,
    ServerStatus,
    Snapshot,
    Trigger,
)
from reconciler.errors import InternalFault, SourceError
from reconciler.fly.probe import DataPath
from reconciler.loop.progress import PassFinished, PlanMade, RevisionRefused, ServerChanged, ServerRemoved
from reconciler.settings import read_settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REVISION = Revision(commit="a" * 40, branch="main", source="/repository", subject="Add time")
SPEC = ServerSpec(
    fleet="acme", name="time", package=PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="1.0")
)
STATUS = ServerStatus(server="time", state=ServerState.READY, tools=("now",), package="pypi:mcp-server-time@1.0")


def made_plan(*specs: ServerSpec, running: ServerSpec | None = None) -> Plan:
    machines = ()
    if running is not None:
        wanted = resolve(running, runner_image="runner:1", secret_digests={}).machines[0]
        machines = (
            ObservedMachine(
                app=wanted.app,
                id="1" * 14,
                name=wanted.name,
                state=MachineState.STARTED,
                region=wanted.region,
                instance_id="01",
                fleet="acme",
                server=wanted.server,
                digest=wanted.digest,
                config=wanted.config,
            ),
        )
    desired = tuple(resolve(spec, runner_image="runner:1", secret_digests={}) for spec in specs)
    snapshot = Snapshot(fleet="acme", revision=REVISION, desired=desired, observation=Observation(machines=machines))
    return plan(snapshot)


def finished(*statuses: ServerStatus, applied: Revision | None = REVISION) -> PassFinished:
    return PassFinished(
        finished=Pass(
            number=1,
            trigger=Trigger.START,
            started_at=NOW,
            finished_at=NOW,
            fleet="acme",
            revision=REVISION,
            applied_revision=applied,
            statuses=statuses,
        )
    )


def text_of(plan_: Plan) -> str:
    lines = plan_lines(plan_, MonthlyCost(awake=3.19), MonthlyCost(awake=6.38, unpriced=("big",)))
    return "\n".join(line.plain for line in lines)


def test_a_plan_shows_additions_with_their_reasons_and_cost() -> None:
    text = text_of(made_plan(SPEC))
    assert "+ time" in text
    assert "create machine time-1 in iad" in text
    assert "Plan: 1 to add, 0 to change, 0 to remove, 0 unchanged." in text
    assert "$3.19 before, $6.38 after" in text
    assert "without a price: big" in text


def test_a_plan_shows_changes_field_by_field() -> None:
    text = text_of(made_plan(replace(SPEC, arguments=("--utc",)), running=SPEC))
    assert "~ time" in text
    assert 'init.cmd: ["--","pypi:mcp-server-time@1.0"] -> ["--","pypi:mcp-server-time@1.0","--utc"]' in text


def test_a_plan_shows_removals_and_what_is_unchanged() -> None:
    assert "- time" in text_of(made_plan(running=SPEC))
    assert summary(made_plan(SPEC, running=SPEC)) == "0 to add, 0 to change, 0 to remove, 1 unchanged"


def test_the_state_directory_is_private_and_hidden_from_git(tmp_path: Path) -> None:
    place = find_place(tmp_path, read_settings({}))
    make_state(place)
    assert place.state_dir == tmp_path / ".catwalk"
    assert place.state_dir.stat().st_mode & 0o777 == 0o700
    assert (place.state_dir / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_an_endpoint_is_found_while_its_process_lives_and_is_private(tmp_path: Path) -> None:
    place = Place(directory=tmp_path, state_dir=tmp_path)
    endpoint = Endpoint(pid=os.getpid(), gateway_url="http://g", engine_url="http://e", engine_token="t", proxy_port=1)
    assert running_endpoint(place) is None
    write_endpoint(place, endpoint)
    assert (tmp_path / "endpoint.json").stat().st_mode & 0o777 == 0o600
    assert running_endpoint(place) == endpoint
    write_endpoint(place, replace(endpoint, pid=2**22 + 1))
    assert running_endpoint(place) is None
    remove_endpoint(place)
    assert running_endpoint(place) is None


def test_dotenv_completes_the_environment_and_never_overrides_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a comment\nSOPS_AGE_KEY=from-file\nOTHER='quoted $HOME'\n", encoding="utf-8")
    found = with_dotenv(tmp_path, {"SOPS_AGE_KEY": "from-environment"})
    assert found == {"SOPS_AGE_KEY": "from-environment", "OTHER": "quoted $HOME"}


def test_machines_see_no_credential_of_the_person() -> None:
    environment = {
        "PATH": "/bin",
        "FLY_API_TOKEN": "x",
        "SOPS_AGE_KEY": "x",
        "GITHUB_TOKEN": "x",
        "npm_config_registry": "r",
    }
    assert machine_environment(environment) == {"PATH": "/bin", "npm_config_registry": "r"}


def manifest(fleet: str) -> ManifestSet:
    return ManifestSet(fleet=fleet, organization="personal", specs=(), files=("catwalk.yaml",))


class _NoFleet:
    async def observe(self, *, glance: bool = False) -> Observation:
        assert not glance
        return Observation()

    async def apply(self, *_: object, **__: object) -> None:
        raise AssertionError


async def test_a_fleet_that_was_renamed_is_refused() -> None:
    names = iter(["acme", "other"])
    opened: list[tuple[str, str]] = []

    def open_fleet(name: str, organization: str) -> _NoFleet:
        opened.append((name, organization))
        return _NoFleet()

    fleet = NamedFleet(lambda _: manifest(next(names)), open_fleet)  # type: ignore[arg-type]  # Applies nothing.
    with pytest.raises(InternalFault):
        await fleet.observe()
    fleet.read_manifests({})
    assert (await fleet.observe()).complete
    with pytest.raises(SourceError, match="acme and is now called other"):
        fleet.read_manifests({})
    assert opened == [("acme", "personal")]


class _Reader:
    def __init__(self) -> None:
        self.value = "first-secret-value"

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, SecretValue]:  # noqa: ARG002 - A port.
        return {"TOKEN": SecretValue(self.value)}


async def test_every_secret_that_was_ever_read_stays_masked() -> None:
    reader = _Reader()
    known = KnownSecrets(reader)
    await known.read(SPEC, {})
    reader.value = "second-secret-value"
    await known.read(SPEC, {})
    text = known.redact("first-secret-value and second-secret-value")
    assert text == f"{MASK} and {MASK}"


def test_routes_follow_the_servers() -> None:
    routes = RouteTable()
    keeper = RouteKeeper(routes, DataPath(host="127.0.0.1", port=9))
    keeper.on_event(ServerChanged(status=STATUS, previous=None))
    assert routes.find("time") is None, "the name of the fleet is not known yet"
    keeper.on_event(PlanMade(plan=made_plan(SPEC)))
    found = routes.find("time")
    assert found is not None
    assert (found.authority, found.host, found.port) == ("acme-time.flycast", "127.0.0.1", 9)
    keeper.on_event(ServerRemoved(server="time"))
    assert routes.find("time") is None


def test_on_fly_every_route_has_its_flycast_name() -> None:
    routes = RouteTable()
    RouteKeeper(routes, DataPath()).remember("acme", {"time"})
    found = routes.find("time")
    assert found is not None
    assert (found.host, found.port) == ("acme-time.flycast", 80)


def test_ready_is_announced_once_when_nothing_is_on_its_way() -> None:
    announced: list[Ready] = []
    watch = ReadyWatch(gateway_url="http://g", elapsed_s=lambda: 1.5, announce=announced.append)
    watch.on_event(finished(replace(STATUS, state=ServerState.STARTING)))
    watch.on_event(finished(STATUS, applied=None))
    assert not announced
    watch.on_event(finished(STATUS))
    watch.on_event(finished(STATUS))
    assert [ready.url("time") for ready in announced] == ["http://g/servers/time/mcp"]


def test_events_are_one_line_of_json_each() -> None:
    lines: list[str] = []
    progress = JSONProgress(lines.append)
    progress.on_event(ServerChanged(status=STATUS, previous=None))
    problem = Problem(code="unknown-key", message="no", location=Location(file="catwalk.yaml", line=3, column=5))
    progress.on_event(RevisionRefused(revision=REVISION, problems=(problem,), in_force=None))
    progress.on_event(PlanMade(plan=made_plan(SPEC)))
    server, revision, planned = map(json.loads, lines)
    assert (server["event"], server["server"], server["state"]) == ("server", "time", "ready")
    assert (revision["accepted"], revision["problems"][0]["line"]) == (False, 3)
    assert {action["kind"] for action in planned["actions"]} == {"create-app", "allocate-address", "create"}


def test_a_person_reads_the_cause_and_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TextProgress(Console(width=200), lambda: NOW)
    progress.on_event(ServerChanged(status=replace(STATUS, state=ServerState.FAILED, detail="exit 1"), previous=None))
    problem = Problem(
        code="unknown-key", message="no", hint="yes", location=Location(file="catwalk.yaml", line=3, column=5)
    )
    progress.on_event(RevisionRefused(revision=REVISION, problems=(problem,), in_force=REVISION))
    printed = capsys.readouterr().out
    assert "failed" in printed
    assert "exit 1" in printed
    assert "catwalk.yaml:3:5: error: no [unknown-key]" in printed
    assert "fix: yes" in printed
    assert "aaaaaaa stays in force" in printed


def test_github_annotations_are_escaped() -> None:
    location = Location(file="a,b:c.yaml", line=3, column=5)
    problem = Problem(code="bad", message="100%\nsure", hint="", location=location)
    assert as_github([Finding(problem=problem, is_error=True)]) == (
        "::error file=a%2Cb%3Ac.yaml,line=3,col=5,title=bad::100%25%0Asure"
    )


def test_sarif_has_rules_and_places() -> None:
    problem = Problem(code="bad", message="wrong", location=Location(file="catwalk.yaml", line=3, column=5))
    log = json.loads(as_sarif([Finding(problem=problem, is_error=False)]))
    result = log["runs"][0]["results"][0]
    assert (result["ruleId"], result["level"]) == ("bad", "warning")
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 5}


def test_a_declared_secret_is_never_part_of_a_plan() -> None:
    secret = SecretDeclaration(name="TOKEN", file="catwalk.yaml", inline=True)
    desired = resolve(replace(SPEC, secrets=(secret,)), runner_image="runner:1", secret_digests={"TOKEN": "d"})
    snapshot = Snapshot(fleet="acme", revision=REVISION, desired=(desired,), observation=Observation())
    assert "set the secrets of acme-time: TOKEN" in text_of(plan(snapshot))


@pytest.mark.parametrize(
    ("state", "told"),
    [(ServerState.FAILED, "failed: crash-loop: exit code 1"), (ServerState.INSTALLING, "installing: fetching")],
)
def test_callers_of_a_server_that_does_not_answer_are_told_why(state: ServerState, told: str) -> None:
    cause = Cause.CRASH_LOOP if state is ServerState.FAILED else None
    detail = "exit code 1" if cause else "fetching"
    assert caller_note(ServerStatus(server="time", state=state, cause=cause, detail=detail)) == told


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.IDLE])
def test_of_a_server_that_is_well_the_control_plane_has_nothing_to_say(state: ServerState) -> None:
    assert not caller_note(ServerStatus(server="time", state=state))
    assert not caller_note(None)


def test_what_sleeps_is_another_thing_after_a_change() -> None:
    asleep = ServerStatus(server="time", state=ServerState.IDLE, machine_id="m1", revision="a", package="pypi:x@1")
    awake, changed = replace(asleep, state=ServerState.READY), replace(asleep, revision="b")
    runs = [what_runs(status) for status in (asleep, awake, changed)]
    assert [each.is_asleep for each in runs if each is not None] == [True, False, True]
    assert len({each.identity for each in runs if each is not None}) == 2
    assert what_runs(None) is None
