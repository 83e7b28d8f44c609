"""From a server as the manifest asks for it to the machines that should exist.

The result is the Machines API config to the letter, so that a plan, an apply and a drift check speak of the same thing.
Metadata is not part of it: it carries the digest of the config and would otherwise contain itself. Field names are
Fly's (OpenAPI `fly.MachineConfig`); autostop and autostart are always written, because Fly documents two defaults for
them.
"""

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from reconciler.core.digests import JSON, canonical_json, machine_digest
from reconciler.core.placing import ARCHIVE_PATH, adapter_files, file_options, image_files
from reconciler.core.programs import FolderProgram, GitProgram, ImageProgram
from reconciler.core.remotes import RemoteProgram
from reconciler.core.types import DesiredMachine, DesiredServer, IdleAction, PackageReference, Program, ServerSpec

ADAPTER_PORT: Final = 8080
"""Where the adapter listens inside a machine."""
HEALTH_PATH: Final = "/health"
RESTART_LIMIT: Final = 10
"""Fly's own default for on-failure restarts, written down because it must not change under us."""
STOP_TIMEOUT: Final = "10s"
SOFT_LIMIT_REQUESTS: Final = 200
"""Requests in flight at which Fly's proxy prefers another machine. Event streams count, so Fly's default of 20 is low.
"""
CHECK_GRACE: Final = "5s"


def resolve(spec: ServerSpec, *, runner_image: str, secret_digests: Mapping[str, str]) -> DesiredServer:
    """The machines of one server: `scale.maximum` of them, spread over its regions in turn; none of a remote one.

    Args:
        spec: the server, defaults merged in.
        runner_image: the image whose entrypoint is the adapter.
        secret_digests: keyed digests by secret name; a change of one replaces the configuration of the machines.
    """
    machines = () if isinstance(spec.package, RemoteProgram) else tuple(_machines(spec, runner_image, secret_digests))
    return DesiredServer(spec=spec, machines=machines)


def _machines(spec: ServerSpec, runner_image: str, secret_digests: Mapping[str, str]) -> Iterator[DesiredMachine]:
    idle = canonical_json(machine_config(spec, runner_image))
    awake = canonical_json(machine_config(spec, runner_image, stays_awake=True)) if spec.scale.minimum else idle
    for number in range(max(1, spec.scale.maximum)):
        region = spec.regions[number % len(spec.regions)]
        config = awake if number < spec.scale.minimum else idle
        yield DesiredMachine(
            app=spec.app,
            server=spec.name,
            name=f"{spec.name}-{number + 1}",
            region=region,
            config=config,
            digest=machine_digest(config, region, secret_digests),
        )


def machine_config(spec: ServerSpec, runner_image: str, *, stays_awake: bool = False) -> dict[str, JSON]:
    """The Machines API config of one machine, without metadata and without any secret.

    Args:
        spec: the server.
        runner_image: the image whose entrypoint is the adapter.
        stays_awake: whether it is one of the machines that `scale.min` asks for. Fly never puts these to sleep: its own
            `min_machines_running` counts in the primary region alone, so that elsewhere it would stop what Catwalk
            starts, again and again.
    """
    return {
        **_run(spec, runner_image),
        "env": dict(spec.environment),
        "guest": {"cpu_kind": spec.guest.cpu_kind, "cpus": spec.guest.cpus, "memory_mb": spec.guest.memory_mb},
        "services": [_service(spec, IdleAction.KEEP if stays_awake else spec.scale.idle)],
        "restart": {"policy": "on-failure", "max_retries": RESTART_LIMIT},
        "stop_config": {"signal": "SIGTERM", "timeout": STOP_TIMEOUT},
    }


def _run(spec: ServerSpec, runner_image: str) -> dict[str, JSON]:
    """The image, what it is told, and the files that it finds."""
    if isinstance(spec.package, ImageProgram):
        return {"image": spec.package.reference, "init": _image_init(spec), **_present(image_files(spec))}
    told: dict[str, JSON] = {"cmd": list(adapter_arguments(spec))}
    return {"image": runner_image, "init": told, **_present(adapter_files(spec))}


def _present(files: list[JSON]) -> dict[str, JSON]:
    return {"files": files} if files else {}


def adapter_arguments(spec: ServerSpec) -> Iterator[str]:
    """What follows the image's entrypoint: options, `--`, the package, its arguments."""
    if as_of := spec.resolve_as_of or _locked_day(spec):
        yield from ("--resolve-as-of", as_of)
    yield from (f"--integrity={digest}" for digest in _locked_digests(spec))
    if spec.entrypoint:
        yield from ("--entrypoint", spec.entrypoint)
    yield from (f"--command={word}" for word in spec.command)
    yield from file_options(spec)
    yield from spec.serving.arguments()
    yield from _program_words(spec.package)
    yield from spec.arguments


def _locked_day(spec: ServerSpec) -> str:
    """For a package whose index tells no publication dates: the day of the lock, so that it stays what it was then."""
    locked = spec.locked
    if not isinstance(spec.package, PackageReference) or locked is None or locked.published_at is not None:
        return ""
    return locked.resolved_at.date().isoformat() if locked.resolved_at else ""


def _locked_digests(spec: ServerSpec) -> tuple[str, ...]:
    return spec.locked.digests if spec.locked and isinstance(spec.package, PackageReference) else ()


def _program_words(program: Program) -> Iterator[str]:
    """Where the program comes from, in the adapter's words."""
    match program:
        case PackageReference():
            yield from ("--", str(program))
        case GitProgram():
            yield from ("--runtime", program.runtime) if program.runtime else ()
            yield from ("--directory", program.directory) if program.directory else ()
            yield from ("--", f"git:{program.url}@{program.commit}")
        case FolderProgram():
            yield from ("--", f"archive:{ARCHIVE_PATH}")
        case ImageProgram() | RemoteProgram():
            raise ValueError("an image and a remote server run without the adapter")
        case _:
            assert_never(program)


def _image_init(spec: ServerSpec) -> dict[str, JSON]:
    """Only what the manifest overrides: an empty list would replace the image's own command."""
    entrypoint: dict[str, JSON] = {"entrypoint": list(spec.command)} if spec.command else {}
    return {**entrypoint, **({"cmd": list(spec.arguments)} if spec.arguments else {})}


def _service(spec: ServerSpec, idle: IdleAction) -> dict[str, JSON]:
    return {
        "protocol": "tcp",
        "internal_port": _port(spec),
        "autostop": idle.value,
        "autostart": True,
        "min_machines_running": spec.scale.minimum,
        "ports": [{"port": 80, "handlers": ["http"]}],
        "concurrency": {"type": "requests", "soft_limit": SOFT_LIMIT_REQUESTS},
        "checks": [_check(spec)],
    }


def _port(spec: ServerSpec) -> int:
    return (spec.serving.port or ADAPTER_PORT) if isinstance(spec.package, ImageProgram) else ADAPTER_PORT


def _check(spec: ServerSpec) -> dict[str, JSON]:
    """The adapter has a health page; of an image nothing is known but its port, and MCP itself is asked by probes."""
    page: dict[str, JSON] = {"type": "http", "method": "GET", "path": HEALTH_PATH}
    return {
        **({"type": "tcp"} if isinstance(spec.package, ImageProgram) else page),
        "interval": duration(spec.health.interval_s),
        "timeout": duration(spec.health.timeout_s),
        "grace_period": CHECK_GRACE,
    }


def duration(seconds: float) -> str:
    """A duration as the Machines API writes it: `5s`, or `500ms` where seconds are not whole."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"
