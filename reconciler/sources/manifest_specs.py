"""From a well-formed manifest to server specs: defaults merged in, checks across fields, warnings.

Everything here needs two places at once, such as a size whose CPUs stand in the defaults and whose memory stands at the
server, so each problem points to the one that was written last.
"""

from collections.abc import Iterator, Sequence

from reconciler.core.health_policy import HealthPolicy
from reconciler.core.lock_rules import effective_program
from reconciler.core.locked import LockDuty
from reconciler.core.problems import Problem
from reconciler.core.resolve import ADAPTER_PORT
from reconciler.core.serving import Serving, SessionMode, TransportType
from reconciler.core.types import (
    Guest,
    IdleAction,
    Scale,
    SecretDeclaration,
    ServerSpec,
)
from reconciler.sources.layout import secret_file
from reconciler.sources.manifest_programs import placed_files, program_of, program_problems
from reconciler.sources.manifest_servers import (
    ReadServer,
    environment_of,
    health_of,
    region_place,
    regions_of,
    scale_of,
    vm_of,
)
from schemas.v1 import machine as schema
from schemas.v1.manifest import Server
from schemas.v1.regions import REGIONS, near_region
from schemas.v1.sizes import size_fault
from schemas.v1.terms import LONGEST_APP_NAME, seconds


def server_problems(server: ReadServer) -> Iterator[Problem]:
    """What is wrong with a server whose fields are each well formed."""
    yield from _name_problems(server)
    yield from _size_problems(server)
    yield from _scale_problems(server)
    yield from _variable_problems(server)
    yield from _sops_problems(server)
    yield from _transport_problems(server)
    yield from program_problems(server)


def _name_problems(server: ReadServer) -> Iterator[Problem]:
    app = f"{server.manifest.fleet}-{server.name}"
    if len(app) > LONGEST_APP_NAME:
        message = f"the app name `{app}` has {len(app)} characters; Fly takes at most {LONGEST_APP_NAME}"
        yield server.problem("name-too-long", message, "shorten the server's or the fleet's name", server.location)


def _size_problems(server: ReadServer) -> Iterator[Problem]:
    vm = vm_of(server)
    if fault := size_fault(vm.cpu_kind, vm.cpus, vm.memory_mb):
        yield server.problem("bad-size", fault.message, fault.hint, server.place("vm", fault.field))


def region_warnings(server: ReadServer) -> Iterator[Problem]:
    """Regions that Fly is not known to have: misspelt, closed, or newer than this version."""
    for region in regions_of(server):
        if region not in REGIONS:
            near = near_region(region)
            hint = f"did you mean `{near}`, {REGIONS[near]}?" if near else "`fly platform regions` lists them"
            message = f"Fly is not known to have a region `{region}`"
            yield server.problem("unknown-region", message, hint, region_place(server, region))


def _scale_problems(server: ReadServer) -> Iterator[Problem]:
    scale = scale_of(server)
    if scale.min > scale.max:
        message = f"`scale.min` is {scale.min} and `scale.max` only {scale.max}"
        yield server.problem("bad-scale", message, "raise `max` or lower `min`", server.place("scale", "min"))


def _variable_problems(server: ReadServer) -> Iterator[Problem]:
    for name in sorted(environment_of(server).keys() & server.written.secrets.keys()):
        message = f"`{name}` is both in `env` and in `secrets`"
        place = server.document.key_place((*server.path, "secrets", name))
        yield server.problem("duplicate-variable", message, "keep one of the two", place)


def _sops_problems(server: ReadServer) -> Iterator[Problem]:
    places = [server.document.place((*server.path, "secrets", name)) for name in _inline(server)]
    bare = [place for place in places if place.file not in server.document.with_sops]
    if bare:
        message = "the file holds encrypted values and no `sops` block, so that nothing can decrypt them"
        hint = "restore the block from git, or encrypt the file again with `sops encrypt --in-place`"
        yield server.problem("missing-sops-block", message, hint, bare[0])


