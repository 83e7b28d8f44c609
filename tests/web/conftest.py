"""A fleet in which every state occurs, an application that shows it, and a browser to look at it with."""

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from litestar import Litestar, get
from litestar.params import FromPath
from litestar.testing import AsyncTestClient

from reconciler.core.actions import (
    Create,
    CreateApp,
    Deferred,
    Destroy,
    FieldChange,
    Held,
    Outcome,
    Pass,
    Plan,
    PruneRequest,
    SetSecrets,
    Update,
)
from reconciler.core.applied import AppliedState
from reconciler.core.audit import AuditDeed, AuditKind, AuditLine, AuditQuery, AuditResult, KeptLine
from reconciler.core.digests import JSON
from reconciler.core.problems import Location, Problem, Remedy
from reconciler.core.savings import Usage
from reconciler.core.types import Cause, DesiredMachine, OutcomeKind, Revision, ServerState, ServerStatus, Trigger
from reconciler.errors import Unavailable
from reconciler.loop.ports import LogLine, PassSummary, StoredProposal, Transition
from reconciler.web.audit import AuditReader
from reconciler.web.errors import NotAllowed
from reconciler.web.handlers import unknown_address_handler, web_handlers
from reconciler.web.tools import ToolAnswer, ToolFacts
from reconciler.web.view import FleetEvent, ServerFacts

NOW = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
OLD_COMMIT = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"
NEW_COMMIT = "feedc0ffee00112233445566778899aabbccddee"


class StoppedClock:
    def now(self) -> datetime:
        return NOW


def revision(commit: str, subject: str) -> Revision:
    return Revision(
        commit=commit,
        branch="main",
        source="https://github.com/acme/fleet",
        subject=subject,
        committed_at=NOW - timedelta(minutes=42),
    )


GOOD = revision(OLD_COMMIT, "Run the weather server in Amsterdam")
REFUSED = revision(NEW_COMMIT, "Add <b>a server</b> & more")

PROBLEM = Problem(
    code="unknown-key",
    message="unknown key `pakage` in server wiki",
    hint="did you mean `package`?",
    location=Location(file="servers/catwalk.yaml", line=12, column=5),
)


def status(server: str, state: ServerState, minutes: float, **more: object) -> ServerStatus:
    base = ServerStatus(
        server=server,
        state=state,
        package=f"npm:@modelcontextprotocol/server-{server}@2026.1.14",
        revision=OLD_COMMIT,
        machine_id="d891e23f0a7c18",
        since=NOW - timedelta(minutes=minutes),
    )
    return replace(base, **more)


STATUSES = (
    status("everything", ServerState.READY, 190, tools=("echo", "add", "print_environment", "long_running_operation")),
    status("time", ServerState.IDLE, 3000, package="pypi:mcp-server-time@2026.10.19", tools=("get_current_time",),
           detail="suspended; wakes on the next call"),
    status("memory", ServerState.INSTALLING, 0.4, detail="npm installs 128 packages"),
    status("search", ServerState.STARTING, 1, detail="the machine is starting"),
    status("notes", ServerState.PENDING, 0.1, machine_id="", revision="", detail="the machine does not exist yet"),
    status("weather", ServerState.FAILED, 12, cause=Cause.CRASH_LOOP,
           detail="the process ended with exit code 1: Error: Cannot find module './build/index.js'"),
    status("github", ServerState.HELD, 8, cause=Cause.VERSION_NOT_FOUND,
           detail="npm:@modelcontextprotocol/server-github has no version 2027.1.1",
           problem=Problem(code="version-not-found", server="github", hint="the newest is 2025.4.8",
                           message="npm:@modelcontextprotocol/server-github has no version 2027.1.1",
                           location=Location(file="catwalk.yaml", line=17, column=14))),
    status("postgres", ServerState.DEGRADED, 4, cause=Cause.UNREACHABLE, tools=("query",),
           detail="initialize was not answered within 4 s"),
    status("linear", ServerState.SUSPENDED, 100_000, detail="the manifest suspends it"),
)  # fmt: skip


