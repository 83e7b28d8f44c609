"""Apps whose server left the manifest: when they go, in which order, and how many without being asked.

A manifest that lost its servers by mistake looks just like one that gave them up. So the number that one plan may
remove is bounded (`policy.prune`); above it nothing is removed, and the plan says by which digest a person agrees.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.actions import DestroyApp, Held, PruneRequest
from reconciler.core.attempts import attempt_of, wait_for
from reconciler.core.parts import Circumstances, Part, Rotation, Wait, joined
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.retiring import retire
from reconciler.core.types import ObservedMachine

_REASON = "the manifest does not declare the server any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """One app of ours that nobody declares any more."""

    app: str
    server: str
    machines: tuple[ObservedMachine, ...] = ()
    shared: bool = False
    """Whether it holds a machine that is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What a person agreed to lose."""

    policy: PrunePolicy
    digests: frozenset[str] = frozenset()
    apps: frozenset[str] = frozenset()


def prune_request(leaving: Iterable[Leaving], existing: int, agreement: Agreement) -> PruneRequest | None:
    """What must be asked before these apps are removed; none where the budget or a person allows it.

    Args:
        leaving: all apps that would go.
        existing: how many apps of the fleet exist, these among them.
        agreement: the budget and what was agreed to.
    """
    apps = tuple(sorted({found.app for found in leaving}))
    digest = prune_digest(apps)
    asked = [app for app in apps if app not in agreement.apps]
    reason = _above(len(asked), existing, agreement.policy)
    if not reason or digest in agreement.digests:
        return None
    return PruneRequest(digest=digest, apps=apps, reason=reason)


def prune_digest(apps: Iterable[str]) -> str:
    """SHA-256 over the names of the apps, in hexadecimal: what a person confirms."""
    return hashlib.sha256("\n".join(sorted(apps)).encode("utf-8")).hexdigest()


def _above(count: int, existing: int, policy: PrunePolicy) -> str:
    """Why so many must be asked for, in words; empty where they need not be."""
    servers = "1 server" if count == 1 else f"{count} servers"
    if count and policy.always_confirm:
        return f"{servers} would be removed, and every removal is to be confirmed"
    if count > policy.max_count:
        return f"{servers} would be removed; at most {policy.max_count} may be without being asked"
    if count > 1 and count * 100 > existing * policy.max_percent:
        return f"{servers} of {existing} would be removed; at most {policy.max_percent} % may be without being asked"
    return ""


def hold_removals(leaving: Sequence[Leaving], request: PruneRequest) -> Iterator[tuple[str, Part]]:
    """Every removal held. The request itself names the command that releases all of them."""
    for found in leaving:
        reason = f"its removal is to be confirmed: {request.reason}"
        yield found.server, Part(held=(Held(server=found.server, summary=f"app {found.app} kept", reason=reason),))


def remove(
    leaving: Sequence[Leaving], dependents: Mapping[str, Collection[str]], around: Circumstances
) -> Iterator[tuple[str, Part]]:
    """The removals that may happen now, by server; those that others still depend on wait for these.

    Args:
        leaving: all apps that go.
        dependents: for each server those that depended on it and are neither gone nor settled without it.
        around: whether the view is complete; the setbacks are those of the whole fleet.
    """
    for found in leaving:
        yield found.server, _remove(found, sorted(dependents.get(found.server, ())), around)


def _remove(found: Leaving, dependents: Sequence[str], around: Circumstances) -> Part:
    if not around.complete:
        reason = "the view of the fleet is incomplete"
        return Part(held=(Held(server=found.server, summary=f"app {found.app} not destroyed", reason=reason),))
    if found.shared:
        held = Held(
            server=found.server, summary=f"app {found.app} kept", reason="it holds a machine that is not Catwalk's"
        )
        emptied = joined(retire(machine, _REASON, around, Rotation()) for machine in found.machines)
        return joined((emptied, Part(held=(held,))))
    destroy = DestroyApp(server=found.server, app=found.app, reason=_REASON)
    if dependents:
        gone = Wait(until=f"{', '.join(dependents)} no longer depends on it", awaits=dependents[0])
        return Part(deferred=(gone.on(destroy),))
    mine = [setback for setback in around.setbacks if setback.server == found.server]
    wait = wait_for(attempt_of(destroy), mine, around.now)
    return Part((destroy,)) if wait is None else Part(deferred=(wait.on(destroy),))
