"""From a machine's config as Fly reads it back to the config as Catwalk writes it.

Fly does not return what it was sent (OpenAPI `fly.MachineService.autostop`, field notes on round trips): `off` and
`stop` come back as booleans, empty objects appear and disappear, defaults are filled in, durations may be written
another way. Comparing the two as they are would find drift for ever. So only the fields that Catwalk owns are kept,
each in the one form that the resolver uses; what Fly or people add beside them is not ours to judge.

Pure functions over plain JSON, total: a shape that is not understood is left out and shows as a difference, never as
an exception. Normalising twice changes nothing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from reconciler.core.digests import JSON, canonical_json

_AUTOSTOP_BOOLEANS: Final = {True: "stop", False: "off"}
_DURATION_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_PART: Final = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?(ns|us|µs|ms|s|m|h)")
_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000


def canonical_config(config: Mapping[str, object]) -> str:
    """The owned part of a read-back config as the canonical JSON that the resolver makes; empty for an empty config."""
    return canonical_json(normalise(config)) if config else ""


def normalise(config: Mapping[str, object]) -> dict[str, JSON]:
    """The owned fields, in the form of the resolver, without metadata."""
    return {
        "image": _text(config.get("image")),
        "init": _init(_mapping(config.get("init"))),
        **_files(config),
        "env": {name: _text(value) for name, value in _mapping(config.get("env")).items()},
        "guest": _guest(_mapping(config.get("guest"))),
        "services": [_service(_mapping(service)) for service in _list(config.get("services"))],
        "restart": _kept(_mapping(config.get("restart")), "policy", "max_retries"),
        "stop_config": _stop_config(_mapping(config.get("stop_config"))),
    }


def _init(init: Mapping[str, object]) -> JSON:
    """What replaces the image's own words; an empty list replaces nothing."""
    found = {name: _texts(init.get(name)) for name in ("entrypoint", "cmd")}
    return {name: words for name, words in found.items() if words}


def _files(config: Mapping[str, object]) -> dict[str, JSON]:
    found = [_mapping(file) for file in _list(config.get("files"))]
    files: list[JSON] = [_kept(file, "guest_path", "raw_value", "secret_name", "mode") for file in found]
    return {"files": files} if files else {}


def _guest(guest: Mapping[str, object]) -> JSON:
    return _kept(guest, "cpu_kind", "cpus", "memory_mb")


def _stop_config(stop: Mapping[str, object]) -> JSON:
    return _kept(stop, "signal") | _durations(stop, "timeout")


def _service(service: Mapping[str, object]) -> JSON:
    return {
        **_kept(service, "protocol", "internal_port"),
        "autostop": _autostop(service.get("autostop")),
        "autostart": service.get("autostart") is True,
        "min_machines_running": _number(service.get("min_machines_running")),
        "ports": [_port(_mapping(port)) for port in _list(service.get("ports"))],
        "concurrency": _kept(_mapping(service.get("concurrency")), "type", "soft_limit"),
        "checks": [_check(_mapping(check)) for check in _list(service.get("checks"))],
    }


def _port(port: Mapping[str, object]) -> JSON:
    return _kept(port, "port", "start_port", "end_port") | {"handlers": _texts(port.get("handlers"))}


def _check(check: Mapping[str, object]) -> JSON:
    fields = _kept(check, "type", "path") | _durations(check, "interval", "timeout", "grace_period")
    if method := _text(check.get("method")):
        fields["method"] = method.upper()
    return fields


def _autostop(value: object) -> str:
    """The word for what Fly answers as a boolean; leaving it out means off."""
    if isinstance(value, bool):
        return _AUTOSTOP_BOOLEANS[value]
    return _text(value) or "off"


def _durations(fields: Mapping[str, object], *names: str) -> dict[str, JSON]:
    present = {name: fields.get(name) for name in names}
    return {name: duration(value) for name, value in present.items() if value is not None}


def duration(value: object) -> str:
    """A duration as the resolver writes it: `5s`, or `500ms` where seconds are not whole.

    Read are nanoseconds, which a page of Fly's documentation shows, and Go's own notation (`1m0s`, `1.5s`). A text that
    is no duration stays as it is.
    """
    nanoseconds = _nanoseconds(value)
    if nanoseconds is None:
        return _text(value)
    if nanoseconds % _NS_PER_S == 0:
        return f"{nanoseconds // _NS_PER_S}s"
    return f"{round(nanoseconds / _NS_PER_MS)}ms"


def _nanoseconds(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = _text(value)
    if not text or not re.fullmatch(rf"(?:{_DURATION_PART.pattern})+", text):
        return None
    return sum(_part_nanoseconds(match) for match in _DURATION_PART.finditer(text))


def _part_nanoseconds(match: re.Match[str]) -> int:
    unit = _DURATION_UNITS_NS[match[3]]
    fraction = match[2] or ""
    return int(match[1]) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def _kept(fields: Mapping[str, object], *names: str) -> dict[str, JSON]:
    """Plain values of these names, where they are present."""
    return dict(_plain_fields(fields, names))


def _plain_fields(fields: Mapping[str, object], names: tuple[str, ...]) -> Iterator[tuple[str, JSON]]:
    for name in names:
        value = fields.get(name)
        if isinstance(value, bool | int | float | str):
            yield name, value


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _texts(value: object) -> list[JSON]:
    return [item for item in _list(value) if isinstance(item, str)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