def machine(server: str, region: str = "ams") -> DesiredMachine:
    return DesiredMachine(
        app=f"acme-{server}", server=server, name=f"{server}-1", region=region, config="{}", digest="0" * 64
    )


ACTIONS = (
    CreateApp(server="memory", app="acme-memory", network="acme-memory", reason="the revision declares it"),
    SetSecrets(server="memory", app="acme-memory", names=("DEMO_TOKEN",), reason="the app has other secrets"),
    Create(server="memory", app="acme-memory", machine=machine("memory"), reason="no machine exists"),
    Update(
        server="weather",
        app="acme-weather",
        machine=machine("weather"),
        machine_id="d891e23f0a7c18",
        instance_id="01J",
        changes=(
            FieldChange(path="init.cmd", before='["--", "npm:weather@1.0.0"]', after='["--", "npm:weather@1.1.0"]'),
        ),
        reason="init.cmd differs",
    ),
    Destroy(server="gone", app="acme-gone", machine_id="1857", machine_name="gone-1", reason="no longer declared"),
)
OUTCOMES = (
    Outcome(action=ACTIONS[0], kind=OutcomeKind.APPLIED),
    Outcome(action=ACTIONS[1], kind=OutcomeKind.ADOPTED),
    Outcome(action=ACTIONS[2], kind=OutcomeKind.APPLIED, machine_id="d891e23f0a7c18"),
    Outcome(
        action=ACTIONS[3],
        kind=OutcomeKind.FAILED,
        problem=Problem(code="region-full", message="ams has no room for a shared-cpu-1x machine", remedy=Remedy.WAIT),
    ),
)
PLAN = Plan(
    fleet="acme",
    revision=GOOD,
    actions=ACTIONS,
    held=(Held(server="old", summary="destroy app acme-old", reason="the observation is incomplete"),),
    deferred=(
        Deferred(
            action=Destroy(
                server="time",
                app="acme-time",
                machine_id="2857",
                machine_name="time-1",
                reason="replaced",
            ),
            until="machine time-1-0a1b2c3d is healthy",
            awaits="time",
        ),
    ),
    prune=PruneRequest(digest="7e" * 32, apps=("acme-a", "acme-b"), reason="2 servers of 3 would be removed"),
    unchanged=("everything", "time"),
    digest="9f" * 32,
)


def finished(number: int, minutes: float, **more: object) -> Pass:
    base = Pass(
        number=number,
        trigger=Trigger.COMMIT,
        started_at=NOW - timedelta(minutes=minutes, seconds=4),
        finished_at=NOW - timedelta(minutes=minutes),
        fleet="acme",
        revision=GOOD,
        applied_revision=GOOD,
        statuses=STATUSES,
    )
    return replace(base, **more)


PASSES = (
    finished(9, 0.2, revision=REFUSED, problems=(PROBLEM,)),
    finished(8, 8, trigger=Trigger.HEALTH),
    finished(7, 40, plan=PLAN, outcomes=OUTCOMES),
    finished(6, 300, statuses=(replace(STATUSES[5], state=ServerState.READY, cause=None, detail=""),)),
)


TRANSITIONS = (
    Transition(
        server="weather",
        state=ServerState.FAILED,
        cause=Cause.CRASH_LOOP,
        detail=STATUSES[5].detail,
        at=NOW - timedelta(minutes=12),
        revision=OLD_COMMIT,
        pass_number=7,
    ),
    Transition(
        server="weather",
        state=ServerState.READY,
        cause=None,
        detail="",
        at=NOW - timedelta(minutes=300),
        revision=OLD_COMMIT,
        pass_number=6,
    ),
)
FACTS = {
    "weather": ServerFacts(owner="Ada & team", labels=(("env", "prod"), ("team", "sky")), description="<i>Tells</i>"),
    "time": ServerFacts(owner="platform", labels=(("env", "prod"),)),
    "notes": ServerFacts(labels=(("env", "test"),)),
}


