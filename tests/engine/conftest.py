"""An engine for each test, a client that validates every answer, and a clock that is moved by hand."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest

from reconciler.engine import Engine, EngineSettings, Timings, run_engine
from tests.contract.openapi import OPENAPI, Document

PROGRAM = Path(__file__).with_name("machine_program.py")
TOKEN = "fm2_" + "dG9rZW4"
PAUSE_S = 0.02
"""Between two looks at something that no event tells of."""
IMAGE = "registry.fly.io/catwalk-runner:0.1.0"


@pytest.fixture(scope="session")
def document() -> Document | None:
    return Document() if OPENAPI.is_file() else None


@dataclass(slots=True)
class Bench:
    """An engine, and short words for what tests ask of it."""

    engine: Engine
    api: httpx.AsyncClient
    proxy: httpx.AsyncClient
    settings: EngineSettings
    app: str = "acme-time"

    async def make_app(self, name: str = "acme-time") -> None:
        answer = await self.api.post("/apps", json={"name": name, "org_slug": "personal", "network": name})
        assert answer.status_code == 201, answer.text

    async def make_machine(self, *words: str, **body: object) -> dict[str, Any]:
        app = body.pop("app", self.app)
        config = config_of(*words, **body.pop("config", {}))
        answer = await self.api.post(f"/apps/{app}/machines", json={"config": config, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def path(self, machine: dict[str, Any]) -> str:
        return f"/apps/{self.app}/machines/{machine['id']}"

    async def show(self, machine: dict[str, Any]) -> dict[str, Any]:
        return (await self.api.get(self.path(machine))).json()

    async def wait(self, machine: dict[str, Any], state: str = "started") -> dict[str, Any]:
        query = {"state": state, "timeout": "20", "version": machine["instance_id"]}
        answer = await self.api.get(f"{self.path(machine)}/wait", params=query)
        assert answer.status_code == 200, answer.text
        return await self.show(machine)

    async def started(self, *words: str, **body: object) -> dict[str, Any]:
        return await self.wait(await self.make_machine(*words, **body))

    async def until(self, machine: dict[str, Any], reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Asks again until the machine looks as wanted."""
        found = await self.show(machine)
        with anyio.fail_after(20):
            while not reached(found):
                await anyio.sleep(PAUSE_S)
                found = await self.show(machine)
        return found

    async def call(self, path: str = "/", **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.proxy.get(path, headers={"host": f"{self.app}.flycast", **names})

    async def environment(self) -> dict[str, Any]:
        return (await self.call("/env")).json()

    async def logs(self, **query: str) -> dict[str, Any]:
        answer = await self.api.get(f"{self.engine.api_url}/api/v1/apps/{self.app}/logs", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def log_text(self) -> str:
        return "\n".join(line["attributes"]["message"] for line in (await self.logs())["data"])


def config_of(*words: str, **changes: object) -> dict[str, Any]:
    """The configuration that Catwalk sends, with changed keys."""
    check = {
        "type": "http",
        "method": "GET",
        "path": "/health",
        "interval": "1s",
        "timeout": "4s",
        "grace_period": "5s",
    }
    service = {
        "protocol": "tcp",
        "internal_port": 8080,
        "autostop": "off",
        "autostart": True,
        "ports": [{"port": 80, "handlers": ["http"]}],
        "checks": [check],
    }
    return {
        "image": IMAGE,
        "init": {"cmd": list(words)},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "restart": {"policy": "on-failure", "max_retries": 10},
        "stop_config": {"signal": "SIGTERM", "timeout": "5s"},
        "services": [service],
        **changes,
    }


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(
        state_dir=tmp_path / "state",
        token=TOKEN,
        images={"catwalk-runner": (sys.executable, "-S", str(PROGRAM), "{port}")},
        base_environment={"PATH": "/usr/bin:/bin"},
        timings=Timings(startup_check_interval_s=0.02, backoff_first_s=0.01, backoff_limit_s=0.05, wake_s=15),
    )


@pytest.fixture
def open_bench(document: Document | None) -> Callable[..., AbstractAsyncContextManager[Bench]]:
    @asynccontextmanager
    async def opened(settings: EngineSettings, **options: object) -> AsyncIterator[Bench]:
        async def judge(response: httpx.Response) -> None:
            await response.aread()
            assert re.fullmatch(r"[0-9A-Z]{26}-\w+", response.headers["fly-request-id"])
            if document is not None:
                document.judge(response)

        async with (
            run_engine(settings, **options) as engine,
            httpx.AsyncClient(
                base_url=f"{engine.api_url}/v1",
                headers={"authorization": f"FlyV1 {TOKEN}"},
                event_hooks={"response": [judge]},
                timeout=70,
            ) as api,
            httpx.AsyncClient(base_url=engine.proxy_url, timeout=30, limits=httpx.Limits(max_connections=200)) as proxy,
        ):
            yield Bench(engine=engine, api=api, proxy=proxy, settings=settings)

    return opened


@pytest.fixture
async def bench(
    open_bench: Callable[..., AbstractAsyncContextManager[Bench]], settings: EngineSettings
) -> AsyncIterator[Bench]:
    async with open_bench(settings) as opened:
        await opened.make_app()
        yield opened


def processes_with(marker: str) -> list[psutil.Process]:
    """Living processes that carry a text in their environment or their command."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            words = [*process.environ().values(), *process.cmdline()]
            if process.status() != psutil.STATUS_ZOMBIE and any(marker in word for word in words):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


async def come_true(condition: Callable[[], object]) -> None:
    """For what happens in another process, or before anything can announce it."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - the other process sets no event here.
            await anyio.sleep(PAUSE_S)


async def none_left(marker: str) -> None:
    await come_true(lambda: not processes_with(marker))


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return come_true


@pytest.fixture
def living() -> Callable[[str], list[psutil.Process]]:
    return processes_with


@pytest.fixture
def vanish() -> Callable[[str], Awaitable[None]]:
    return none_left


@dataclass(slots=True)
class SteppedClock:
    """Time that passes only when a test says so."""

    time_ns: int = 1_800_000_000_000_000_000
    sleepers: list[tuple[int, asyncio.Event]] = field(default_factory=list)

    def now_ns(self) -> int:
        return self.time_ns

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        if event.is_set() or timeout_s <= 0:
            return event.is_set()
        due = asyncio.Event()
        self.sleepers.append((self.time_ns + int(timeout_s * 1e9), due))
        first, second = asyncio.ensure_future(event.wait()), asyncio.ensure_future(due.wait())
        try:
            await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            first.cancel()
            second.cancel()
        return event.is_set()

    def advance(self, seconds: float) -> None:
        self.time_ns += int(seconds * 1e9)
        for deadline, due in self.sleepers:
            if deadline <= self.time_ns:
                due.set()
        self.sleepers = [sleeper for sleeper in self.sleepers if sleeper[0] > self.time_ns]


@pytest.fixture
def stepped_clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def quick(settings: EngineSettings) -> Callable[..., EngineSettings]:
    def changed(**timings: object) -> EngineSettings:
        return replace(settings, timings=replace(settings.timings, **timings))

    return changed
