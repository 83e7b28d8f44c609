"""How every run ends: nothing disturbs any more, and then everything must become as the last commit asks.

A server whose last version does not work must have gone back to the one before, if that was ever seen healthy, and be
held; else its other machines wait for the first of them for ever. So does a server that depends on such a one. All the
others must be as declared, and what stands on the commit at GitHub must be the truth.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from reconciler.core.actions import Pass
from reconciler.core.slots import slot_number
from reconciler.core.types import ServerState, Trigger
from reconciler.loop.cut_off import CUT_OFF
from reconciler.report.letters import MOST_POSTS
from reconciler.report.statuses import StatusState
from tests.simulation.fleetfile import CANARY, FLEET, Server

if TYPE_CHECKING:
    from tests.simulation.run import Run

MOST_PASSES: Final = 24
LONGEST_PAUSE_S: Final = 700.0
"""Longer than the longest that a setback waits, or a lease lasts."""
CHECK_S: Final = 10.0
"""Long enough for a check to run and be told."""
WELL: Final = frozenset({ServerState.READY, ServerState.IDLE})
FAILING: Final = frozenset({ServerState.HELD, ServerState.FAILED, ServerState.DEGRADED})
WAITING: Final = frozenset({ServerState.PENDING})


async def settle(run: "Run") -> None:
    """Lets Catwalk come to rest, and complains of all that is not as it must be."""
    await _mended(run)
    commit = await run.commit_last()
    run.say(f"         commit {'; '.join(map(str, run.plan.last))}")
    finished = await _until_quiet(run, commit)
    # What GitHub refused while it was down is sent when its patience is over.
    await asyncio.sleep(LONGEST_PAUSE_S)
    await run.life.say()
    for words in _complaints(run, finished, commit):
        run.guard.violated("end", words)


async def _mended(run: "Run") -> None:
    """Until what is mended shows: in checks, and in calls of others that a lease held up."""
    await asyncio.sleep(CHECK_S)
    if run.outside.platform.wire.busy:
        await asyncio.sleep(LONGEST_PAUSE_S)


async def _until_quiet(run: "Run", commit: str) -> Pass | None:
    """Passes until one has nothing to do and knows of nothing that is to come."""
    finished: Pass | None = None
    trigger = Trigger.COMMIT
    for number in range(MOST_PASSES):
        finished = await run.run_pass(trigger)
        if finished is not None:
            await _confirm(run, finished)
            if _is_quiet(run, finished, commit):
                return finished
        trigger = Trigger.POLL if number % 2 else Trigger.HEALTH
        await asyncio.sleep(min(5.0 * 2**number, LONGEST_PAUSE_S))
    return finished


async def _confirm(run: "Run", finished: Pass) -> None:
    """A person agrees to whatever is to be removed."""
    if finished.plan is not None and finished.plan.prune is not None:
        await run.life.store.confirm_prune(finished.plan.prune.digest)


def _is_quiet(run: "Run", finished: Pass, commit: str) -> bool:
    plan = finished.plan
    if plan is None or not plan.empty or plan.prune or _held(run, finished):
        return False
    ill = {server.name for server in run.plan.last if server.ill}
    behind = _behind(run, ill)
    unwell = {status.server for status in finished.statuses if status.state not in WELL}
    if any(CUT_OFF in waiting.until for waiting in plan.deferred):
        return False
    waits = {waiting.action.server for waiting in plan.deferred}
    if any(status.state not in _restful(status.server in behind) for status in finished.statuses):
        return False
    applied = finished.applied_revision is not None and finished.applied_revision.commit == commit
    may_wait = ill | behind | _kept_for(run, behind | ill)
    blamed = {problem.server for problem in finished.problems}
    return applied and unwell <= ill | behind and waits <= may_wait and blamed <= ill


def _restful(is_behind: bool) -> frozenset[ServerState]:
    """States that may last. A server that waits for one that is ill may lack machines, and starts for ever."""
    return WELL | FAILING | WAITING | ({ServerState.STARTING} if is_behind else frozenset())


def _behind(run: "Run", ill: set[str]) -> set[str]:
    """Servers that wait for one that does not work, or for one that waits for it."""
    found: set[str] = set()
    for server in run.plan.last * len(run.plan.last):
        if server.after in ill | found:
            found.add(server.name)
    return found


def _kept_for(run: "Run", unsettled: set[str]) -> set[str]:
    """Servers that have left the file, and that an unsettled one may still need at its earlier version."""
    commits = run.outside.repository.commits
    return {
        server.after
        for commit in commits
        for server in run.outside.repository.readable(commit)
        if server.name in unsettled and server.after
    }


def _held(run: "Run", finished: Pass) -> list[str]:
    """What is held and should not be: an app that holds a machine of somebody else stays."""
    shared = {machine.app for machine in run.guard.strangers.values()}
    assert finished.plan is not None
    return [str(held) for held in finished.plan.held if f"acme-{held.server}" not in shared]


def _complaints(run: "Run", finished: Pass | None, commit: str) -> Iterator[str]:
    if finished is None or not _is_quiet(run, finished, commit):
        yield f"it did not come to rest: {_rest(finished)}"
        return
    statuses = {status.server: status for status in finished.statuses}
    if statuses.keys() != {server.name for server in run.plan.last}:
        yield f"statuses are of {sorted(statuses)}"
    for server in run.plan.last:
        yield from _server(run, server, statuses[server.name].state)
    yield from _apps(run)
    yield from _github(run, commit, finished)


def _rest(finished: Pass | None) -> str:
    if finished is None or finished.plan is None:
        return "there is no plan"
    plan = finished.plan
    left = [*plan.actions, *plan.deferred, *plan.held]
    words = [*map(str, finished.problems), *map(str, left)]
    words += [f"{status.server}={status.state} {status.detail}" for status in finished.statuses]
    return "; ".join(words)[:1500]


def _server(run: "Run", server: Server, state: ServerState) -> Iterator[str]:
    platform = run.outside.platform
    machines = [one for one in platform.machines(server.app) if one.id not in run.guard.strangers]
    slots = Counter(slot_number(server.name, machine.name) for machine in machines)
    if server.name in _behind(run, {one.name for one in run.plan.last if one.ill}):
        return
    if server.ill:
        if state not in FAILING:
            yield f"{server.name} does not work and is said to be {state}"
        return
    if slots != Counter(range(1, server.machines + 1)):
        yield f"{server.name} has the slots {dict(slots)}, not {server.machines}"
    for machine in machines:
        if f"pypi:{server.name}-mcp@{server.version}" not in ((machine.config.init and machine.config.init.cmd) or ()):
            yield f"{machine.name} runs another version"
    app = platform.inventory.app(server.app)
    secrets = {secret.value for secret in app.secrets.values()} if app is not None else set[str]()
    if secrets != ({f"{CANARY}-{server.secret}"} if server.secret else set()):
        yield f"{server.name} has the secrets {sorted(secrets)}"
    serving = len(platform.serving(server.app))
    if serving < server.minimum:
        yield f"{serving} machines of {server.name} serve, not {server.minimum}"


def _apps(run: "Run") -> Iterator[str]:
    ill = {server.name for server in run.plan.last if server.ill}
    kept = {f"{FLEET}-{name}" for name in _kept_for(run, ill | _behind(run, ill))}
    waiting = {f"{FLEET}-{name}" for name in _behind(run, ill)}
    wanted = {server.app for server in run.plan.last} | {machine.app for machine in run.guard.strangers.values()}
    found = {app.name for app in run.outside.platform.inventory.apps()}
    if not wanted - waiting <= found <= wanted | kept:
        yield f"apps are {sorted(found)}, not {sorted(wanted)}"


def _github(run: "Run", commit: str, finished: Pass) -> Iterator[str]:
    well = all(status.state in WELL for status in finished.statuses)
    done = not (finished.problems or finished.waiting) and finished.plan is not None and not finished.plan.held
    posted = run.outside.github.posted
    for (sha, context), number in Counter((one.sha, one.context) for one in posted).items():
        if number > MOST_POSTS:
            yield f"{number} posts of {context} on {sha[:7]}"
    stands = {one.context: one for one in posted if one.sha == commit}
    health = stands.get("catwalk/health")
    if health is None or (health.state is StatusState.SUCCESS) != well:
        yield f"catwalk/health is {health and health.state}, and well is {well}"
    sync = stands.get("catwalk/sync")
    if sync is None or (sync.state is StatusState.SUCCESS) != done:
        yield f"catwalk/sync is {sync and sync.state}, and done is {done}"
