"""How large and how slow every page is at a thousand servers with a history.

A real SQLite store holds what a fleet of that size leaves behind: the pass that created it (four actions a server),
passes of commits that touch one server each, a pull request that changes everything, and a full audit. The view and the
pages are those of `catwalk serve`; log lines and tools are made up, longer than usual. Each page is asked for through
the application, without a network, several times: told are the size, the first answer, the median and the slowest, and
the median of the processor's time, which is what counts where other programs share the machine.

    python -m tests.bench.pages --servers 1000 --times 20
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import httpx
from litestar import Litestar

from reconciler.cli.auditing import AuditBook, everybody
from reconciler.cli.facts import FactsBook
from reconciler.cli.fleet_view import LiveFleetView, Told
from reconciler.core.actions import Action, AllocateAddress, Create, CreateApp, Outcome, Pass, Plan, SetSecrets, Update
from reconciler.core.applied import AppliedServer, AppliedState
from reconciler.core.audit import AuditDeed, AuditKind, AuditLine, AuditResult
from reconciler.core.cost import MonthlyCost
from reconciler.core.digests import JSON
from reconciler.core.problems import Location, Problem
from reconciler.core.proposals import ProposedPlan
from reconciler.core.types import (
    Cause,
    DesiredMachine,
    OutcomeKind,
    PackageReference,
    Registry,
    Revision,
    ServerSpec,
    ServerState,
    ServerStatus,
    Trigger,
)
from reconciler.loop.applied import SHELF, KeptState
from reconciler.loop.live import LiveState
from reconciler.loop.ports import LogLine, Proposal
from reconciler.loop.store import open_store
from reconciler.loop.store.store import Store
from reconciler.loop.usage import UsageBook
from reconciler.web.handlers import web_handlers
from reconciler.web.tools import ToolAnswer, ToolFacts

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMIT_BYTES = 100 * 1024
LIMIT_MS = 150
TEAMS = ("payments", "search", "platform", "data", "support")
CONFIG = json.dumps(
    {"image": "registry.fly.io/catwalk-runner:0.1.0", "env": {f"SETTING_{n}": "x" * 40 for n in range(8)}}
)


class Clock:
    def now(self) -> datetime:
        return NOW


def revision(number: int) -> Revision:
    return Revision(
        commit=f"{number:040x}",
        branch="main",
        source="https://github.com/acme/fleet",
        subject=f"Change server {number} and say so in a subject of the usual length",
        committed_at=NOW,
    )


def name_of(number: int) -> str:
    return f"server-{number:04d}"


def machine(number: int) -> DesiredMachine:
    server = name_of(number)
    return DesiredMachine(
        app=f"acme-{server}", server=server, name=f"{server}-1", region="iad", config=CONFIG, digest=f"{number:064x}"
    )


def status(number: int, pass_number: int) -> ServerStatus:
    """Three in a hundred are unwell, half of the others sleep."""
    base = ServerStatus(
        server=name_of(number),
        state=ServerState.READY if number % 2 else ServerState.IDLE,
        package=f"npm:@modelcontextprotocol/server-number-{number}@2026.1.14",
        revision=f"{number % (pass_number + 1):040x}",
        machine_id=f"{number:014x}",
        since=NOW - timedelta(minutes=number),
        tools=tuple(f"tool_number_{tool}" for tool in range(12)),
    )
    if number % 33:
        return base
    return replace(
        base,
        state=ServerState.FAILED,
        cause=Cause.CRASH_LOOP,
        detail="the process ended with exit code 1: Error: Cannot find module './build/index.js'",
        problem=Problem(
            code="crash-loop",
            message="the process ended ten times in a row",
            hint="look at its log",
            server=name_of(number),
            location=Location(file="servers/catwalk.yaml", line=number, column=3),
        ),
    )


def first_plan(servers: int) -> tuple[Plan, tuple[Outcome, ...]]:
    """What creates a fleet."""
    actions: list[Action] = []
    for number in range(servers):
        server, app = name_of(number), f"acme-{name_of(number)}"
        actions += [
            CreateApp(server=server, app=app, network=app, reason="the revision declares it"),
            AllocateAddress(server=server, app=app, reason="it has none"),
            SetSecrets(server=server, app=app, names=("API_TOKEN",), reason="the app has other secrets"),
            Create(server=server, app=app, machine=machine(number), reason="no machine exists"),
        ]
    outcomes = tuple(Outcome(action=action, kind=OutcomeKind.APPLIED) for action in actions)
    return Plan(fleet="acme", revision=revision(1), actions=tuple(actions), digest="9f" * 32), outcomes


def later_plan(number: int, servers: int) -> tuple[Plan, tuple[Outcome, ...]]:
    """What a commit that touches one server does."""
    one = machine(number % servers)
    action = Update(
        server=one.server, app=one.app, machine=one, machine_id="1857", instance_id="01J", changes=(), reason="changed"
    )
    unchanged = tuple(name_of(other) for other in range(servers))
    plan = Plan(
        fleet="acme", revision=revision(number), actions=(action,), unchanged=unchanged, digest=f"{number:064x}"
    )
    return plan, (Outcome(action=action, kind=OutcomeKind.APPLIED),)


def finished(number: int, servers: int) -> Pass:
    plan, outcomes = first_plan(servers) if number == 1 else later_plan(number, servers)
    at = NOW - timedelta(minutes=500 - number)
    return Pass(
        number=number,
        trigger=Trigger.COMMIT,
        started_at=at - timedelta(seconds=4),
        finished_at=at,
        fleet="acme",
        revision=revision(number),
        applied_revision=revision(number),
        plan=plan,
        outcomes=outcomes,
        statuses=tuple(status(one, number) for one in range(servers)),
    )


def proposed(number: int, commit: str, servers: int) -> ProposedPlan:
    plan, _ = first_plan(servers)
    cost = MonthlyCost(awake=1234.5, unpriced=())
    return ProposedPlan(
        number=number,
        revision=replace(revision(99), commit=commit),
        base=revision(1),
        plan=plan,
        problems=(),
        warnings=(),
        cost_before=cost,
        cost_after=cost,
        planned_at=NOW,
    )


async def fill(store: Store, *, servers: int, passes: int, lines: int = 50_000) -> None:
    """Everything that such a fleet leaves in the store."""
    for number in range(1, passes + 1):
        await store.record_pass(finished(number, servers))
    await _propose(store, servers)
    await _apply(store, servers, passes)
    await _audit(store, servers, lines)


async def _propose(store: Store, servers: int) -> None:
    for number in range(4):
        proposal = Proposal(number=12, commit=f"{number + 1000:040x}", ref="refs/pull/12/head")
        await store.ask(proposal)
        await store.keep_proposed(proposal, proposed(12, proposal.commit, servers), asked=1)


async def _apply(store: Store, servers: int, passes: int) -> None:
    await KeptState(store.shelf(SHELF)).keep(
        AppliedState(
            fleet="acme",
            revision=revision(passes),
            servers=tuple(
                AppliedServer(name=name_of(one), app=f"acme-{name_of(one)}", suspended=False, machines=(machine(one),))
                for one in range(servers)
            ),
        )
    )


async def _audit(store: Store, servers: int, lines: int) -> None:
    deeds = [
        AuditDeed(
            kind=AuditKind.CALL,
            who=f"{TEAMS[one % 5]}-agent",
            result=AuditResult.OK,
            server=name_of(one % servers),
            method="tools/call",
            tool=f"tool_number_{one % 12}",
        )
        for one in range(1_000)
    ]
    for _ in range(lines // len(deeds)):
        await store.note([AuditLine(at=NOW, deed=deed, times=3, slowest_ms=12.5) for deed in deeds])


class Logs:
    async def recent(self, app: str, *, limit: int) -> Sequence[LogLine]:
        return [
            LogLine(
                at=NOW, machine_id="1857", level="info", message=f"{app} line {number}: " + "what servers say " * 30
            )
            for number in range(limit)
        ]


class Desk:
    async def tools(self, server: str, authorization: str) -> Sequence[ToolFacts]:  # noqa: ARG002 - The desk's shape.
        fields = {f"field_{n}": {"type": "string", "description": "what it is for " * 6} for n in range(12)}
        schema = {"type": "object", "properties": fields, "required": list(fields)}
        return [
            ToolFacts(name=f"tool_number_{n}", description="What the tool does. " * 40, schema=schema)
            for n in range(80)
        ]

    async def call(self, server: str, tool: str, arguments: Mapping[str, JSON], authorization: str) -> ToolAnswer:
        raise NotImplementedError


def spec(number: int) -> ServerSpec:
    package = PackageReference(registry=Registry.NPM, name=f"server-{number}")
    labels = {"team": TEAMS[number % 5], "env": "prod" if number % 3 else "test"}
    return ServerSpec(
        fleet="acme", name=name_of(number), package=package, owner=f"{TEAMS[number % 5]}@acme", labels=labels
    )


async def application(store: Store, servers: int) -> Any:  # noqa: ANN401 - An ASGI application, which every library types in its own way.
    """The pages over a store, as the wiring builds them, without a loop beside them."""
    live, book = LiveState(), UsageBook()
    live.remember(await store.latest_pass(), await store.statuses())
    book.remember(await store.transitions(limit=10_000))
    kept = KeptState(store.shelf(SHELF))
    specs = {name_of(number): spec(number) for number in range(servers)}
    wired: Any = SimpleNamespace(
        store=store,
        fleet=SimpleNamespace(name="acme", specs=specs),
        doors=SimpleNamespace(logs=Logs()),
        kept_state=kept,
        ports=SimpleNamespace(clock=Clock()),
    )
    view = LiveFleetView(wired, live, Told(book=book, facts=FactsBook(kept)), "https://mcp.acme.example")
    audit = AuditBook(store, Clock(), everybody)
    return Litestar(web_handlers(view, Clock(), tools=Desk(), audit=audit), openapi_config=None, logging_config=None)


def pages(passes: int) -> tuple[str, ...]:
    """Every page, in the largest form that it has."""
    return (
        "/",
        "/?page=20",
        "/?label=team%3Dsearch&state=failed",
        "/servers/server-0033",
        "/servers/server-0033/tools",
        f"/revisions/{1:040x}",
        f"/revisions/{passes:040x}",
        "/pulls/12",
        "/audit",
        "/audit?server=server-0033",
        "/servers/nobody",
    )


JSON_PATHS = ("/api/fleet", "/api/servers/server-0033", "/api/passes?limit=50", "/api/audit?limit=500")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    path: str
    size: int
    first_ms: float
    median_ms: float
    slowest_ms: float
    worked_ms: float
    """Of the processor."""


async def measure(
    app: Any,  # noqa: ANN401 - As above.
    path: str,
    times: int,
) -> Measured:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as client:
        took, worked, size = list[float](), list[float](), 0
        for _ in range(times + 1):
            began, busy = time.perf_counter(), time.process_time()
            answer = await client.get(path, headers={"Accept": "text/html"})
            took.append((time.perf_counter() - began) * 1000)
            worked.append((time.process_time() - busy) * 1000)
            size = len(answer.content)
            assert answer.status_code in {200, 404}, (path, answer.status_code, answer.text[:500])
    return Measured(
        path=path,
        size=size,
        first_ms=took[0],
        median_ms=median(took[1:]),
        slowest_ms=max(took[1:]),
        worked_ms=median(worked[1:]),
    )


async def main(servers: int, passes: int, times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Path(folder), Clock())
        await fill(store, servers=servers, passes=passes)
        app = await application(store, servers)
        print("| page | KB | first ms | median ms | slowest ms | CPU ms | |\n|---|---|---|---|---|---|---|")
        for path in (*pages(passes), *JSON_PATHS):
            found = await measure(app, path, times)
            over = path not in JSON_PATHS and (found.size > LIMIT_BYTES or found.worked_ms > LIMIT_MS)
            print(
                f"| `{path[:24]}` | {found.size / 1024:.1f} | {found.first_ms:.0f} | {found.median_ms:.0f} "
                f"| {found.slowest_ms:.0f} | {found.worked_ms:.0f} | {'OVER' if over else ''} |"
            )
        store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=60)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    asyncio.run(main(given.servers, given.passes, given.times))
