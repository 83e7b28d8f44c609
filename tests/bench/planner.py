"""How long the planner takes: N servers that run as wanted, one of them changed.

    python -m tests.bench.planner --servers 10000 --rounds 15

Pure computation in one process: no network, no store. The snapshot is made before the clock starts; each round plans it
anew. The program fails where the plan touches any other server than the changed one.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace

from reconciler.core.actions import Plan
from reconciler.core.plan import plan
from reconciler.core.resolve import resolve
from reconciler.core.types import (
    Check,
    CheckState,
    DesiredServer,
    MachineState,
    Observation,
    ObservedApp,
    ObservedMachine,
    PackageReference,
    Registry,
    Revision,
    Scale,
    ServerSpec,
    Snapshot,
)

HEALTHY = (Check(name="servicecheck-00-http-8080", state=CheckState.PASSING),)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print("| case | servers | median ms | its CPU ms | slowest ms | servers touched |\n|---|---|---|---|---|---|")
    for name, minimum in (("may sleep, updated in place", 0), ("must be awake, replaced", 1)):
        _measure(name, _snapshot(options.servers, minimum), options.rounds)
    return 0


def _measure(name: str, snapshot: Snapshot, rounds: int) -> None:
    taken_ms, cpu_ms = list[float](), list[float]()
    made: Plan | None = None
    for _ in range(rounds):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        made = plan(snapshot)
        taken_ms.append((time.perf_counter() - begun) * 1000)
        cpu_ms.append((time.process_time() - cpu_begun) * 1000)
    assert made is not None
    touched = {action.server for action in made.actions} | {waiting.action.server for waiting in made.deferred}
    assert touched == {"server-00000"}, touched
    median, cpu, slowest = statistics.median(taken_ms), statistics.median(cpu_ms), max(taken_ms)
    print(f"| {name} | {len(snapshot.desired):,} | {median:.0f} | {cpu:.0f} | {slowest:.0f} | {len(touched)} |")


def _snapshot(count: int, minimum: int) -> Snapshot:
    servers = [_server(number, minimum) for number in range(count)]
    machines = tuple(_machine(server) for server in servers)
    changed = replace(servers[0].spec, arguments=("--changed",))
    servers[0] = resolve(changed, runner_image="runner:1", secret_digests={})
    apps = tuple(ObservedApp(name=machine.app) for machine in machines)
    return Snapshot(
        fleet="acme",
        revision=Revision(commit="a" * 40, branch="main", source="/repository"),
        desired=tuple(servers),
        observation=Observation(apps=apps, machines=machines),
        owned_apps=frozenset(app.name for app in apps),
    )


def _server(number: int, minimum: int) -> DesiredServer:
    spec = ServerSpec(
        fleet="acme",
        name=f"server-{number:05}",
        package=PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="2026.10.19"),
        scale=Scale(minimum=minimum),
    )
    return resolve(spec, runner_image="registry.fly.io/catwalk-runner:0.1.0", secret_digests={})


def _machine(server: DesiredServer) -> ObservedMachine:
    wanted = server.machines[0]
    return ObservedMachine(
        app=wanted.app,
        id=f"{abs(hash(wanted.app)):x}"[:14],
        name=wanted.name,
        state=MachineState.STARTED,
        region=wanted.region,
        instance_id="01",
        fleet="acme",
        server=wanted.server,
        digest=wanted.digest,
        config=wanted.config.encode().decode(),
        checks=HEALTHY,
    )


if __name__ == "__main__":
    sys.exit(main())
