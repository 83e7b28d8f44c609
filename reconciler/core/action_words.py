"""Actions in words: for plans in a terminal, on a page, and in JSON.

One place for all of them, so that a person who reads a plan finds the same words on the page of the revision.
"""

from collections.abc import Mapping
from typing import Final, assert_never

from reconciler.core.actions import (
    Action,
    AllocateAddress,
    AppAction,
    Cordon,
    Create,
    CreateApp,
    Destroy,
    DestroyApp,
    MachineAction,
    SetSecrets,
    Start,
    Stop,
    Uncordon,
    Update,
)


def summary(action: Action) -> str:
    """What an action does, in words, with the thing it is done to. Names of secrets, never values."""
    return _app_summary(action) if isinstance(action, AppAction) else _machine_summary(action)


def _app_summary(action: AppAction) -> str:
    match action:
        case CreateApp():
            words = f"create app {action.app} in a network of its own"
        case AllocateAddress():
            words = f"give {action.app} its private address"
        case SetSecrets():
            names = ", ".join(action.names) or "none"
            words = f"set the secrets of {action.app}: {names}"
        case DestroyApp():
            words = f"destroy app {action.app}"
        case _:
            assert_never(action)
    return words


def _machine_summary(action: MachineAction) -> str:
    match action:
        case Create():
            beside = f" beside {action.replaces}" if action.replaces else ""
            words = f"create machine {action.machine.name} in {action.machine.region}{beside}"
        case Update():
            words = f"update machine {action.machine.name} ({action.machine_id})"
        case Start():
            words = f"start machine {action.machine_id}"
        case Stop():
            words = f"stop machine {action.machine_id}"
        case Cordon():
            words = f"take machine {action.machine_name} ({action.machine_id}) out of rotation"
        case Uncordon():
            words = f"put machine {action.machine_name} ({action.machine_id}) back into rotation"
        case Destroy():
            words = f"destroy machine {action.machine_name} ({action.machine_id})"
        case _:
            assert_never(action)
    return words


KINDS: Final[Mapping[type[Action], str]] = {
    CreateApp: "create-app",
    AllocateAddress: "allocate-address",
    SetSecrets: "set-secrets",
    Create: "create",
    Update: "update",
    Start: "start",
    Stop: "stop",
    Cordon: "cordon",
    Uncordon: "uncordon",
    Destroy: "destroy",
    DestroyApp: "destroy-app",
}
"""The word for each action in the API."""
