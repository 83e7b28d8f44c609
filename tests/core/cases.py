"""Random fleets for the planner, and the promises that hold in each of them at every step.

One generator serves both the property tests, where Hypothesis drives the dice and makes failures small, and the bench,
where a plain seeded generator makes them by the hundred thousand.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from reconciler.core.actions import Action, Cordon, Create, Destroy, DestroyApp, Plan, Stop, Update
from reconciler.core.attempts import attempt_of, wait_for
from reconciler.core.machine_health import GONE, asleep
from reconciler.core.plan import plan
from reconciler.core.problems import Problem
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.resolve import resolve
from reconciler.core.setbacks import Setback
from reconciler.core.slots import slot_number
from reconciler.core.types import (
    DesiredMachine,
    DesiredServer,
    ExitEvent,
    MachineState,
    ObservedMachine,
    PackageReference,
    Registry,
    Revision,
    Scale,
    SecretDeclaration,
    ServerSpec,
    Snapshot,
)
from tests.core.app_secrets import LABELS, AppSecrets, KnownVersions
from tests.core.simulation import CRASH, FLEET, HEALTHY, MUTE, SICK, Simulation

NAMES = ("alpha", "beta", "gamma", "delta")
REVISION = Revision(commit="a" * 40, branch="main", source="/repository")
STATES = tuple(sorted(set(MachineState) - {MachineState.UNKNOWN, MachineState.STARTED}))
CHAOS_STAGES = 3
COMMIT_STAGE, REVERT_STAGE = 0, 1
"""After these a commit sometimes changes what is wanted, and another one takes it back."""
VERSIONS = KnownVersions()
ORDER_STAGES = (0, 2)
"""Planning twice takes twice as long, so not every stage does."""
BEGINNING = datetime(2026, 11, 24, 12, tzinfo=UTC)
STAGES = 40
"""Far more than any case needs; a fleet of four servers with four machines each takes about fifteen."""


@lru_cache(maxsize=4096)
def _server(name: str, variant: str, scale: tuple[int, int], regions: tuple[str, ...], secret: str) -> DesiredServer:
    spec = ServerSpec(
        fleet=FLEET,
        name=name,
        package=PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="2026.10.19"),
        arguments=(variant,),
        scale=Scale(minimum=scale[0], maximum=scale[1]),
        regions=regions,
        secrets=(SecretDeclaration(name="TOKEN", file="catwalk.yaml", inline=True),) if secret else (),
    )
    made = resolve(spec, runner_image="runner:1", secret_digests={"TOKEN": secret} if secret else {})
    VERSIONS.learn(made, secret)
    return made


def _any_server(dice: Random, name: str) -> DesiredServer:
    maximum = dice.choice((1, 1, 1, 2, 2, 3, 4, 6))
    minimum = min(maximum, dice.choice((0, 0, 1, 2)))
    regions = dice.choice((("iad",), ("iad",), ("fra",), ("iad", "fra")))
    return _server(name, dice.choice(("one", "two")), (minimum, maximum), regions, dice.choice(LABELS))


@dataclass(slots=True, kw_only=True)
class Case:
    """One fleet with what is wanted of it."""

    snapshot: Snapshot
    """Without an observation; the setbacks, the time and what was agreed to change from stage to stage."""
    world: Simulation
    secrets: AppSecrets
    dice: Random
    committed: tuple[DesiredServer, ...] = ()
    """What was wanted before the last commit; nothing where there was none."""
    full: str = ""
    """The code with which the platform refuses every new machine in the first stages; empty where there is room."""

    @property
    def servers(self) -> dict[str, DesiredServer]:
        return {server.spec.name: server for server in self.snapshot.desired}


def make_case(dice: Random) -> Case:
    """Any mix of wanted, running, half replaced, broken, removed, foreign and blocked servers."""
    desired = [_desired(dice, name) for name in dice.sample(NAMES, dice.randint(0, len(NAMES)))]
    names = {server.spec.name for server in desired}
    blocked = tuple(
        Problem(code="blocked", message="cannot be resolved", server=name)
        for name in NAMES
        if name not in names and dice.random() < 0.2
    )
    machines = [machine for name in NAMES if dice.random() < 0.7 for machine in _running(dice, name)]
    digests = sorted({machine.digest for server in desired for machine in server.machines})
    bad = [digest for digest in digests if dice.random() < 0.15]
    mute = [digest for digest in digests if dice.random() < 0.1]
    snapshot = Snapshot(
        fleet=FLEET,
        revision=REVISION,
        desired=tuple(desired),
        observation=Simulation().observe(),
        blocked=blocked,
        owned_apps=frozenset(f"{FLEET}-{name}" for name in NAMES if dice.random() < 0.3),
        prune=PrunePolicy(
            max_percent=dice.choice((0, 50, 100)), max_count=dice.randint(0, 4), always_confirm=dice.random() < 0.1
        ),
        now=BEGINNING,
        gone_back=frozenset(name for name in sorted(names) if dice.random() < 0.05),
        former_dependencies={NAMES[1]: (NAMES[0],)} if dice.random() < 0.3 else {},
    )
    world = Simulation(bad_digests=frozenset(bad), mute_digests=frozenset(mute))
    world.machines = {(found.app, found.id): found for found in machines}
    world.apps = {found.app for found in machines} | {f"{FLEET}-{name}" for name in NAMES if dice.random() < 0.2}
    ours = [found for found in machines if found.fleet == FLEET and found.state not in GONE]
    return Case(
        snapshot=snapshot,
        world=world,
        secrets=AppSecrets.any_of(dice, VERSIONS, world.apps, ours),
        dice=dice,
        full=dice.choice(("", "", "", "region-full", "fly-limit-reached")),
    )


def _desired(dice: Random, name: str) -> DesiredServer:
    server = _any_server(dice, name)
    depends_on = tuple(other for other in NAMES[: NAMES.index(name)] if dice.random() < 0.2)
    spec = replace(server.spec, depends_on=depends_on, suspended=dice.random() < 0.05)
    return replace(server, spec=spec)


def _running(dice: Random, name: str) -> Iterator[ObservedMachine]:
    """Machines of one or two versions, in any state, some half replaced."""
    versions = [_any_server(dice, name) for _ in range(dice.choice((1, 1, 2)))]
    taken: set[str] = set()
    for number, wanted in enumerate(machine for version in versions for machine in version.machines):
        machine_name = f"{wanted.name}-{wanted.digest[:8]}" if wanted.name in taken else wanted.name
        if machine_name not in taken and dice.random() < 0.9:
            taken.add(machine_name)
            yield _machine(dice, number, machine_name, wanted)


def _machine(dice: Random, number: int, name: str, wanted: DesiredMachine) -> ObservedMachine:
    started = dice.random() < 0.7
    found = ObservedMachine(
        app=wanted.app,
        id=f"old{number:02}{wanted.server}",
        name=name,
        state=MachineState.STARTED if started else dice.choice(STATES),
        region=wanted.region,
        instance_id="01",
        fleet=dice.choice((FLEET,) * 12 + ("", "other")),
        server=wanted.server,
        digest=wanted.digest,
        config=wanted.config if dice.random() < 0.95 else '{"image":"changed by hand"}',
    )
    checks = dice.choice((HEALTHY, HEALTHY, HEALTHY, HEALTHY, SICK, MUTE, ())) if started else ()
    last_exit = dice.choice((None, None, CRASH, ExitEvent(exit_code=0, requested=True)))
    return replace(
        found, checks=checks, last_exit=last_exit, cordoned=dice.random() < 0.1, host_ok=dice.random() > 0.03
    )


def check_case(case: Case) -> int:
    """Runs a case to its end and checks every promise on the way; how many stages it took."""
    made: Plan | None = None
    for stage in range(STAGES):
        chaos = stage < CHAOS_STAGES
        complete = not (chaos and case.dice.random() < 0.2)
        seen = case.world.observe(complete=complete)
        snapshot = replace(
            case.snapshot,
            observation=seen,
            mute_machines=case.world.mute_machines,
            loose_secrets=frozenset(case.secrets.loose),
        )
        made = plan(snapshot)
        check_plan(snapshot, made)
        if stage in ORDER_STAGES:
            check_order(snapshot, made)
        if made.empty and made.next_attempt is None and not chaos:
            _check_end(case, made)
            return stage
        _apply(case, made, chaos=chaos)
        _agree(case, made)
        _time_passes(case)
        if chaos:
            _weather(case)
            _commit(case, stage)
    raise AssertionError(f"still not done after {STAGES} stages: {made}")


def check_plan(snapshot: Snapshot, made: Plan) -> None:
    """What holds for any one plan."""
    _check_untouchable(snapshot, made)
    _check_budget(snapshot, made)
    _check_rollout(snapshot, made)
    _check_departures(snapshot, made)
    _check_patience(snapshot, made)


def check_order(snapshot: Snapshot, made: Plan) -> None:
    observation = replace(snapshot.observation, machines=snapshot.observation.machines[::-1])
    assert plan(replace(snapshot, desired=snapshot.desired[::-1], observation=observation)) == made


def _check_untouchable(snapshot: Snapshot, made: Plan) -> None:
    seen = {(machine.app, machine.id): machine for machine in snapshot.observation.machines}
    strange = {machine.app for machine in seen.values() if machine.fleet != FLEET and machine.state not in GONE}
    alone = {problem.server for problem in snapshot.blocked}
    alone |= {server.spec.name for server in snapshot.desired if server.spec.suspended}
    every = [*made.actions, *(waiting.action for waiting in made.deferred)]
    assert not {action.server for action in every} & alone
    for action in every:
        if machine_id := getattr(action, "machine_id", ""):
            assert seen[action.app, machine_id].fleet == FLEET
        assert not (isinstance(action, DestroyApp) and action.app in strange)
    if not snapshot.observation.complete:
        assert not [action for action in every if isinstance(action, Destroy | DestroyApp | Stop | Cordon)]


def _check_budget(snapshot: Snapshot, made: Plan) -> None:
    agreed = snapshot.confirmed_apps
    removed = [action for action in made.actions if isinstance(action, DestroyApp) and action.app not in agreed]
    policy = snapshot.prune
    assert len(removed) <= max(policy.max_count, 0)
    assert not (removed and policy.always_confirm)
    assert made.prune is None or not [action for action in made.actions if isinstance(action, DestroyApp)]
    ours = {machine.app for machine in snapshot.observation.machines if machine.fleet == FLEET}
    existing = len(ours | {app.name for app in snapshot.observation.apps} & snapshot.owned_apps)
    assert len(removed) <= 1 or len(removed) * 100 <= existing * policy.max_percent


def _check_rollout(snapshot: Snapshot, made: Plan) -> None:
    """One machine first, then three at most, and none before what the server depends on."""
    desired = {server.spec.name: server for server in snapshot.desired}
    changed = Counter(action.server for action in made.actions if isinstance(action, Create | Update))
    for name, count in changed.items():
        server = desired[name]
        well = _well(server, snapshot)
        assert count + len(_wanted_slots(server, snapshot) - well) <= (3 if well else 1)
        for other in server.spec.depends_on:
            assert other not in snapshot.gone_back
            if other in desired and not desired[other].spec.suspended:
                assert len(_well(desired[other], snapshot)) == len(desired[other].machines)


def _check_patience(snapshot: Snapshot, made: Plan) -> None:
    """Nothing that failed is tried again before its time."""
    for action in made.actions:
        setbacks = [found for found in snapshot.setbacks if found.server == action.server]
        assert wait_for(attempt_of(action), setbacks, snapshot.now) is None


def _check_departures(snapshot: Snapshot, made: Plan) -> None:
    """A machine that serves goes only when its slot has a wanted one that is well; without a slot, when all have.

    A slot has room for two: of several old machines that serve, all but one may go before the wanted one is well.
    """
    desired = {server.spec.name: server for server in snapshot.desired}
    seen = {(machine.app, machine.id): machine for machine in snapshot.observation.machines}
    leaving = {
        (action.app, action.machine_id) for action in made.actions if isinstance(action, Destroy | Stop | Cordon)
    }
    kept = {
        (machine.app, slot_number(machine.server, machine.name))
        for key, machine in seen.items()
        if key not in leaving and is_healthy(machine) and machine.host_ok and not machine.cordoned
    }
    for action in made.actions:
        if isinstance(action, Destroy | Stop | Cordon) and action.server in desired:
            machine, server = seen[action.app, action.machine_id], desired[action.server]
            slots = set(range(1, len(server.machines) + 1))
            number = slot_number(action.server, machine.name)
            needed = {number} if number in slots else slots
            if is_healthy(machine) and machine.host_ok and not machine.cordoned and (action.app, number) not in kept:
                assert needed <= _well(server, snapshot)


def _wanted_slots(server: DesiredServer, snapshot: Snapshot) -> set[int]:
    """Slots with a wanted machine on a host that answers, well or not."""
    machines = [machine for machine in snapshot.observation.machines if machine.app == server.spec.app]
    wanted = [machine for machine in machines if machine.fleet == FLEET and machine.host_ok]
    return {
        slot_number(machine.server, machine.name)
        for machine in wanted
        if _is_wanted(server, machine) and machine.state not in GONE
    }


def _well(server: DesiredServer, snapshot: Snapshot) -> set[int]:
    """Slots with a machine that is wanted and well, counted the simple way."""
    machines = [
        machine
        for machine in snapshot.observation.machines
        if machine.app == server.spec.app and machine.fleet == FLEET and not machine.cordoned and machine.host_ok
    ]
    wanted = [machine for machine in machines if _is_wanted(server, machine)]
    awake = {slot_number(machine.server, machine.name) for machine in wanted if is_healthy(machine)}
    resting = {slot_number(machine.server, machine.name) for machine in wanted if asleep(machine)}
    return awake | (resting if len(awake) >= server.spec.scale.minimum else set())


def _is_wanted(server: DesiredServer, machine: ObservedMachine) -> bool:
    number = slot_number(machine.server, machine.name)
    wanted = server.machines[number - 1] if 0 < number <= len(server.machines) else None
    return wanted is not None and (wanted.digest, wanted.config) == (machine.digest, machine.config)


def is_healthy(machine: ObservedMachine) -> bool:
    """Whether it answers callers, which one that passes its checks and is mute does not."""
    return machine.state is MachineState.STARTED and machine.checks == HEALTHY


def _apply(case: Case, made: Plan, *, chaos: bool) -> None:
    """The actions of a stage, one server after the other; the first failure or interruption ends those of a server."""
    interrupted = chaos and case.dice.random() < 0.3
    by_server: dict[str, list[Action]] = {}
    case.secrets.begin(made.actions)
    for action in made.actions:
        by_server.setdefault(action.app, []).append(action)
    for actions in by_server.values():
        kept = case.dice.randint(0, len(actions)) if interrupted else len(actions)
        for action in actions[:kept]:
            code = _refusal(case, action) if chaos else ""
            _remember(case, action, code)
            if code:
                break
            before = _serving(case, action.server)
            case.world.apply(action)
            case.secrets.done(action, case.servers.get(action.server))
            _check_service(case, action, before)


def _refusal(case: Case, action: Action) -> str:
    """The code of the failure that an action meets; empty for success."""
    if isinstance(action, Create) and case.full:
        return case.full
    if isinstance(action, Update) and case.dice.random() < 0.2:
        return case.dice.choice(("host-full", "machine-failed"))
    return "machine-leased" if case.dice.random() < 0.03 else ""


def _remember(case: Case, action: Action, code: str) -> None:
    """Setbacks as the store keeps them: the latest of each machine, until a change of it succeeds."""
    attempt = attempt_of(action)
    kept = [
        found for found in case.snapshot.setbacks if (found.server, found.machine) != (action.server, attempt.machine)
    ]
    if code:
        assert case.snapshot.now is not None
        not_before = case.snapshot.now + timedelta(seconds=case.dice.choice((1, 5, 20)))
        kept.append(
            Setback(
                server=action.server,
                machine=attempt.machine,
                digest=attempt.digest,
                code=code,
                attempts=1,
                not_before=not_before,
            )
        )
    case.snapshot = replace(case.snapshot, setbacks=tuple(kept))


def _agree(case: Case, made: Plan) -> None:
    """Somebody sometimes agrees to what is asked, and the agreement outlasts an interruption."""
    if made.prune is not None and case.dice.random() < 0.3:
        agreed = case.snapshot.confirmed_apps | set(made.prune.apps)
        digests = case.snapshot.confirmed_prunes | {made.prune.digest}
        case.snapshot = replace(case.snapshot, confirmed_apps=agreed, confirmed_prunes=digests)


def _time_passes(case: Case) -> None:
    case.world.settle()
    assert case.snapshot.now is not None
    case.snapshot = replace(case.snapshot, now=case.snapshot.now + timedelta(seconds=5))


def _serving(case: Case, name: str) -> set[str]:
    return {
        machine.id
        for machine in case.world.machines.values()
        if machine.server == name
        and machine.fleet == FLEET
        and is_healthy(machine)
        and not machine.cordoned
        and machine.host_ok
    }


def _check_service(case: Case, action: Action, before: set[str]) -> None:
    server = case.servers.get(action.server)
    if server is not None and server.spec.scale.minimum > 0 and before:
        assert _serving(case, action.server), f"nobody serves after {action}"


def _weather(case: Case) -> None:
    """What happens to machines by themselves: they fall asleep, crash, recover, are cordoned by somebody."""
    for key, machine in case.world.machines.items():
        if machine.state is MachineState.STARTED and case.dice.random() < 0.1:
            case.world.machines[key] = replace(machine, **case.dice.choice(_EVENTS))  # type: ignore[arg-type]


def _commit(case: Case, stage: int) -> None:
    """Somebody changes what is wanted of some servers, or takes that back."""
    if stage == COMMIT_STAGE and case.dice.random() < 0.3:
        case.committed = case.snapshot.desired
        desired = tuple(
            server if case.dice.random() < 0.5 else _desired(case.dice, server.spec.name) for server in case.committed
        )
        case.snapshot = replace(case.snapshot, desired=desired)
    elif stage == REVERT_STAGE and case.committed and case.dice.random() < 0.6:
        case.snapshot = replace(case.snapshot, desired=case.committed)


_EVENTS: Sequence[dict[str, object]] = (
    {"state": MachineState.SUSPENDED, "checks": (), "last_exit": None},
    {"state": MachineState.STOPPED, "checks": (), "last_exit": CRASH},
    {"checks": SICK},
    {"checks": HEALTHY},
    {"checks": MUTE},
    {"cordoned": True},
)


def _check_end(case: Case, made: Plan) -> None:
    """There is nothing to do; where nothing stands in the way, the fleet is exactly what is wanted."""
    for server in case.snapshot.desired:
        machines = [found for found in case.world.machines.values() if found.app == server.spec.app]
        ours = [found for found in machines if found.fleet == FLEET and found.state not in GONE]
        if server.spec.name in made.unchanged:
            assert all(_is_wanted(server, found) for found in ours)
            assert len(ours) == len(server.machines)
            label = VERSIONS.label(server)
            assert case.secrets.labels[server.spec.app] == label, (
                f"{server.spec.name} has the secrets of another version"
            )
        else:
            assert _hindered(case, server, machines), (server.spec.name, made)


def _hindered(case: Case, server: DesiredServer, machines: Sequence[ObservedMachine]) -> bool:
    """Whether something stands in the way that no plan can clear.

    A machine on a silent host is in the way also without a mark: it may be ours, and nobody can tell.
    """
    ours = [found for found in machines if found.fleet == FLEET and found.state not in GONE]
    silent = any(not found.host_ok for found in machines)
    spec, desired = server.spec, case.servers
    snapshot = replace(case.snapshot, observation=case.world.observe())
    unwell = len(_well(server, snapshot)) < len(server.machines)
    broken = any(not found.host_ok or not (is_healthy(found) or asleep(found)) for found in ours)
    ill = case.world.bad_digests | case.world.mute_digests
    bad = bool(ill & {machine.digest for machine in server.machines})
    blocked = {problem.server for problem in case.snapshot.blocked}
    waits = any(
        other in blocked
        or other in snapshot.gone_back
        or (other in desired and len(_well(desired[other], snapshot)) < len(desired[other].machines))
        for other in spec.depends_on
    )
    return spec.suspended or silent or (unwell and (broken or bad or waits))
