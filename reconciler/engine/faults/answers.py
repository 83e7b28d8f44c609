"""The answers of faults, in the exact texts that clients of the platform have recorded: real clients match on them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from reconciler.engine.faults.effects import (
    Conflict,
    ConflictReason,
    InsufficientCapacity,
    ManifestUnknown,
    PreconditionFailed,
    PreconditionReason,
    RateLimited,
    Refusing,
)
from reconciler.engine.refusals import Refusal, Service

JSON = "application/json; charset=utf-8"
CONFLICTS: Mapping[ConflictReason, str] = {
    ConflictReason.LEASE: "aborted: machine ID {machine} lease currently held by somebody@tokens.fly.io, "
    "expires at {expires_at}",
    ConflictReason.VERSION: "aborted: machine update failed due to concurrent update",
    ConflictReason.HOST_MEMORY: "aborted: could not reserve resource for machine: insufficient memory available to "
    "fulfill request on the current host",
    ConflictReason.HOST_CPUS: "aborted: could not reserve resource for machine: insufficient CPUs available to "
    "fulfill request on the current host",
    ConflictReason.NO_ADDRESSES: "aborted: insufficient IPs available to fulfill request",
    ConflictReason.NO_RESOURCES: "aborted: insufficient resources available to fulfill request: could not find a host",
    ConflictReason.NO_CAPACITY: "aborted: no capacity",
    ConflictReason.HOST_DISABLED: "deploys to this host are temporarily disabled",
    ConflictReason.GOVERNOR: "governor policy blocked start",
    ConflictReason.NAME: "already_exists: unique machine name violation, machine ID {machine} already exists with "
    'name "{name}"',
    ConflictReason.NO_MESSAGE: "",
}
PRECONDITIONS: Mapping[PreconditionReason, str] = {
    PreconditionReason.METADATA: "failed_precondition: machine version mismatch",
    PreconditionReason.VOLUME: "insufficient resources to create new machine with existing volume id "
    "'vol_0000000000000000'",
    PreconditionReason.REPLACING: "failed_precondition: machine getting replaced, refusing to start",
    PreconditionReason.CREATED: "failed_precondition: unable to start machine from current state: 'created'",
}
HOST_TIMEOUT = "deadline_exceeded: timed out waiting for the host of the machine"
SERVER_ERROR = "unknown: internal server error"
RATE_LIMIT = "rate limit exceeded"
MANIFEST = "invalid_argument: failed to get manifest {image}: MANIFEST_UNKNOWN: manifest unknown"
NO_HOST = "could not find a candidate host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A whole answer, ready to be sent or changed."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the texts mention."""

    machine: str
    """Its id; for a name that is taken the id of the machine that has it."""
    name: str
    image: str
    expires_at: str
    lease_call: bool
    """The lease endpoint has an envelope of its own."""
    service: Service


def refusal(effect: Refusing, facts: Facts) -> Recorded:
    match effect:
        case Conflict():
            return _conflict(effect.reason, facts)
        case PreconditionFailed():
            code = "volume_placement_capacity" if effect.reason is PreconditionReason.VOLUME else ""
            return error(412, PRECONDITIONS[effect.reason], facts.service, code)
        case InsufficientCapacity():
            return error(422, NO_HOST, facts.service, "insufficient_capacity")
        case RateLimited():
            return error(429, RATE_LIMIT, facts.service)
        case ManifestUnknown():
            return error(400, MANIFEST.format(image=facts.image), facts.service)
        case _:
            assert_never(effect)


def _conflict(reason: ConflictReason, facts: Facts) -> Recorded:
    if reason is ConflictReason.EMPTY:
        return Recorded(status=409)
    text = CONFLICTS[reason].format(machine=facts.machine, name=facts.name, expires_at=facts.expires_at)
    if reason is ConflictReason.LEASE and facts.lease_call:
        return encoded(409, {"status": "error", "message": text, "code": "invalid"})
    return error(409, text, facts.service)


def error(status: int, text: str, service: Service, code: str = "") -> Recorded:
    """An error in the envelope of its service."""
    return encoded(status, Refusal(status, text, code=code).rendered(service))


def encoded(status: int, body: object) -> Recorded:
    return Recorded(status=status, headers=((b"content-type", JSON.encode()),), body=json.dumps(body).encode())
