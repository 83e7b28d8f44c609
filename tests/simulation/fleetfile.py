"""Manifests of a run: a few servers as a short text, which a reader of its own turns into what the real one makes.

The real reader is proven elsewhere; here a manifest must be made up, broken and read a few thousand times a minute.

    time v3 1-2 sick secret=4 after=wiki regions=fra,iad
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from reconciler.core.health_policy import HealthPolicy
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location, Problem
from reconciler.core.secret import SecretValue
from reconciler.core.types import (
    IdleAction,
    PackageReference,
    Registry,
    Scale,
    SecretDeclaration,
    ServerSpec,
)
from reconciler.errors import InvalidManifests, SourceError
from tests.simulation.cloud import MODE, ORGANIZATION

FLEET: Final = "acme"
FILE: Final = "catwalk.yaml"
BROKEN: Final = "!"
NAMES: Final = ("files", "memory", "time", "wiki")
SCALES: Final = ("0-1", "0-1", "1-1", "1-1", "0-2", "1-2", "2-2")
REGIONS: Final = (("iad",), ("iad",), ("iad",), ("fra",), ("iad", "fra"))
WELL: Final = ("well", "well", "well", "slow", "deaf")
ILL: Final = ("sick", "gone", "mute")
GRACE_S: Final = 20.0
CANARY: Final = "canary-7f3a9c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of a made-up manifest."""

    name: str
    version: int = 1
    scale: str = "0-1"
    mode: str = "well"
    """How its program behaves: a name of `cloud.MODES`, or `mute` for one that is healthy and speaks no MCP."""
    secret: int = 0
    """Which value its secret has; 0 has none."""
    after: str = ""
    regions: tuple[str, ...] = ("iad",)

    @property
    def app(self) -> str:
        return f"{FLEET}-{self.name}"

    @property
    def minimum(self) -> int:
        return int(self.scale.partition("-")[0])

    @property
    def machines(self) -> int:
        return int(self.scale.partition("-")[2])

    @property
    def ill(self) -> bool:
        return self.mode in ILL

    @property
    def spec(self) -> ServerSpec:
        secret = SecretDeclaration(name="TOKEN", file=FILE, inline=True)
        return ServerSpec(
            fleet=FLEET,
            name=self.name,
            package=PackageReference(registry=Registry.PYPI, name=f"{self.name}-mcp", version=str(self.version)),
            environment={MODE: self.mode if self.mode != "mute" else "well", "SIM_VOICE": self.mode},
            secrets=(secret,) if self.secret else (),
            scale=Scale(minimum=self.minimum, maximum=self.machines, idle=IdleAction.SUSPEND),
            health=HealthPolicy(interval_s=10, timeout_s=4, grace_s=GRACE_S),
            regions=self.regions,
            depends_on=(self.after,) if self.after else (),
            location=Location(file=FILE, line=1),
        )

    def __str__(self) -> str:
        words = [self.name, f"v{self.version}", self.scale, self.mode, f"regions={','.join(self.regions)}"]
        words += [f"secret={self.secret}"] if self.secret else []
        words += [f"after={self.after}"] if self.after else []
        return " ".join(words)


def parsed(line: str) -> Server:
    name, version, scale, mode, *more = line.split()
    options = dict(word.split("=") for word in more)
    return Server(
        name=name,
        version=int(version[1:]),
        scale=scale,
        mode=mode,
        secret=int(options.get("secret", 0)),
        after=options.get("after", ""),
        regions=tuple(options["regions"].split(",")),
    )


Fleetfile = tuple[Server, ...]


def written(fleet: Fleetfile) -> bytes:
    return "\n".join(map(str, fleet)).encode()


def servers_of(files: Mapping[str, bytes]) -> Fleetfile:
    """Raises: InvalidManifests: the file is broken."""
    lines = files[FILE].decode().splitlines()
    if BROKEN in lines:
        problem = Problem(code="unknown-key", message="unknown key", location=Location(file=FILE, line=3, column=5))
        raise InvalidManifests((problem,))
    return tuple(map(parsed, lines))


def read(files: Mapping[str, bytes]) -> ManifestSet:
    specs = tuple(server.spec for server in servers_of(files))
    return ManifestSet(fleet=FLEET, organization=ORGANIZATION, specs=specs)


class Secrets:
    """Reads what a manifest says of secrets, or refuses to while it is told so."""

    def __init__(self) -> None:
        self.tampered = False

    async def read(self, spec: ServerSpec, files: Mapping[str, bytes]) -> Mapping[str, SecretValue]:
        if not spec.secrets:
            return {}
        if self.tampered:
            raise SourceError("tampered", "the secret was changed without its key")
        server = next(server for server in servers_of(files) if server.name == spec.name)
        return {"TOKEN": SecretValue(f"{CANARY}-{server.secret}")}


def made_up(chance: Random) -> Fleetfile:
    """A first fleet."""
    names = sorted(chance.sample(NAMES, chance.randint(2, 3)))
    return tuple(_server(name, names, chance) for name in names)


def _server(name: str, names: list[str], chance: Random) -> Server:
    earlier = [other for other in names if other < name]
    return Server(
        name=name,
        scale=chance.choice(SCALES),
        mode=chance.choice(WELL),
        secret=chance.choice((0, 1)),
        after=chance.choice(earlier) if earlier and chance.random() < 0.15 else "",
        regions=chance.choice(REGIONS),
    )


def changed(fleet: Fleetfile, chance: Random, *, ill: float = 0.0) -> Fleetfile:
    """The fleet after somebody worked on it; with a chance of `ill` for a version that does not work."""
    servers = {server.name: server for server in fleet}
    for name in chance.sample(sorted(servers), chance.randint(0, min(2, len(servers)))):
        servers[name] = _edited(servers[name], chance, ill)
    missing = [name for name in NAMES if name not in servers]
    if missing and chance.random() < 0.3:
        name = chance.choice(missing)
        servers[name] = _server(name, sorted([*servers, name]), chance)
    elif len(servers) > 1 and chance.random() < 0.25:
        del servers[chance.choice(sorted(servers))]
    return tuple(_without_the_gone(servers[name], servers) for name in sorted(servers))


def _edited(server: Server, chance: Random, ill: float) -> Server:
    """A new version; one that was ill is mended with it, unless it is to be."""
    server = replace(server, version=server.version + 1, mode=chance.choice(WELL))
    if chance.random() < ill:
        return replace(server, mode=chance.choice(ILL))
    match chance.randrange(6):
        case 0:
            return replace(server, scale=chance.choice(SCALES))
        case 1:
            return replace(server, secret=server.secret + 1)
        case 2:
            return replace(server, secret=0)
        case 3:
            return replace(server, regions=chance.choice(REGIONS))
        case _:
            return server


def _without_the_gone(server: Server, servers: Mapping[str, Server]) -> Server:
    return server if server.after in servers else replace(server, after="")


def mended(fleet: Fleetfile) -> Fleetfile:
    """The fleet with everything that does not work made to."""
    return tuple(replace(server, version=server.version + 1, mode="well") if server.ill else server for server in fleet)
