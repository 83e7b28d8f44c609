"""How a plan of several stages is shown, as text and as JSON."""

from dataclasses import replace
from datetime import UTC, datetime

from reconciler.cli.plan_json import preview_record
from reconciler.cli.plan_text import plan_lines, summary
from reconciler.core.actions import (
    Create,
    Deferred,
    Destroy,
    FieldChange,
    Held,
    Plan,
    PruneRequest,
    Update,
)
from reconciler.core.cost import MonthlyCost
from reconciler.core.types import DesiredMachine, Revision
from reconciler.loop.passes import Preview

CHANGES = (FieldChange(path="guest.memory_mb", before="512", after="1024"),)
REVISION = Revision(commit="a" * 40, branch="main", source="/repository", subject="Grow")


def machine(name: str) -> DesiredMachine:
    return DesiredMachine(app="acme-time", server="time", name=name, region="iad", config="{}", digest="0" * 64)


def create(name: str) -> Create:
    return Create(
        server="time",
        app="acme-time",
        machine=machine(name),
        reason="its configuration changed",
        replaces="time-1",
        changes=CHANGES,
    )


PLAN = Plan(
    fleet="acme",
    revision=REVISION,
    actions=(create("time-1-0a1b2c3d"),),
    deferred=(
        Deferred(
            action=Destroy(
                server="time", app="acme-time", machine_id="1857", machine_name="time-1", reason="it was replaced"
            ),
            until="machine time-1-0a1b2c3d is healthy",
            awaits="time",
        ),
        Deferred(action=create("time-2-0a1b2c3d"), until="machine time-1-0a1b2c3d is healthy", awaits="time"),
        Deferred(
            action=Update(
                server="wiki",
                app="acme-wiki",
                machine=machine("wiki-1"),
                machine_id="2857",
                instance_id="01",
                changes=CHANGES,
                reason="a secret changed",
            ),
            until="12:00:30 UTC, because it failed once, last with region-full",
            not_before=datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC),
        ),
    ),
    held=(Held(server="old", summary="app acme-old kept", reason="its removal is to be confirmed"),),
    prune=PruneRequest(digest="7e" * 32, apps=("acme-old", "acme-older"), reason="2 servers of 3 would be removed"),
    digest="9f" * 32,
)


def text_of(plan: Plan) -> str:
    return "\n".join(line.plain for line in plan_lines(plan, MonthlyCost(), MonthlyCost()))


def test_a_plan_shows_what_follows_and_what_it_waits_for() -> None:
    lines = text_of(PLAN).splitlines()
    first = lines.index("      create machine time-1-0a1b2c3d in iad beside time-1  (its configuration changed)")
    assert lines[first : first + 6] == [
        "      create machine time-1-0a1b2c3d in iad beside time-1  (its configuration changed)",
        "          guest.memory_mb: 512 -> 1024",
        "      then, when machine time-1-0a1b2c3d is healthy:",
        "        destroy machine time-1 (1857)  (it was replaced)",
        "        create machine time-2-0a1b2c3d in iad beside time-1  (its configuration changed)",
        "  ~ wiki",
    ]
    assert "      not before 12:00:30 UTC, because it failed once, last with region-full:" in lines


def test_a_plan_counts_servers_and_the_steps_that_wait() -> None:
    assert summary(PLAN) == "0 to add, 2 to change, 0 to remove, 0 unchanged, 3 steps for later, 1 held"


def test_a_removal_to_be_confirmed_names_its_command() -> None:
    text = text_of(PLAN)
    assert "Nothing is removed: 2 servers of 3 would be removed" in text
    assert f"to remove them: catwalk apply --confirm-prune {'7e' * 32}" in text


def test_a_plan_that_only_waits_does_not_claim_that_all_is_done() -> None:
    text = text_of(replace(PLAN, actions=()))
    assert "Fleet acme has nothing to do now on its way to" in text
    assert f"Digest: {PLAN.digest}" in text


def test_the_document_has_everything_that_the_text_shows() -> None:
    record = preview_record(Preview(plan=PLAN, manifests=None), MonthlyCost(), MonthlyCost())
    assert [action["kind"] for action in record["actions"]] == ["create"]
    assert record["actions"][0]["changes"] == [{"path": "guest.memory_mb", "before": "512", "after": "1024"}]
    assert [(found["kind"], found["not_before"]) for found in record["deferred"]] == [
        ("destroy", None),
        ("create", None),
        ("update", "2026-11-24T12:00:30+00:00"),
    ]
    assert record["prune"]["apps"] == ["acme-old", "acme-older"]
    assert record["prune"]["command"].startswith("catwalk apply --confirm-prune 7e7e")
