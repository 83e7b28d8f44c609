"""The JSON of `/api`: shapes, limits, errors, and that it is described."""

import json
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from jsonschema import Draft202012Validator

from reconciler.core.actions import CreateApp, Plan
from reconciler.core.applied import AppliedState
from reconciler.core.cost import MonthlyCost
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import Revision, ServerState
from reconciler.loop.ports import LogLine, Proposal, StoredProposal
from reconciler.web.events import MOST_STREAMS, LiveStreams
from reconciler.web.view import FleetEvent, FleetEventKind
from tests.web.conftest import NOW


def proposal() -> StoredProposal:
    revision = Revision(commit="a" * 40, branch="refs/pull/12/head", source="https://github.com/acme/fleet")
    plan = Plan(fleet="acme", revision=revision, actions=(CreateApp(server="a", app="b", network="b", reason="new"),))
    cost = MonthlyCost(awake=1.94)
    planned = ProposedPlan(
        number=12, revision=revision, base=revision, plan=plan, problems=(), warnings=(), cost_before=cost,
        cost_after=cost, planned_at=datetime(2026, 11, 24, tzinfo=UTC),
    )  # fmt: skip
    asked = Proposal(number=12, commit=revision.commit, ref=revision.branch)
    return StoredProposal(proposal=asked, received_at=planned.planned_at, waits=False, planned=planned)


NEEDED_HEADERS = {"content-security-policy", "x-content-type-options", "referrer-policy", "cache-control"}


async def test_the_fleet_tells_every_server_with_state_cause_and_address(client):
    fleet = (await client.get("/api/fleet")).json()
    weather = next(server for server in fleet["servers"] if server["name"] == "weather")
    assert [server["name"] for server in fleet["servers"]] == sorted(server["name"] for server in fleet["servers"])
    assert {server["state"] for server in fleet["servers"]} == {state.value for state in ServerState}
    assert weather["cause"] == "crash-loop"
    assert weather["mcp_url"] == "http://127.0.0.1:8080/servers/weather/mcp"
    assert fleet["client_configuration"]["mcpServers"]["weather"] == {"type": "http", "url": weather["mcp_url"]}


async def test_a_refused_revision_is_told_beside_the_one_in_force(client):
    fleet = (await client.get("/api/fleet")).json()
    assert fleet["revision"]["short"] == "feedc0f"
    assert fleet["applied_revision"]["short"] == "a1b2c3d"
    assert (fleet["problems"][0]["file"], fleet["problems"][0]["line"]) == ("servers/catwalk.yaml", 12)
    assert fleet["settled"] is False


async def test_a_fleet_before_its_first_pass_is_an_answer_and_not_an_error(client, view):
    view.passes_done, view.verdicts = (), ()
    fleet = (await client.get("/api/fleet")).json()
    assert (fleet["servers"], fleet["revision"], fleet["checked_at"]) == ([], None, None)


async def test_a_server_tells_how_clients_reach_it_and_when_it_changed(client):
    page = (await client.get("/api/servers/weather")).json()
    assert page["vscode_configuration"]["servers"]["weather"]["type"] == "http"
    assert [(item["state"], item["pass_number"]) for item in page["history"]] == [("failed", 7), ("ready", 6)]


async def test_log_lines_come_oldest_first_and_no_more_than_asked(client):
    logs = (await client.get("/api/servers/weather/logs", params={"limit": 3})).json()
    times = [line["at"] for line in logs["lines"]]
    assert len(times) == 3
    assert times == sorted(times)


async def test_a_log_of_a_server_that_is_unwell_is_explained_by_one_of_its_lines(client):
    found = (await client.get("/api/servers/weather/logs")).json()
    assert found["explanation"]["cause"] == "crash-loop"
    assert found["explanation"]["line"] in {line["message"] for line in found["lines"]}
    assert (await client.get("/api/servers/time/logs")).json()["explanation"] is None


async def test_a_revision_tells_what_was_done_and_what_came_of_it(client):
    document = (await client.get("/api/revisions/a1b2c3d")).json()
    actions = document["passes"][0]["actions"]
    assert [action["outcome"] for action in actions] == ["applied", "adopted", "applied", "failed", None]
    assert actions[3]["changes"][0]["path"] == "init.cmd"
    assert actions[3]["problem"]["code"] == "region-full"
    assert document["in_force"] is True
    assert document["passes"][0]["held"][0]["server"] == "old"
    assert document["passes"][0]["deferred"][0]["until"] == "machine time-1-0a1b2c3d is healthy"
    assert document["passes"][0]["prune"]["command"].startswith("catwalk apply --confirm-prune 7e7e")


