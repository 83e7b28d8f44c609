"""What changed since an unwell server last worked, on its page and in its document."""

from dataclasses import replace

from litestar.testing import AsyncTestClient

from reconciler.core.types import ServerState

WORKED = "7" * 40


def worked_at(view, commit: str) -> None:
    """The sample server's last good state was that of another commit, or the same."""
    failed, ready = view.changes
    view.changes = (failed, replace(ready, revision=commit))


async def document(client: AsyncTestClient, server: str = "weather"):
    answer = await client.get(f"/api/servers/{server}")
    return answer.json()["since_it_worked"]


async def test_what_a_commit_did_to_its_machines_is_told(client, view):
    worked_at(view, WORKED)
    since = await document(client)
    assert (since["worked_at"], since["worked_until"]) == (
        WORKED,
        view.changes[0].at.isoformat().replace("+00:00", "Z"),
    )
    assert [(one["kind"], one["changes"][0]["path"]) for one in since["changes"]] == [("update", "init.cmd")]
    page = (await client.get("/servers/weather")).text
    assert "Since it last worked" in page
    assert "npm:weather@1.0.0" in page
    assert f'href="/revisions/{WORKED}"' in page


async def test_where_nothing_was_deployed_the_cause_lies_outside(client):
    since = await document(client)
    assert since["changes"] == []
    assert since["summary"].startswith("Nothing that Catwalk deploys has changed")


async def test_what_is_not_remembered_any_more_is_said(client, view):
    worked_at(view, WORKED)
    view.passes_done = ()
    assert "not remembered" in (await document(client))["summary"]


async def test_a_server_that_is_well_or_never_was_has_no_such_question(client, view):
    assert await document(client, "time") is None
    view.changes = (view.changes[0], replace(view.changes[1], state=ServerState.STARTING))
    assert await document(client) is None
    assert "Since it last worked" not in (await client.get("/servers/weather")).text