def _line(finished: Pass) -> PassSummary:
    looked_at, applied = finished.revision, finished.applied_revision
    return PassSummary(
        number=finished.number,
        trigger=finished.trigger,
        started_at=finished.started_at,
        finished_at=finished.finished_at,
        commit=looked_at.commit if looked_at else "",
        applied_commit=applied.commit if applied else "",
        branch=looked_at.branch if looked_at else "",
        subject=looked_at.subject if looked_at else "",
        actions=len(finished.plan.actions) if finished.plan else 0,
        failed=sum(outcome.kind is OutcomeKind.FAILED for outcome in finished.outcomes),
        problems=len(finished.problems),
        settled=finished.settled,
    )


@dataclass
class SampleView:
    """A fleet held in memory."""

    fleet: str = "acme"
    passes_done: Sequence[Pass] = PASSES
    proposed: Sequence[StoredProposal] = ()
    in_force: AppliedState | None = None
    verdicts: Sequence[ServerStatus] = STATUSES
    changes: Sequence[Transition] = TRANSITIONS
    told: Mapping[str, ServerFacts] = field(default_factory=lambda: dict(FACTS))
    logs_down: bool = False
    event_log: list[FleetEvent] = field(default_factory=list)
    listening: anyio.Event = field(default_factory=anyio.Event)
    changed: anyio.Condition = field(default_factory=anyio.Condition)
    stopping: bool = False
    said: list[LogLine] = field(default_factory=list[LogLine])

    def newest_pass(self) -> Pass | None:
        return self.passes_done[0] if self.passes_done else None

    def statuses(self) -> Sequence[ServerStatus]:
        return self.verdicts

    async def history(self, *, limit: int) -> Sequence[PassSummary]:
        return [_line(one) for one in self.passes_done[:limit]]

    async def passes(self, revision: str, *, limit: int) -> Sequence[Pass]:
        found = [one for one in self.passes_done if one.revision and one.revision.commit.startswith(revision)]
        return [one for place, one in enumerate(found) if not place or one.plan][:limit]

    async def transitions(self, server: str, *, limit: int) -> Sequence[Transition]:
        return [change for change in self.changes if change.server == server][:limit]

    def facts(self) -> Mapping[str, ServerFacts]:
        return self.told

    async def proposals(self, *, limit: int, number: int | None = None) -> Sequence[StoredProposal]:
        return [one for one in self.proposed if number in {None, one.proposal.number}][:limit]

    async def applied(self) -> AppliedState | None:
        return self.in_force

    async def log_lines(self, server: str, *, limit: int) -> Sequence[LogLine]:
        if self.logs_down:
            raise Unavailable("logs-unavailable", "the log service does not answer")
        lines = [
            LogLine(at=NOW - timedelta(seconds=90 - number), machine_id="d891e23f0a7c18", level=level, message=message)
            for number, (level, message) in enumerate(
                (("info", f"{server}: added 128 packages in 4s"), ("warning", "npm warn deprecated glob@7.2.3"),
                 ("error", "Error: Cannot find module './build/index.js' <script>alert(1)</script>"),
                 ("info", "restarting")) * 4
            )
        ]  # fmt: skip
        return lines[-limit:]

    async def log_tail(self, server: str) -> AsyncIterator[LogLine]:
        """The kept lines, then those that a test says, until it says that the fleet stops."""
        for line in await self.log_lines(server, limit=200):
            yield line
        told = 0
        while True:
            async with self.changed:
                while told >= len(self.said) and not self.stopping:
                    await self.changed.wait()
                if told >= len(self.said):
                    return
                line, told = self.said[told], told + 1
            yield line

    async def say(self, line: LogLine) -> None:
        """Writes a line to the log of every server."""
        async with self.changed:
            self.said.append(line)
            self.changed.notify_all()

    def usages(self) -> Mapping[str, Usage]:
        since = NOW.replace(day=1, hour=0, minute=0)
        slept = Usage(since=since, awake_s=7_300, asleep_s=400_000, wakes=4, last_wake_s=2.5, cost=0.0089, saved=0.4915)
        return {status.server: slept for status in self.verdicts if status.state is ServerState.IDLE}

    def mcp_url(self, server: str) -> str:
        return f"http://127.0.0.1:8080/servers/{server}/mcp"

    async def tell(self, event: FleetEvent) -> None:
        """Adds an event for those that listen now and later."""
        async with self.changed:
            self.event_log.append(event)
            self.changed.notify_all()

    async def stop(self) -> None:
        async with self.changed:
            self.stopping = True
            self.changed.notify_all()

    async def events(self) -> AsyncIterator[FleetEvent]:
        told = 0
        while True:
            self.listening.set()
            async with self.changed:
                while told == len(self.event_log) and not self.stopping:
                    await self.changed.wait()
                fresh = self.event_log[told:]
            for event in fresh:
                told += 1
                yield event
            if self.stopping:
                return


