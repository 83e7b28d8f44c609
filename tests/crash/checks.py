"""What must be true after a crash and a restart, looked at from outside: at the engine, at GitHub, in the database."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import create_engine, text

from reconciler.engine import Engine
from reconciler.fly.leases import TIME_TO_LIVE_S
from reconciler.report.letters import MOST_POSTS
from tests.crash.process import ORGANIZATION, Life
from tests.crash.scenario import Step
from tests.crash.world import Look, World, looking

OVERALL = ("catwalk/sync", "catwalk/health")
GONE = ("destroyed", "destroying")


async def complaints(world: World, engine: Engine, life: Life, step: Step, commit: str) -> list[str]:
    """Everything that is not as it must be; nothing when all is well."""
    async with looking(engine) as look:
        seen = await _see(look, step)
    return [*_unfinished(life, commit), *_machines(seen, step), *_statuses(world, commit), *_database(life)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The end of a run, at the engine."""

    apps: set[str]
    machines: list[dict[str, Any]]
    addresses: dict[str, int]
    leased_s: dict[str, float]
    """By machine, how long its lease lasts yet."""


async def _see(look: Look, step: Step) -> _Seen:
    listed = (await look(f"/v1/orgs/{ORGANIZATION}/machines"))["machines"]
    living = [machine for machine in listed if machine["state"] not in GONE]
    now_s = datetime.fromisoformat((await look("/_engine/clock"))["now"]).timestamp()
    leases = {one["name"]: await look(f"/v1/apps/{one['app_name']}/machines/{one['id']}/lease") for one in living}
    addresses = {app: await look(f"/v1/apps/{app}/ip_assignments") or {} for app in step.machines}
    return _Seen(
        apps={app["name"] for app in (await look(f"/v1/apps?org_slug={ORGANIZATION}"))["apps"]},
        machines=living,
        addresses={app: len(found.get("ips", [])) for app, found in addresses.items()},
        leased_s={name: found["data"]["expires_at"] - now_s for name, found in leases.items() if found},
    )


def _unfinished(life: Life, commit: str) -> Iterator[str]:
    if not life.result.exists():
        yield f"the restarted process ended without a result: {life.output.read_text(encoding='utf-8')[-2000:]}"
        return
    result = json.loads(life.result.read_text(encoding="utf-8"))
    if not result["done"]:
        yield f"not converged after {result['passes']} passes: {'; '.join(result['words'])}"
    if result["commit"] != commit:
        yield f"{result['commit'][:7]} is applied, not {commit[:7]}"


def _machines(seen: _Seen, step: Step) -> Iterator[str]:
    if seen.apps != step.machines.keys():
        yield f"apps are {sorted(seen.apps)}, not {sorted(step.machines)}"
    counted = Counter(machine["app_name"] for machine in seen.machines)
    if counted != Counter(step.machines):
        yield f"machines are {dict(counted)}, not {step.machines}"
    for machine in seen.machines:
        if machine["state"] != "started":
            yield f"{machine['name']} is {machine['state']}"
    for app, addresses in seen.addresses.items():
        if addresses != 1:
            yield f"app {app} has {addresses} addresses"
    for name, left_s in seen.leased_s.items():
        # What a crash left behind ends by itself; what lasts longer than anybody asked for would block.
        if left_s > TIME_TO_LIVE_S:
            yield f"{name} is leased for {left_s:.0f} s"


def _statuses(world: World, commit: str) -> Iterator[str]:
    posted = world.github.posted
    counted = Counter((one["sha"], one["context"]) for one in posted)
    for (sha, context), number in counted.items():
        if number > MOST_POSTS:
            yield f"{number} posts of {context} on {sha[:7]}"
    stands = {(one["sha"], one["context"]): one for one in posted}
    for context in OVERALL:
        last = stands.get((commit, context))
        if last is None or last["state"] != "success":
            yield f"{context} on the applied commit is {last and (last['state'], last['description'])}"
    for (sha, context), last in stands.items():
        if sha == commit and last["state"] != "success":
            yield f"{context} on the applied commit is {last['state']}: {last['description']}"
        if sha != commit and last["state"] == "pending" and not last["description"].startswith("superseded by"):
            yield f"{context} on {sha[:7]} waits for ever: {last['description']}"
    if world.github.violations:
        yield f"GitHub refuses {world.github.violations}"


def _database(life: Life) -> Iterator[str]:
    """The store is whole, nothing in it is left open, and what it owns is what is there."""
    url = life.database_url or f"sqlite:///{life.state_dir / 'catwalk.db'}"
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                verdict = connection.execute(text("PRAGMA integrity_check")).scalar()
                if verdict != "ok":
                    yield f"the database is damaged: {verdict}"
            still_open = connection.execute(text("SELECT count(*) FROM intents WHERE outcome = ''")).scalar()
            if still_open:
                yield f"{still_open} intents are still open"
    finally:
        engine.dispose()
