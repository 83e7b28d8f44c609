"""Core values as JSON text and back.

Every dataclass is written as an object that names its class, so that the members of a union stay apart and a document
says what it is. Reading builds the values from the inside out and checks every field against its type. Only the
classes listed here can be read: a document is data, never a way to name code.
"""

import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from reconciler.core import (
    actions,
    applied,
    cost,
    gateway_rules,
    holds,
    problems,
    proposals,
    setbacks,
    signatures,
    types,
)
from reconciler.errors import InternalFault

CLASS: Final = "$"
"""The key that names the class."""

_CLASSES: Final[tuple[type[Any], ...]] = (
    actions.FieldChange,
    actions.CreateApp,
    actions.AllocateAddress,
    actions.SetSecrets,
    actions.Create,
    actions.Update,
    actions.Start,
    actions.Stop,
    actions.Cordon,
    actions.Uncordon,
    actions.Destroy,
    actions.DestroyApp,
    actions.Held,
    actions.Deferred,
    actions.PruneRequest,
    actions.Plan,
    actions.Outcome,
    actions.Pass,
    applied.AppliedSecret,
    applied.AppliedServer,
    applied.AppliedState,
    cost.MonthlyCost,
    gateway_rules.CallerLimits,
    gateway_rules.GatewayRules,
    gateway_rules.GroupGrant,
    gateway_rules.IdentityProvider,
    gateway_rules.TokenGrant,
    holds.GoodServer,
    holds.Hold,
    problems.Location,
    problems.Problem,
    proposals.ProposedPlan,
    setbacks.Setback,
    signatures.TrustAnchor,
    types.DesiredMachine,
    types.Revision,
    types.ServerStatus,
)
_ADAPTERS: Final = {kind.__name__: TypeAdapter[Any](kind) for kind in _CLASSES}

Value = TypeVar("Value")


def to_document(value: object) -> str:
    """One text per value: keys sorted, no spaces.

    Raises:
        TypeError: something in it has no place in the store; a `SecretValue`, for example.
    """
    return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_document(kind: type[Value], text: str) -> Value:
    """The value that `to_document` wrote.

    Raises:
        InternalFault: the text is not a document of that kind.
    """
    try:
        value: object = json.loads(text, object_hook=_build)
    except (ValueError, KeyError, ValidationError) as error:
        raise InternalFault("document-unreadable", f"a stored {kind.__name__} cannot be read") from error
    if not isinstance(value, kind):
        raise InternalFault("document-unreadable", f"a stored {kind.__name__} is something else")
    return value


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and type(value).__name__ in _ADAPTERS:
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return {CLASS: type(value).__name__, **parts}
    raise TypeError(f"{type(value).__name__} is never stored")


def _build(found: dict[str, Any]) -> object:
    name = found.pop(CLASS, None)
    return found if name is None else _ADAPTERS[name].validate_python(found)
