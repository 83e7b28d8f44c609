"""The error table of the Machines API: which answer means which error. The first row that fits decides.

The facts and texts are Fly's: from the OpenAPI document, the documentation, fly-go's tests, and what others saw on the
live API. Two rules outrank the texts. A `status` code in the body decides alone where it is present, because texts
quote each other: the rows marked `weak` then do not read them. And a 500 is never read as "no capacity", whatever it
says.
"""

from typing import Final

from reconciler.errors import Refused
from reconciler.fly import errors
from reconciler.fly.calls import Effect
from reconciler.fly.error_rules import Rule, already_exists, capacity, throttled

_PLAIN_NOT_FOUND: Final = "404 page not found"
_WRITES: Final = frozenset({Effect.WRITE, Effect.REPEATABLE})
_READS: Final = frozenset({Effect.READ})
_WAITS: Final = frozenset({Effect.WAIT})
_SERVER_FAULTS: Final = frozenset(range(500, 600))


def _on(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


_REREAD: Final = "the next pass reads it again"
_OTHER_REGION: Final = "add another region to the server, or ask for a smaller machine"

RULES: Final = (
    Rule(
        statuses=_on(401),
        error=errors.Unauthorized,
        code="fly-token-refused",
        hint="check FLY_API_TOKEN: it may be expired, revoked, or of another organization",
    ),
    Rule(
        statuses=_on(403),
        error=errors.Forbidden,
        code="fly-forbidden",
        hint="use an organization token of the organization in the manifest",
    ),
    Rule(
        statuses=_on(404),
        phrases=(_PLAIN_NOT_FOUND,),
        error=errors.WrongAddress,
        code="fly-wrong-address",
        hint="check CATWALK_FLY_API_URL: it is the address without /v1",
    ),
    Rule(statuses=_on(404), error=errors.NotFound, code="fly-not-found", hint=_REREAD),
    Rule(
        statuses=_on(400),
        phrases=("could not find app", "could not find machine", "app not found", "machine not found"),
        error=errors.NotFound,
        code="fly-not-found",
        hint=_REREAD,
    ),
    Rule(
        statuses=_on(400, 422),
        phrases=("manifest_unknown", "manifest unknown"),
        error=errors.ImageNotVisible,
        code="image-not-visible",
        hint="push the image, or wait until the registry shows it",
    ),
    Rule(statuses=_on(408, 504), effects=_WAITS, error=errors.WaitExpired, code="machine-not-there-yet"),
    Rule(statuses=_on(429), error=errors.Throttled, code="fly-rate-limited", build=throttled),
    Rule(
        statuses=_on(408) | _SERVER_FAULTS,
        effects=_WRITES,
        error=errors.AnswerLost,
        code="fly-outcome-unknown",
        hint="the next pass looks whether it happened",
    ),
    Rule(
        statuses=_on(408) | _SERVER_FAULTS,
        effects=_READS | _WAITS,
        error=errors.MachinesUnavailable,
        code="fly-unavailable",
        hint="see https://status.flyio.net; Catwalk tries again",
    ),
    Rule(
        statuses=_on(409),
        phrases=("lease currently held by",),
        error=errors.LeaseHeld,
        code="machine-leased",
        hint="it is tried again when the lease ends; `flyctl machine leases clear` ends one that was left behind",
    ),
    Rule(
        statuses=_on(409),
        phrases=("already_exists", "unique machine name violation"),
        error=errors.AlreadyExists,
        code="machine-exists",
        build=already_exists,
    ),
    Rule(
        statuses=_on(409),
        phrases=(
            "could not reserve resource for machine",
            "on the current host",
            "deploys to this host are temporarily disabled",
            "governor policy blocked",
        ),
        weak=True,
        error=errors.NoCapacity,
        code="host-full",
        hint="Catwalk tries again; another region or a smaller machine may fit now",
        build=capacity(errors.CapacityScope.HOST),
    ),
    Rule(
        statuses=_on(409),
        phrases=("no capacity", "insufficient resources available", "insufficient ips available"),
        weak=True,
        error=errors.NoCapacity,
        code="region-full",
        hint=_OTHER_REGION,
        build=capacity(errors.CapacityScope.REGION),
    ),
    Rule(
        statuses=_on(409),
        phrases=("concurrent update", "current_version", "version mismatch", "version does not match"),
        error=errors.VersionChanged,
        code="machine-changed",
        hint=_REREAD,
    ),
    Rule(statuses=_on(409), error=errors.UnexplainedConflict, code="machine-conflict", hint=_REREAD),
    Rule(
        statuses=_on(412),
        reasons=frozenset({"volume_placement_capacity"}),
        error=errors.NoCapacity,
        code="volume-host-full",
        hint=_OTHER_REGION,
        build=capacity(errors.CapacityScope.VOLUME),
    ),
    Rule(statuses=_on(412), error=errors.NotReady, code="machine-not-ready", hint=_REREAD),
    Rule(
        statuses=_on(422),
        reasons=frozenset({"name_taken"}),
        phrases=("name has already been taken",),
        weak=True,
        error=errors.NameTaken,
        code="app-name-taken",
        hint="app names are global on Fly: rename the fleet or the server",
    ),
    Rule(
        statuses=_on(422),
        phrases=("uniqueness constraint violated",),
        error=errors.UnexplainedConflict,
        code="fly-uniqueness",
        hint=_REREAD,
    ),
    Rule(
        statuses=_on(422),
        reasons=frozenset({"insufficient_capacity"}),
        phrases=("could not find a candidate host",),
        weak=True,
        error=errors.NoCapacity,
        code="region-full",
        hint=_OTHER_REGION,
        build=capacity(errors.CapacityScope.REGION),
    ),
    Rule(
        statuses=_on(402, 422),
        phrases=("machine limit", "billing@fly.io", "payment method"),
        error=errors.LimitReached,
        code="fly-limit-reached",
        hint="raise the limit of the organization with Fly's support, or remove servers",
    ),
    Rule(
        statuses=_on(400, 422),
        error=errors.InvalidRequest,
        code="fly-invalid-request",
        hint="correct the server in the manifest",
    ),
    Rule(
        statuses=frozenset(range(300, 400)),
        error=errors.WrongAddress,
        code="fly-wrong-address",
        hint="check CATWALK_FLY_API_URL: the Machines API does not redirect",
    ),
    Rule(statuses=frozenset(range(100, 1000)), error=Refused, code="fly-refused"),
)
