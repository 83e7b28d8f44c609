"""What the contract suite speaks to: the embedded engine, or the real Machines API where a person asks for it.

The real one is asked for by `CATWALK_FLY_LIVE=1` with FLY_API_TOKEN and FLY_ORG. It costs money: each case makes an app
of its own and destroys it. The variables are read when the suite is collected, before the tests clean the environment.
"""

import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx

from reconciler.core.secret import SecretValue
from reconciler.engine import EngineSettings, Timings, run_engine
from reconciler.engine.settings import RateLimits
from reconciler.fly.authorization import authorization

Found = TypeVar("Found")
Judge = Callable[[httpx.Response], Awaitable[None]]

ENGINE_TOKEN = "fm2_" + "Y29udHJhY3Q"
PAUSE_S = 0.05
HASTE_S = 1.1
"""Longer than it takes Fly's token buckets to hold one more call."""
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For loopback: reading the certificates of the world takes a client longer than a case."""
RUN_ON = ("/bin/sh", "-c", "trap 'exit 0' TERM INT; sleep 3600 & wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A Machines API and what differs from one to another."""

    api_url: str
    logs_url: str
    token: str = field(repr=False)
    organization: str
    region: str
    image: str
    """An image that has /bin/sh."""
    serving: dict[str, Any]
    """The part of a config by which a machine answers HTTP on port 8080."""
    live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the environment says about the real API."""

    wanted: bool
    missing: tuple[str, ...]
    place: Place | None = None

    @property
    def why_not(self) -> str:
        return f"CATWALK_FLY_LIVE=1 speaks to Fly and needs {' and '.join(self.missing)} for it"


def live(environment: dict[str, str]) -> Live:
    """Reads what a live run needs."""
    wanted = environment.get("CATWALK_FLY_LIVE") == "1"
    missing = tuple(name for name in ("FLY_API_TOKEN", "FLY_ORG") if not environment.get(name))
    if not wanted or missing:
        return Live(wanted=wanted, missing=missing)
    image = environment.get("CATWALK_FLY_LIVE_IMAGE", "python:3.11-alpine")
    place = Place(
        api_url="https://api.machines.dev",
        logs_url="https://api.fly.io",
        token=environment["FLY_API_TOKEN"],
        organization=environment["FLY_ORG"],
        region=environment.get("CATWALK_FLY_LIVE_REGION", "fra"),
        image=image,
        serving={"image": image, "init": {"exec": ["python3", "-m", "http.server", "8080"]}},
        live=True,
    )
    return Live(wanted=True, missing=(), place=place)


LIVE = live(dict(os.environ))


@dataclass(slots=True, kw_only=True)
class Target:
    """One app at a place, and short words for what cases ask of it."""

    place: Place
    api: httpx.AsyncClient
    """Carries the token, keeps cookies, waits where it was too fast, and has every answer judged."""
    app: str
    attempted: set[str] = field(default_factory=set[str])
    """Every app that this case asked for, whatever the answer was: they are what is cleaned up."""

    async def call(self, method: str, path: str, **options: object) -> httpx.Response:
        """A call of the API. `{app}` in the path is the app. Refused for haste, it is sent again."""
        url = path.replace("{app}", self.app)
        body = options.get("json")
        if (method, path) == ("POST", "/apps") and isinstance(body, dict):
            self.attempted |= {body[key] for key in ("name", "app_name") if key in body}
        answer = await self.api.request(method, url, **options)
        while answer.status_code == 429:
            await anyio.sleep(HASTE_S)
            answer = await self.api.request(method, url, **options)
        return answer

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", path, json=body if body is not None else {}, headers=named)

    async def delete(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("DELETE", path, headers=named)

    def config(self, **changes: object) -> dict[str, Any]:
        """A small machine that runs until it is told to stop."""
        return {
            "image": self.place.image,
            "init": {"exec": list(RUN_ON)},
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "stop_config": {"signal": "SIGTERM", "timeout": "5s"},
            **changes,
        }

    def script(self, text: str, **changes: object) -> dict[str, Any]:
        """A machine that runs a shell script."""
        return self.config(init={"exec": ["/bin/sh", "-c", text]}, **changes)

    def path(self, machine: dict[str, Any]) -> str:
        return f"/apps/{self.app}/machines/{machine['id']}"

    async def create(self, config: dict[str, Any] | None = None, **body: object) -> dict[str, Any]:
        wanted = {"config": config or self.config(), "region": self.place.region, **body}
        answer = await self.post("/apps/{app}/machines", wanted)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def show(self, machine: dict[str, Any]) -> dict[str, Any]:
        answer = await self.get(self.path(machine))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def reached(self, machine: dict[str, Any], state: str = "started") -> dict[str, Any]:
        """The machine, once it is in a state at the version that is given."""
        query = {"state": state, "timeout": "60", "version": machine["instance_id"]}

        async def look() -> bool:
            answer = await self.get(f"{self.path(machine)}/wait", **query)
            assert answer.status_code in {200, 404, 408}, answer.text
            return answer.status_code == 200

        await self.eventually(look)
        return await self.show(machine)

    async def started(self, config: dict[str, Any] | None = None, **body: object) -> dict[str, Any]:
        return await self.reached(await self.create(config, **body))

    async def stopped(self, machine: dict[str, Any]) -> dict[str, Any]:
        answer = await self.post(f"{self.path(machine)}/stop")
        assert answer.status_code == 200, answer.text
        return await self.reached(machine, "stopped")

    async def lease(self, machine: dict[str, Any], ttl_s: int = 60) -> str:
        """The nonce of a lease that is taken."""
        answer = await self.post(f"{self.path(machine)}/lease", {"ttl": ttl_s})
        assert answer.status_code == 201, answer.text
        nonce: str = answer.json()["data"]["nonce"]
        return nonce

    async def log_text(self) -> str:
        """The newest page of the app's log."""
        answer = await self.get(f"{self.place.logs_url}/api/v1/apps/{self.app}/logs")
        return "\n".join(line["attributes"]["message"] for line in answer.json()["data"])

    async def eventually(self, look: Callable[[], Awaitable[Found]]) -> Found:
        """The first answer that is not empty. Nothing announces what happens behind an HTTP API."""
        with anyio.fail_after(240 if self.place.live else 30):
            while not (found := await look()):  # noqa: ASYNC110 - see above.
                await anyio.sleep(1 if self.place.live else PAUSE_S)
        return found