async def test_a_refused_revision_is_not_in_force(client):
    document = (await client.get("/api/revisions/feedc0f")).json()
    assert document["in_force"] is False
    assert document["problems"][0]["code"] == "unknown-key"


async def test_passes_come_newest_first(client):
    passes = (await client.get("/api/passes", params={"limit": 2})).json()["passes"]
    assert [item["number"] for item in passes] == [9, 8]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        pytest.param("/api/servers/nobody", 404, "unknown-server", id="server"),
        pytest.param("/api/servers/nobody/logs", 404, "unknown-server", id="logs"),
        pytest.param("/api/revisions/0123456", 404, "unknown-revision", id="commit that no pass looked at"),
        pytest.param("/api/revisions/main", 404, "unknown-revision", id="no commit"),
        pytest.param("/api/passes?limit=0", 400, "bad-request", id="limit too small"),
        pytest.param("/api/servers/time/logs?limit=1001", 400, "bad-request", id="limit too large"),
    ],
)
async def test_errors_are_problem_documents(client, path, status, code):
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert set(answer.headers) >= NEEDED_HEADERS


async def test_a_limit_out_of_range_is_named(client):
    assert "limit" in (await client.get("/api/passes?limit=0")).json()["detail"]


async def test_logs_that_cannot_be_read_now_say_so(client, view):
    view.logs_down = True
    answer = await client.get("/api/servers/time/logs")
    assert (answer.status_code, answer.json()["code"]) == (503, "logs-unavailable")


async def test_every_answer_fits_the_published_schema(client, view):
    view.proposed = (proposal(),)
    view.in_force = AppliedState(fleet="acme", revision=proposal().planned.revision, servers=())
    schema = (await client.get("/api/schema")).json()
    paths = {
        "/api/fleet": "/api/fleet",
        "/api/servers/{name}": "/api/servers/github",
        "/api/servers/{name}/logs": "/api/servers/github/logs",
        "/api/passes": "/api/passes",
        "/api/revisions/{commit}": "/api/revisions/a1b2c3d",
        "/api/pulls": "/api/pulls",
        "/api/pulls/{number}": "/api/pulls/12",
        "/api/state": "/api/state",
        "/api/audit": "/api/audit",
    }
    assert set(schema["paths"]) == set(paths)
    for template, path in paths.items():
        content = schema["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
        described = {**content["schema"], "components": schema["components"]}
        Draft202012Validator(described).validate((await client.get(path)).json())


async def test_the_schema_explains_its_fields(client):
    models = (await client.get("/api/schema")).json()["components"]["schemas"]
    assert models["ServerDocument"]["properties"]["since"]["description"] == "When this state began."


async def test_every_answer_forbids_caching_and_framing(client):
    headers = (await client.get("/api/fleet")).headers
    assert set(headers) >= NEEDED_HEADERS
    assert headers["cache-control"] == "no-store"


async def test_changes_arrive_as_events(client, view):
    view.event_log.append(FleetEvent(kind=FleetEventKind.SERVER_CHANGED, server="time", state=ServerState.READY))
    await view.stop()
    answer = await client.get("/api/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "event: server-changed" in answer.text
    assert '"server": "time"' in answer.text


async def test_more_listeners_than_there_is_room_for_are_refused(client, view):
    site_streams = next(route for route in client.app.routes if route.path == "/api/events")
    provide = site_streams.route_handlers[0].resolve_dependencies()["site"]
    streams = (await provide()).streams
    streams._open = MOST_STREAMS
    answer = await client.get("/api/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "too-many-streams")


async def test_a_listener_that_leaves_gives_its_place_back(view):
    streams = LiveStreams()
    messages = streams.messages(view)
    with anyio.fail_after(5):
        await anext(messages)
        assert streams._open == 1
        await messages.aclose()
    assert streams._open == 0


async def test_log_lines_arrive_as_events_from_where_the_page_ends(client, view):
    await view.say(LogLine(at=NOW, machine_id="m", level="info", message="later"))
    await view.stop()
    after = (NOW - timedelta(seconds=76)).isoformat()
    answer = await client.get("/api/servers/weather/logs/tail", params={"after": after})
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert [line["message"] for line in lines if line] == ["restarting", "later"]


async def test_the_log_of_a_server_that_nobody_knows_is_not_followed(client):
    assert (await client.get("/api/servers/nobody/logs/tail")).status_code == 404
