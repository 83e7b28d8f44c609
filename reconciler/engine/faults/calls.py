"""A call as the rules see it, read off the ASGI request before anything is done about it."""

import json
from collections.abc import Mapping
from typing import Any

from reconciler.engine.faults.rules import Call, Subject, is_create, path_variables
from reconciler.engine.inventory import Inventory
from reconciler.engine.records import Machine


def call_of(scope: Mapping[str, Any], body: bytes, inventory: Inventory, default_region: str) -> Call:
    variables = path_variables(scope["path"])
    machine = inventory.machine(variables["machine"]) if variables["machine"] else None
    subject = subject_of(machine) if machine else Subject(app=variables["app"], machine_id=variables["machine"])
    call = Call(method=scope["method"], path=scope["path"], subject=subject)
    if is_create(call):
        wanted = body_of(body)
        name, region = text_of(wanted, "name"), text_of(wanted, "region") or default_region
        subject = Subject(app=variables["app"], machine_name=name, region=region)
    return Call(method=call.method, path=call.path, subject=subject)


def subject_of(machine: Machine) -> Subject:
    return Subject(app=machine.app, machine_id=machine.id, machine_name=machine.name, region=machine.region)


def body_of(body: bytes) -> Mapping[str, Any]:
    """A JSON object; anything else is an empty one, and the API will say what is wrong with it."""
    try:
        found: object = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType] - untyped JSON.


def text_of(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    return found if isinstance(found, str) else ""
