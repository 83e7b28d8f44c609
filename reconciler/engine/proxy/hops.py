"""Where a request goes next: first to the app that its Host names, then wherever a machine has it replayed to.

One request makes at most `HOPS_LIMIT` replays. A replay stays in the organization, of which there is one here, and in
the app's network, as on Fly without the setting that opens networks to each other (docs, "Dynamic request routing").
"""

from dataclasses import dataclass, field, replace

from reconciler.engine.inventory import Inventory
from reconciler.engine.proxy.messages import BadMessage, Head, Headers
from reconciler.engine.proxy.replays import HOPS_LIMIT, Fallback, Replay, region_codes
from reconciler.engine.proxy.routing import Demand
from reconciler.engine.records import Machine

SUFFIX = ".flycast"


class NoHop(Exception):
    """The request cannot go where it is to go."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The way back to whoever ordered a replay, where it wants the request again if nobody else takes it."""

    app: str
    machine: Machine
    fallback: Fallback


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One attempt to have a request answered."""

    app: str
    head: Head
    demand: Demand
    told: Headers = field(default_factory=Headers)
    """What the proxy tells the machine about earlier hops."""
    replays: int = 0
    is_final: bool = False
    """Whether its answer must be an answer: the fallback of a replay cannot order a replay."""
    limit_s: float | None = None
    way_back: Return | None = None


def first_hop(head: Head) -> Hop:
    """Where a request as it came wants to go.

    Raises:
        BadMessage: there is not exactly one Host.
        NoHop: the Host names no app.
    """
    hosts = [value for key, value in head.headers if key == b"host"]
    if len(hosts) != 1:
        raise BadMessage("exactly one Host header is needed")
    name = hosts[0].decode("latin-1").rpartition(":")[0] or hosts[0].decode("latin-1")
    if not name.endswith(SUFFIX):
        raise NoHop("PM06", f"no app in Host {name!r}; ask for {{app}}{SUFFIX}")
    return Hop(app=name.removesuffix(SUFFIX), head=head, demand=_demand(head))


def _demand(head: Head) -> Demand:
    forced_regions = region_codes(_text(head, b"fly-force-region"))
    return Demand(
        forced=_text(head, b"fly-force-instance-id"),
        preferred=_text(head, b"fly-prefer-instance-id"),
        regions=forced_regions or region_codes(_text(head, b"fly-prefer-region")),
        regions_only=bool(forced_regions),
    )


def _text(head: Head, name: bytes) -> str:
    return (head.first(name) or b"").decode("latin-1")


def next_hop(hop: Hop, replay: Replay, source: Machine, now_ns: int, inventory: Inventory) -> Hop:
    """Where a replay goes.

    Raises:
        NoHop: it may not.
    """
    if hop.is_final:
        raise NoHop("PA03", "the fallback of a replay cannot be replayed")
    if hop.replays >= HOPS_LIMIT:
        raise NoHop("PA02", f"request was replayed more than {HOPS_LIMIT} times")
    app = replay.app or hop.app
    _require_reachable(hop.app, app, inventory)
    source_text = f"instance={source.id};region={source.region};t={now_ns // 1000};state={replay.state}"
    return Hop(
        app=app,
        head=transformed(hop.head, replay),
        demand=Demand(
            forced=replay.instance,
            preferred=replay.prefer_instance,
            regions=replay.regions,
            regions_only=bool(replay.regions),
            excluded=source.id if replay.elsewhere else "",
        ),
        told=[(b"fly-replay-src", source_text.encode())],
        replays=hop.replays + 1,
        limit_s=replay.timeout_s,
        way_back=Return(app=hop.app, machine=source, fallback=replay.fallback) if replay.fallback else None,
    )


def _require_reachable(source: str, target: str, inventory: Inventory) -> None:
    here, there = inventory.app(source), inventory.app(target)
    if there is None:
        raise NoHop("PA04", f"replay target app not found: {target}")
    if here is not None and here.network != there.network:
        raise NoHop("PA05", f"replay to {target} is not allowed: it is in another network")


def transformed(head: Head, replay: Replay) -> Head:
    """The request with the changes that the replay wants."""
    transform = replay.transform
    named = {name.lower().encode() for name in transform.delete_headers}
    named |= {one.name.lower().encode() for one in transform.set_headers}
    kept = [(key, value) for key, value in head.headers if key not in named]
    added = [(one.name.lower().encode(), one.value.encode()) for one in transform.set_headers]
    target = head.target if transform.path is None else transform.path.encode()
    return replace(head, headers=[*kept, *added], target=target)


def hop_back(hop: Hop, way_back: Return, reason: str, elapsed_ms: int) -> Hop:
    """The hop to the machine that ordered a replay which found nobody."""
    failed = ";".join(
        (
            f"instance={hop.demand.forced}",
            f"app={hop.app}",
            f"region={','.join(hop.demand.regions)}",
            f"replay_source={way_back.machine.id}",
            f"reason={reason}",
            f"elapsed_ms={elapsed_ms}",
        )
    )
    only_itself = way_back.fallback is Fallback.FORCE_SELF
    return Hop(
        app=way_back.app,
        head=hop.head,
        demand=Demand(forced=way_back.machine.id) if only_itself else Demand(preferred=way_back.machine.id),
        told=[(b"fly-replay-failed", failed.encode())],
        replays=hop.replays,
        is_final=True,
    )