def _inline(server: ReadServer) -> list[str]:
    return [name for name, value in server.written.secrets.items() if value is not None]


def _transport_problems(server: ReadServer) -> Iterator[Problem]:
    transport = server.written.transport
    if transport.type == "stdio":
        yield from _unused_transport(server, sorted(transport.model_fields_set - {"type"}))
    elif transport.port == ADAPTER_PORT and not server.written.image:
        message = f"port {ADAPTER_PORT} of a machine is Catwalk's own"
        hint = "choose another one, or leave `port` out: the server is told a free one in the variable `PORT`"
        yield server.problem("bad-transport", message, hint, server.place("transport", "port"))


def _unused_transport(server: ReadServer, fields: Sequence[str]) -> Iterator[Problem]:
    for field in fields:
        message = f"`transport.{field}` says where a server listens, and this one speaks stdio"
        place = server.document.place((*server.path, "transport", field))
        yield server.problem("bad-transport", message, "write `type: streamable-http`, or remove it", place)


def server_spec(server: ReadServer, *, pinned_required: bool = False) -> ServerSpec:
    """The spec of a server without problems; `pinned_required` is what the policy of the fleet says."""
    written, defaults = server.written, server.manifest.defaults
    return ServerSpec(
        fleet=server.manifest.fleet,
        name=server.name,
        package=effective_program(program_of(server), server.locked),
        arguments=written.args,
        command=written.command,
        files=tuple(placed_files(server)),
        environment=environment_of(server),
        secrets=tuple(_secrets(server)),
        regions=regions_of(server),
        guest=_guest(vm_of(server)),
        scale=_scale(scale_of(server)),
        health=_health(health_of(server)),
        entrypoint=written.entrypoint,
        serving=_serving(written),
        depends_on=tuple(dict.fromkeys(written.depends_on)),
        resolve_as_of=written.resolve_as_of or defaults.resolve_as_of,
        suspended=written.suspend,
        description=written.description,
        owner=written.owner or defaults.owner,
        labels={**defaults.labels, **written.labels},
        location=server.location,
        program_location=server.place(server.source),
        locked=server.locked,
        lock_duty=LockDuty.REQUIRED if pinned_required else LockDuty.EXPECTED if server.locks else LockDuty.NONE,
    )


def _secrets(server: ReadServer) -> Iterator[SecretDeclaration]:
    for name, value in sorted(server.written.secrets.items()):
        yield SecretDeclaration(
            name=name,
            file=_secret_file(server, name) if value is None else _inline_file(server, name),
            inline=value is not None,
            location=server.document.key_place((*server.path, "secrets", name)),
        )


def _inline_file(server: ReadServer, name: str) -> str:
    """The manifest, or the overlay that states the value."""
    return server.document.place((*server.path, "secrets", name)).file


def _secret_file(server: ReadServer, name: str) -> str:
    """The file of the environment, where there is one: a secret is bound to its fleet, which usually is another one."""
    shared, manifest = secret_file(server.document.file, server.name, name), server.document.file
    own = secret_file(manifest, server.name, name, environment=server.environment) if server.environment else shared
    return own if own in server.files else shared


def _guest(vm: schema.VirtualMachine) -> Guest:
    return Guest(cpu_kind=vm.cpu_kind, cpus=vm.cpus, memory_mb=vm.memory_mb)


def _scale(scale: schema.Scale) -> Scale:
    return Scale(
        minimum=scale.min, maximum=scale.max, idle=IdleAction(scale.idle), idle_after_s=float(seconds(scale.idle_after))
    )


def _serving(written: Server) -> Serving:
    return Serving(
        transport=TransportType(written.transport.type),
        port=written.transport.port,
        path=written.transport.path,
        sessions=SessionMode(written.sessions),
    )


def _health(health: schema.Health) -> HealthPolicy:
    return HealthPolicy(
        interval_s=float(seconds(health.interval)),
        timeout_s=float(seconds(health.timeout)),
        grace_s=float(seconds(health.grace)),
        expected_tools=health.probe.tools,
    )
