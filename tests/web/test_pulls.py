"""What was proposed and what is in force, as programs and links find it."""

from dataclasses import replace
from datetime import UTC, datetime

from reconciler.core.actions import CreateApp, Plan
from reconciler.core.applied import AppliedSecret, AppliedServer, AppliedState
from reconciler.core.cost import MonthlyCost
from reconciler.core.problems import Location, Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import DesiredMachine, Revision
from reconciler.loop.ports import Proposal, StoredProposal

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEAD = Revision(commit="a" * 40, branch="refs/pull/12/head", source="https://github.com/acme/fleet", subject="Add maps")
BASE = Revision(commit="b" * 40, branch="main", source="https://github.com/acme/fleet")
NEW = CreateApp(server="maps", app="acme-maps", network="acme-maps", reason="the app does not exist yet")
PLANNED = ProposedPlan(
    number=12,
    revision=HEAD,
    base=BASE,
    plan=Plan(fleet="acme", revision=HEAD, actions=(NEW,), unchanged=("time",), digest="d" * 64),
    problems=(Problem(code="package-not-found", message="no such package", location=Location(file="catwalk.yaml")),),
    warnings=(),
    cost_before=MonthlyCost(awake=1.94),
    cost_after=MonthlyCost(awake=3.88),
    planned_at=NOW,
)


def stored(number=12, planned=PLANNED, *, waits=False) -> StoredProposal:
    proposal = Proposal(number=number, commit=HEAD.commit, ref=HEAD.branch)
    return StoredProposal(proposal=proposal, received_at=NOW, waits=waits, planned=planned)


async def test_a_pull_request_tells_its_plan_its_cost_and_what_is_wrong(client, view):
    view.proposed = (stored(),)
    found = (await client.get("/api/pulls/12")).json()["proposals"]
    assert [(one["number"], one["acceptable"], one["revision"]["subject"]) for one in found] == [
        (12, False, "Add maps")
    ]
    assert found[0]["base"]["short"] == "bbbbbbb"
    assert [(action["kind"], action["server"]) for action in found[0]["plan"]["actions"]] == [("create-app", "maps")]
    assert (found[0]["cost"]["before"], found[0]["cost"]["after"]) == (1.94, 3.88)
    assert found[0]["problems"][0]["file"] == "catwalk.yaml"


async def test_what_waits_for_its_plan_is_told_so(client, view):
    view.proposed = (stored(planned=None, waits=True),)
    found = (await client.get("/api/pulls")).json()["proposals"]
    assert [(one["waits"], one["plan"], one["acceptable"], one["cost"]) for one in found] == [(True, None, None, None)]


async def test_a_pull_request_that_nobody_knows_is_not_found(client, view):
    view.proposed = (stored(),)
    assert (await client.get("/api/pulls/13")).status_code == 404
    assert (await client.get("/api/pulls/0")).status_code == 404
    assert (await client.get("/pulls/13", headers={"accept": "text/html"})).status_code == 404


async def test_the_link_of_a_commit_leads_to_a_page_with_its_plan(client, view):
    view.proposed = (stored(),)
    page = (await client.get("/pulls/12")).text
    for words in ("Pull request 12", "Add maps", "refused", "no such package", "the app does not exist yet"):
        assert words in page
    assert "$1.94 before, $3.88 after" in page
    assert '<a href="/revisions/' + "b" * 40 in page


async def test_a_page_of_a_commit_that_waits_says_so_and_escapes_what_strangers_wrote(client, view):
    hostile = replace(HEAD, subject="<script>alert(1)</script>")
    view.proposed = (stored(planned=replace(PLANNED, revision=hostile)), stored(planned=None, waits=True))
    page = (await client.get("/pulls/12")).text
    assert "being planned" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


async def test_what_is_in_force_is_told_without_any_secret(client, view):
    machine = DesiredMachine(app="acme-time", server="time", name="time-1", region="iad", config="{}", digest="d")
    secret = AppliedSecret(name="API_KEY", sealed="5" * 64, digest="6" * 32)
    server = AppliedServer(
        name="time",
        app="acme-time",
        suspended=False,
        machines=(machine,),
        secrets=(secret,),
        owner="sky",
        labels=(("env", "prod"),),
    )
    view.in_force = AppliedState(fleet="acme", revision=BASE, servers=(server,))
    state = (await client.get("/api/state")).json()
    assert (state["fleet"], state["revision"]["commit"]) == ("acme", BASE.commit)
    assert state["servers"] == [
        {
            "name": "time",
            "app": "acme-time",
            "suspended": False,
            "machines": [{"name": "time-1", "region": "iad", "config": "{}", "digest": "d"}],
            "secrets": [{"name": "API_KEY", "sealed": "5" * 64, "digest": "6" * 32}],
            "owner": "sky",
            "labels": {"env": "prod"},
            "description": "",
        }
    ]


async def test_before_the_first_pass_nothing_is_in_force(client):
    assert (await client.get("/api/state")).status_code == 503
