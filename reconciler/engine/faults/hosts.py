"""What the API says about machines whose host does not answer.

From fly-go and flyctl: `host_status` is `unreachable`, `config` is missing and `incomplete_config` holds what the API
knows without the host, which is little and need not contain the metadata that tells whose machine it is. Calls that
have to go to the host hang or end in 408; a forced destroy does not need the host.
"""

import json
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from reconciler.engine.faults.rules import MACHINE, Call, on_route

KNOWN_WITHOUT_HOST = ("image", "guest")


class Reach(Enum):
    """What becomes of a call about a machine on a lost host."""

    ANSWERED = auto()
    HANGS = auto()
    TIMES_OUT = auto()


def reach(call: Call, query: Mapping[str, str]) -> Reach:
    if on_route(f"{MACHINE}/lease", call.path):
        return Reach.HANGS
    if call.method == "DELETE" and on_route(MACHINE, call.path):
        forced = {query.get("force", ""), query.get("kill", "")} & {"true", "1"}
        return Reach.ANSWERED if forced else Reach.HANGS
    if call.method == "GET" or "/metadata" in call.path:
        return Reach.ANSWERED
    return Reach.HANGS if on_route(f"{MACHINE}/stop", call.path) else Reach.TIMES_OUT


def without_host(body: bytes, gone: Callable[[str], bool]) -> bytes:
    """An answer in which every machine that is `gone` looks the way the API shows it.

    Args:
        body: a machine, a list of machines, or an object with `machines`; other JSON is left as it is.
        gone: whether the machine with an id is on a lost host.
    """
    found: Any = json.loads(body)
    shown = found.get("machines", [found]) if isinstance(found, dict) else found  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped JSON.
    for item in shown if isinstance(shown, list) else ():  # pyright: ignore[reportUnknownVariableType] - untyped JSON.
        if isinstance(item, dict) and isinstance(item.get("id"), str) and gone(item["id"]):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - untyped JSON.
            _lose(item)  # pyright: ignore[reportUnknownArgumentType] - untyped JSON.
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()


def _lose(machine: dict[str, Any]) -> None:
    config: Mapping[str, Any] = machine.pop("config", {})
    machine["host_status"] = "unreachable"
    machine["incomplete_config"] = {name: config[name] for name in KNOWN_WITHOUT_HOST if name in config}