CALL = AuditDeed(kind=AuditKind.CALL, who="anna", result=AuditResult.OK, server="time", method="tools/call", tool="now")
DEEDS = (
    CALL,
    replace(CALL, who="ben", server="weather", tool="<b>forecast</b>", result=AuditResult.FAILED),
    replace(CALL, kind=AuditKind.TRY, result=AuditResult.REFUSED),
    AuditDeed(
        kind=AuditKind.PRUNE, who="carl on desk", result=AuditResult.OK, method="catwalk apply", detail="7e" * 32
    ),
    AuditDeed(kind=AuditKind.SIGN_IN, who="", result=AuditResult.REFUSED, method="pages", detail="unauthenticated"),
)


def kept(deeds: Sequence[AuditDeed]) -> list[KeptLine]:
    lines = [
        AuditLine(at=NOW - timedelta(seconds=number), deed=deed, times=3, slowest_ms=1250)
        for number, deed in enumerate(deeds)
    ]
    return [KeptLine(number=len(deeds) - number, line=line) for number, line in enumerate(lines)]


@dataclass
class SampleAudit:
    """An audit in memory, newest first, read as a test says."""

    kept: list[KeptLine] = field(default_factory=lambda: kept(DEEDS))
    who_reads: AuditReader | None = field(default_factory=lambda: AuditReader(sees_all=True))

    def reader(self, authorization: str) -> AuditReader:  # noqa: ARG002 - The desk's shape.
        if self.who_reads is None:
            raise NotAllowed("audit-not-yours", "the audit is shown to others")
        return self.who_reads

    async def lines(self, query: AuditQuery) -> Sequence[KeptLine]:
        fits = [kept for kept in self.kept if not query.before or kept.number < query.before]
        wanted = query.parts().items()
        return [kept for kept in fits if all(getattr(kept.line.deed, name) == value for name, value in wanted)][
            : query.limit
        ]


@get("/servers/{name:str}/mcp")
async def gateway_route(name: FromPath[str]) -> dict[str, str]:
    """Stands where the gateway's relay will be."""
    return {"relayed": name}


@dataclass
class SampleDesk:
    """Two tools, one of which answers what it was given."""

    async def tools(self, server: str, authorization: str) -> Sequence[ToolFacts]:  # noqa: ARG002 - The desk's shape.
        city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        return (
            ToolFacts(name="forecast", title="Forecast", description="Tells the weather of tomorrow.", schema=city),
            ToolFacts(name="stations", description="Lists the stations.", schema={"type": "object"}),
        )

    async def call(self, server: str, tool: str, arguments: Mapping[str, JSON], authorization: str) -> ToolAnswer:  # noqa: ARG002 - The desk's shape.
        return ToolAnswer(
            result={"content": [{"type": "text", "text": f"{tool} of {dict(arguments)}"}]}, is_error=False
        )


def application(view: SampleView, **more: object) -> Litestar:
    return Litestar(
        [*web_handlers(view, StoppedClock(), **{"audit": SampleAudit(), **more}), gateway_route],
        exception_handlers={404: unknown_address_handler(view, StoppedClock())},
        openapi_config=None,
    )