@asynccontextmanager
async def engine_place(state_dir: Path, rate_limits: RateLimits | None = None) -> AsyncIterator[Place]:
    """The embedded engine, with a program that serves HTTP as its one image."""
    image = "registry.fly.io/catwalk-runner:0.1.0"
    settings = EngineSettings(
        state_dir=state_dir,
        token=ENGINE_TOKEN,
        organization="acme-org",
        region="iad",
        images={"catwalk-runner": (sys.executable, "-S", str(Path(__file__).with_name("runner.py")), "{port}")},
        base_environment={"PATH": "/usr/bin:/bin"},
        rate_limits=rate_limits,
        timings=Timings(prepare_s=0.5, startup_check_interval_s=0.05, backoff_first_s=0.05, backoff_limit_s=0.2),
    )
    async with run_engine(settings) as engine:
        yield Place(
            api_url=engine.api_url,
            logs_url=engine.api_url,
            token=engine.token,
            organization=settings.organization,
            region=settings.region,
            image=image,
            serving={"image": image, "init": {"cmd": ["--", "pypi:mcp-server-time@1"]}},
        )


@asynccontextmanager
async def opened(place: Place, judge: Judge) -> AsyncIterator[Target]:
    """A new app at a place, which is gone afterwards."""
    headers = {"authorization": authorization(SecretValue(place.token))}
    async with httpx.AsyncClient(
        base_url=f"{place.api_url}/v1",
        headers=headers,
        event_hooks={"response": [judge]},
        timeout=75,
        # A proxy of the environment is right for Fly and wrong for an engine on this machine.
        trust_env=place.live,
        verify=True if place.live else NO_TLS,
    ) as api:
        target = Target(place=place, api=api, app=f"catwalk-contract-{secrets.token_hex(4)}")
        try:
            wanted = {"name": target.app, "org_slug": place.organization, "network": target.app}
            made = await target.post("/apps", wanted)
            assert made.status_code == 201, made.text
            yield target
        finally:
            await clean(target)


async def clean(target: Target) -> None:
    """Deletes every app that a case asked for, also when the case was cut short. Nothing else is ever deleted."""
    with anyio.move_on_after(120, shield=True):
        for name in sorted(name for name in target.attempted if name.startswith(target.app)):
            await target.call("DELETE", f"/apps/{name}?force=true")
