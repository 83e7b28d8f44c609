"""How tools are named at the common address, from the manifest's rules to a gateway that serves."""

import json
from datetime import UTC, datetime

import httpx

from gateway.aggregate.names import Prefix
from gateway.aggregate.settings import AggregateSettings
from reconciler.cli.gateway_names import FollowedNames
from reconciler.core.actions import Pass
from reconciler.core.gateway_rules import GatewayRules, NamePrefix
from reconciler.core.types import Revision, Trigger
from reconciler.loop.progress import PassFinished, RevisionAccepted
from reconciler.loop.store.documents import from_document, to_document
from tests.gateway.aggregates import aggregate_of_servers, message_of, modern, talker

BARE = GatewayRules(prefix=NamePrefix.UNLESS_ALONE)
REVISION = Revision(commit="a" * 40, branch="main", source="/repository")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_names_follow_the_revision_in_force():
    names = FollowedNames()
    assert names.prefix() is Prefix.ALWAYS
    names.on_event(RevisionAccepted(revision=REVISION, gateway=BARE))
    assert names.prefix() is Prefix.UNLESS_ALONE
    finished = Pass(number=1, trigger=Trigger.COMMIT, started_at=NOW, finished_at=NOW, gateway=GatewayRules())
    names.on_event(PassFinished(finished=finished))
    assert names.prefix() is Prefix.ALWAYS


def test_the_store_keeps_how_names_are_written():
    assert from_document(GatewayRules, to_document(BARE)) == BARE
    assert from_document(GatewayRules, to_document(GatewayRules()).replace('"prefix":"always",', "")) == GatewayRules()


async def test_a_gateway_that_serves_writes_names_in_the_new_way_at_once():
    names = FollowedNames()
    settings = AggregateSettings(prefix=names.prefix)
    async with (
        aggregate_of_servers({"time": talker("time")}, aggregate=settings) as gateway,
        httpx.AsyncClient(timeout=20) as client,
    ):

        async def tools() -> list[str]:
            answer = message_of(await client.post(gateway.mcp, **modern("tools/list")))
            return [tool["name"] for tool in answer["result"]["tools"]]

        async def call(name: str) -> str:
            asked = modern("tools/call", name=name, arguments={})
            body = json.loads(asked["content"])
            body["params"]["name"] = name
            answer = message_of(await client.post(gateway.mcp, **{**asked, "content": json.dumps(body)}))
            return answer["result"]["content"][0]["text"] if "result" in answer else answer["error"]["message"]

        assert "time__whoami" in await tools()
        for _ in range(2):
            assert await call("time__whoami") == "time"
        names.on_event(RevisionAccepted(revision=REVISION, gateway=BARE))
        assert "whoami" in await tools()
        for _ in range(2):
            assert await call("whoami") == "time"
        assert "Unknown" in await call("time__whoami")