@pytest.fixture
def make_application() -> Callable[..., Litestar]:
    return application


@pytest.fixture
def view() -> SampleView:
    return SampleView()


@pytest.fixture
async def client(view: SampleView) -> AsyncIterator[AsyncTestClient[Litestar]]:
    async with AsyncTestClient(application(view), base_url="http://127.0.0.1") as client:
        yield client


@asynccontextmanager
async def serving(view: SampleView, **more: object) -> AsyncIterator[str]:
    """The application on a real loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            application(view, **more), log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=2
        )
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await view.stop()
            server.should_exit = True


class Chromium:
    """A headless browser over the DevTools protocol, on pipes, so that no port and no other library is needed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0
        self.events: list[dict[str, Any]] = []
        self._session = ""

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = await self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer.get("result", {})

    async def _next(self) -> dict[str, Any]:
        with anyio.fail_after(20):
            answer: dict[str, Any] = json.loads((await self._reader.readuntil(b"\0"))[:-1])
        if "id" not in answer:
            self.events.append(answer)
        return answer

    async def until(self, method: str) -> dict[str, Any]:
        """The first event of that name, past or to come."""
        while True:
            for event in self.events:
                if event["method"] == method:
                    return event
            await self._next()

    async def open_tab(self) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")

    async def look(self, url: str, *, width: int = 1280, dark: bool = False, script: bool = True) -> None:
        """Opens a page and waits until it has loaded."""
        self.events.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Emulation.setScriptExecutionDisabled", value=not script)
        await self.call("Page.navigate", url=url)
        await self.until("Page.loadEventFired")

    async def evaluate(self, expression: str) -> object:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def picture(self, file: Path) -> None:
        """Keeps the whole page as a PNG."""
        taken = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        await anyio.Path(file).write_bytes(base64.b64decode(taken["data"]))

    async def follow(self, selector: str) -> None:
        """Clicks what a selector finds, and waits for the page that it leads to."""
        self.events.clear()
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        await self.until("Page.loadEventFired")

    async def press(self, key: str, *, code: int, text: str = "") -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    def requested(self) -> list[str]:
        return [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Console errors, uncaught exceptions and violations of the content security policy."""
        told = [one["params"]["entry"]["text"] for one in self.events if one["method"] == "Log.entryAdded"]
        console = [str(one["params"]) for one in self.events if one["method"] == "Runtime.consoleAPICalled"]
        return [*told, *console, *(str(one) for one in self.events if one["method"] == "Runtime.exceptionThrown")]


BROWSER_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@asynccontextmanager
async def browsing(profile: Path) -> AsyncIterator[Chromium]:
    """A browser with an empty profile, ended with the block."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    async with _pipes() as (theirs, ours):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PLACE_PIPES,
            *map(str, theirs),
            program,
            *BROWSER_FLAGS,
            f"--user-data-dir={profile}",
            pass_fds=theirs,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        for descriptor in theirs:
            os.close(descriptor)
        try:
            browser = Chromium(*ours)
            await browser.open_tab()
            yield browser
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


PLACE_PIPES = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium wants its pipes at descriptors 3 and 4."""


@asynccontextmanager
async def _pipes() -> AsyncIterator[tuple[tuple[int, int], tuple[asyncio.StreamReader, asyncio.WriteTransport]]]:
    """Their two ends as descriptors, ours as streams."""
    loop = asyncio.get_running_loop()
    read_by_them, write_to_them = os.pipe()
    read_from_them, written_by_them = os.pipe()
    reader = asyncio.StreamReader(limit=2**26)
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_from_them, "rb")
    )
    outgoing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write_to_them, "wb"))
    try:
        yield (read_by_them, written_by_them), (reader, outgoing)
    finally:
        incoming.close()
        outgoing.close()


@pytest.fixture
async def address(view: SampleView) -> AsyncIterator[str]:
    async with serving(view, tools=SampleDesk()) as address:
        yield address


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with browsing(tmp_path / "profile") as browser:
        yield browser
