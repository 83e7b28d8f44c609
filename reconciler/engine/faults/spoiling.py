"""What effects make of a call and of its answer: functions over values."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reconciler.engine.faults import answers
from reconciler.engine.faults.answers import Facts, Recorded
from reconciler.engine.faults.effects import (
    Conflict,
    Effect,
    InsufficientCapacity,
    LostAnswer,
    LostCookie,
    ManifestUnknown,
    PreconditionFailed,
    RateLimited,
    ServerError,
    TimedOut,
    TruncatedBody,
)
from reconciler.engine.refusals import Service

COOKIE = b"fly_flaps_affinity"


def instead(effects: Sequence[Effect], facts: Facts) -> Recorded | None:
    """The answer of the first effect that takes the place of the call; None lets the call through."""
    for effect in effects:
        if isinstance(effect, Conflict | PreconditionFailed | InsufficientCapacity | RateLimited | ManifestUnknown):
            return answers.refusal(effect, facts)
        if isinstance(effect, TimedOut | ServerError | LostAnswer) and not effect.committed:
            # `after` puts the error itself in the place of this.
            return Recorded(status=500)
    return None


def after(answer: Recorded, effects: Sequence[Effect], service: Service) -> Recorded:
    """The answer as the caller gets it."""
    for effect in effects:
        match effect:
            case TimedOut():
                answer = answers.error(408, answers.HOST_TIMEOUT, service)
            case ServerError():
                answer = answers.error(effect.status, answers.SERVER_ERROR, service)
            case TruncatedBody():
                answer = replace(answer, body=answer.body[: int(len(answer.body) * effect.keep)])
            case LostCookie():
                answer = replace(answer, headers=tuple(pair for pair in answer.headers if not _is_cookie(pair)))
            case _:
                # The others act before the call, or on the way to the caller.
                pass
    return answer


def without_cookie(scope: dict[str, Any], effects: Sequence[Effect]) -> dict[str, Any]:
    """The request without the affinity cookie, where it gets lost."""
    if not any(isinstance(effect, LostCookie) for effect in effects):
        return scope
    return {
        **scope,
        "headers": [(name, _rest(value) if name == b"cookie" else value) for name, value in scope["headers"]],
    }


def _rest(cookies: bytes) -> bytes:
    return b"; ".join(part for part in cookies.split(b"; ") if not part.startswith(COOKIE + b"="))


def _is_cookie(pair: tuple[bytes, bytes]) -> bool:
    return pair[0] == b"set-cookie" and pair[1].startswith(COOKIE + b"=")
