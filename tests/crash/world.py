"""Everything outside of the process that is killed: the engine with its machines, GitHub, the repository, the database.

A world lies in one directory. It can be put aside while nothing runs and brought back as often as needed, so that a
step of the scenario is begun many times from the same state.
"""

import json
import shutil
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, Protocol

import httpx

from reconciler.engine import Engine, EngineSettings, Simulation, Timings, run_engine
from reconciler.engine.clock import NANOSECONDS
from tests.crash.points import Point
from tests.crash.process import ORGANIZATION, Life
from tests.crash.scenario import AgeKey, Step, Upstream, new_key
from tests.report.conftest import TOKEN as GITHUB_TOKEN
from tests.report.conftest import LoopbackGitHub, _handler

ENGINE_TOKEN = "fm2_" + "Y3Jhc2g"
FAST = Timings(startup_check_interval_s=0.05, backoff_first_s=0.05, autostop_idle_s=1e9, shutdown_s=2.0)
"""Nobody waits for a machine here, and none falls asleep while time is skipped."""


PLAIN = SSLContext(PROTOCOL_TLS_CLIENT)
"""Trusts nobody: reading the certificates of the system takes longer than all that is asked."""


class Databases(Protocol):
    """Where the store is, and how its content is put aside."""

    def url(self) -> str:
        """Of the database of the world that runs; empty for the file in the state directory."""
        ...

    def save(self, name: str) -> None: ...

    def restore(self, name: str) -> None: ...


class Files:
    """SQLite: the database is a file of the state directory, and is copied with it."""

    def url(self) -> str:
        return ""

    def save(self, name: str) -> None: ...

    def restore(self, name: str) -> None: ...


@dataclass(slots=True)
class World:
    """One world in `directory`, whose parts run while `running` lasts."""

    directory: Path
    databases: Databases
    key: AgeKey = field(default_factory=new_key)
    github: LoopbackGitHub = field(default_factory=LoopbackGitHub)
    github_url: str = ""
    clock_s: float = 0.0
    """How far the engine's time is ahead of the computer's."""

    @property
    def live(self) -> Path:
        return self.directory / "live"

    def begin(self) -> None:
        """Makes the first state, in which nothing was ever done."""
        (self.live / "state").mkdir(parents=True)
        Upstream(self.live / "upstream.git", self.key)

    def commit(self, step: Step) -> str:
        made = Upstream(self.live / "upstream.git", self.key).commit(step)
        self.github.commits.add(made)
        return made

    def save(self, name: str) -> None:
        """Puts the state aside. Nothing may run meanwhile."""
        kept = {"posted": self.github.posted, "commits": sorted(self.github.commits), "clock_s": self.clock_s}
        (self.live / "world.json").write_text(json.dumps(kept), encoding="utf-8")
        shutil.copytree(self.live, self.directory / name)
        self.databases.save(name)

    def restore(self, name: str) -> None:
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.directory / name, self.live)
        self.databases.restore(name)
        kept = json.loads((self.live / "world.json").read_text(encoding="utf-8"))
        self.github.posted, self.github.commits = kept["posted"], set(kept["commits"])
        self.clock_s = kept["clock_s"]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Engine]:
        """The engine on the state of the world, in simulated time that runs and jumps."""
        simulation = Simulation(running=True)
        simulation.clock.jump(self.clock_s)
        settings = EngineSettings(
            state_dir=self.live / "engine",
            token=ENGINE_TOKEN,
            organization=ORGANIZATION,
            region="iad",
            control=True,
            timings=FAST,
        )
        async with run_engine(settings, simulation=simulation) as engine:
            yield engine
            self.clock_s = simulation.clock._offset_ns / NANOSECONDS

    def life(self, engine: Engine, name: str, fatal: Point | None) -> Life:
        """What the next process is told. `name` keeps its traces apart from those of other processes."""
        return Life(
            engine_url=engine.api_url,
            engine_token=ENGINE_TOKEN,
            github_url=self.github_url,
            github_token=GITHUB_TOKEN,
            upstream_url=(self.live / "upstream.git").as_uri(),
            state_dir=self.live / "state",
            database_url=self.databases.url(),
            age_key=self.key.secret,
            log=self.live / f"{name}.effects",
            result=self.live / f"{name}.json",
            output=self.live / f"{name}.output",
            fatal=fatal,
        )


@contextmanager
def github_of(world: World) -> Iterator[None]:
    """GitHub's stand-in, which keeps what it was sent whoever dies."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(world.github))
    # A caller that is killed in the middle of a call is what this is about.
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    world.github_url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Look = Callable[[str], Awaitable[Any]]


@asynccontextmanager
async def looking(engine: Engine) -> AsyncGenerator[Look]:
    """Asks what the engine itself says, past the product; None where it knows nothing of it."""
    headers = {"Authorization": f"FlyV1 {ENGINE_TOKEN}"}
    async with httpx.AsyncClient(base_url=engine.api_url, headers=headers, trust_env=False, verify=PLAIN) as client:

        async def look(path: str) -> Any:  # noqa: ANN401 - JSON.
            answer = await client.get(path)
            return answer.json() if answer.is_success else None

        yield look
