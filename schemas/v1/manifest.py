"""The manifest as people write it: one `catwalk.yaml`.

The models mirror the file, not the program: every field that `defaults` can give has the built-in default here, and
`model_fields_set` tells whether a person wrote it. Merging and checks across fields happen where positions are known.
Terms follow the official MCP registry's `server.json` where both have one.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from schemas.v1.gateway import Gateway
from schemas.v1.part import Part
from schemas.v1.serving import Sessions, Transport
from schemas.v1.terms import (
    Duration,
    Encrypted,
    Executable,
    Name,
    Organization,
    Package,
    Region,
    ResolveAsOf,
    Text,
    Variable,
)

API_VERSION: Final = "catwalk.dev/v1"
DEFAULT_ORGANIZATION: Final = "personal"
DEFAULT_REGION: Final = "iad"
MOST_MACHINES: Final = 100

LATER_KEYS: Final = frozenset(
    {"git", "directory", "image", "remote", "files", "command", "access", "probe"}
    | {"pinned", "signed_commits", "allow", "deny", "max_monthly_cost"}
)
"""Keys of the design that this version knows and cannot act on; they are refused instead of ignored."""

SOURCE_KEYS: Final = frozenset({"package", "git", "directory", "image", "remote"})
"""Where a server's program comes from; each server has exactly one."""


def _without_default(schema: dict[str, Any]) -> None:
    """Leaves the inner default out of the published schema: there it would break the field's own pattern."""
    del schema["default"]


class FlySettings(Part):
    """Where on Fly the fleet runs. `catwalk up` ignores it."""

    organization: Organization = Field(
        default=DEFAULT_ORGANIZATION,
        title="Organization",
        description="Slug of the Fly organization that holds the apps.",
        examples=["acme"],
    )
    regions: Annotated[tuple[Region, ...], Field(strict=False, min_length=1)] = Field(
        default=(DEFAULT_REGION,),
        title="Regions",
        description="Fly regions for servers that name none of their own; machines are spread over them in turn.",
        examples=[["iad"], ["iad", "fra"]],
    )


class VirtualMachine(Part):
    """The size of each machine of a server."""

    cpu_kind: Literal["shared", "performance"] = Field(
        default="shared",
        title="CPU kind",
        description="`shared` is cheap and bursts; `performance` has its CPUs to itself.",
        examples=["shared"],
    )
    cpus: int = Field(
        default=1,
        ge=1,
        le=128,
        title="CPUs",
        description="Number of CPUs. Shared: 1, 2, 4, 6 or 8. Performance: 1 to 16, 32, 64 or 128.",
        examples=[1, 2],
    )
    memory_mb: int = Field(
        default=512,
        ge=256,
        le=1_048_576,
        title="Memory",
        description="Memory in MB (2**20 bytes). Shared: multiples of 256, 256 to 2048 per CPU. "
        "Performance: multiples of 1024, 2048 to 8192 per CPU.",
        examples=[512, 1024],
    )


class Scale(Part):
    """How many machines a server has, and what they do when nobody calls."""

    min: int = Field(
        default=0,
        ge=0,
        le=MOST_MACHINES,
        title="Minimum",
        description="Machines that stay awake. 0 lets the server sleep; the first call wakes it.",
        examples=[0, 1],
    )
    max: int = Field(
        default=1,
        ge=1,
        le=MOST_MACHINES,
        title="Maximum",
        description="Machines that exist.",
        examples=[1, 3],
    )
    idle: Literal["suspend", "stop", "off"] = Field(
        default="suspend",
        title="When idle",
        description="What happens to a machine that nobody calls: `suspend` keeps its memory, `stop` ends the "
        'process, `"off"` keeps it running.',
        examples=["suspend", "stop", "off"],
    )
    idle_after: Duration = Field(
        default="5m",
        title="Idle after",
        description="How long nobody calls before a machine is idle: a whole number and `s`, `m` or `h`. `catwalk up` "
        "keeps to it; Fly has no such setting and takes a few minutes.",
        examples=["5m"],
    )


class Health(Part):
    """How a server proves that it is well."""

    interval: Duration = Field(
        default="5s",
        title="Interval",
        description="Time between two health checks of an awake machine: a whole number and `s`, `m` or `h`.",
        examples=["5s", "30s"],
    )
    timeout: Duration = Field(
        default="4s",
        title="Timeout",
        description="How long one check may take: a whole number and `s`, `m` or `h`.",
        examples=["4s"],
    )
    grace: Duration = Field(
        default="2m",
        title="Grace",
        description="How long a new machine may install and start before it counts as failed: a whole number and "
        "`s`, `m` or `h`.",
        examples=["2m"],
    )


class _Inheritable(Part):
    """The fields that `defaults` can give to every server."""

    env: dict[Variable, Text] = Field(
        default_factory=dict,
        title="Environment",
        description="Environment variables that are no secrets. Values are text: quote numbers and booleans.",
        examples=[{"GITHUB_HOST": "github.com", "PORT": "8080"}],
    )
    vm: VirtualMachine = Field(
        default_factory=VirtualMachine,
        title="Machine size",
        description="The size of each machine.",
        examples=[{"cpu_kind": "shared", "cpus": 1, "memory_mb": 512}],
    )
    scale: Scale = Field(
        default_factory=Scale,
        title="Scale",
        description="How many machines there are and when they sleep.",
        examples=[{"min": 0, "max": 1, "idle": "suspend", "idle_after": "5m"}],
    )
    regions: Annotated[tuple[Region, ...], Field(strict=False, min_length=1)] = Field(
        default=(DEFAULT_REGION,),
        title="Regions",
        description="Fly regions of the machines, used in turn. Without it `fly.regions` applies.",
        examples=[["iad"], ["iad", "fra"]],
    )
    health: Health = Field(
        default_factory=Health,
        title="Health",
        description="How the server proves that it is well.",
        examples=[{"interval": "5s", "timeout": "4s", "grace": "2m"}],
    )
    resolve_as_of: ResolveAsOf = Field(
        default="",
        json_schema_extra=_without_default,
        title="Resolve as of",
        description="The day as of which the package's own dependencies are resolved, as `YYYY-MM-DD`, or `latest`. "
        "Without it: the day on which the package was published.",
        examples=["latest", "2026-10-19"],
    )
    owner: Text = Field(
        default="",
        title="Owner",
        description="Who to ask about it: a team, a person or an address. Catwalk only shows it.",
        examples=["team-platform"],
    )
    labels: dict[Text, Text] = Field(
        default_factory=dict,
        title="Labels",
        description="Free words for people and tools. Values are text. Catwalk only shows them.",
        examples=[{"tier": "production"}],
    )


class Defaults(_Inheritable):
    """What every server inherits, field by field; a server's own value wins."""


class Server(_Inheritable):
    """One MCP server. It becomes one Fly app, `{fleet}-{server}`."""

    package: Package = Field(
        title="Package",
        description="The package that holds the server: `npm:NAME@VERSION` or `pypi:NAME@VERSION`. "
        "Without a version the newest one runs, with a warning.",
        examples=["pypi:mcp-server-time@2026.10.19", "npm:@modelcontextprotocol/server-github@2025.4.8"],
    )
    args: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(),
        title="Arguments",
        description="Arguments of the server's executable, each a text of its own.",
        examples=[["--local-timezone=Europe/Berlin"]],
    )
    secrets: dict[Variable, Encrypted | None] = Field(
        default_factory=dict,
        title="Secrets",
        description="Environment variables whose values are encrypted with SOPS: the encrypted value, or nothing "
        "when it lies in `secrets/{server}/{NAME}.sops.yaml` beside the manifest.",
        examples=[{"GITHUB_PERSONAL_ACCESS_TOKEN": None}],
    )
    entrypoint: Executable = Field(
        default="",
        json_schema_extra=_without_default,
        title="Entrypoint",
        description="The executable of the package to run, where it has several.",
        examples=["mcp-server-time"],
    )
    transport: Transport = Field(
        default=Transport(type="stdio"),
        title="Transport",
        description="How the server itself speaks inside its machine. Clients always get Streamable HTTP.",
        examples=[{"type": "streamable-http", "port": 3000, "path": "/mcp"}],
    )
    sessions: Sessions = Field(
        default="auto",
        title="Sessions",
        description="Whether clients share one process of the server: `auto` gives a process of its own to every "
        "client that the server can ask something (elicitation, sampling, roots) and shares one among all others; "
        "`shared`; `isolated`, for a server that keeps something for each client.",
        examples=["isolated"],
    )
    depends_on: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=(),
        title="Depends on",
        description="Servers of the same fleet that must be as desired and healthy before this one changes. They are "
        "removed in the opposite order.",
        examples=[["database"]],
    )
    suspend: bool = Field(
        default=False,
        title="Suspend",
        description="`true` makes the reconciler leave the server alone, whatever state it is in.",
        examples=[True],
    )
    description: Text = Field(
        default="",
        title="Description",
        description="What the server is for, in a sentence.",
        examples=["Tells the time in every time zone."],
    )


class Prune(Part):
    """How many servers one change may remove without being asked. Above it nothing is removed until a person agrees."""

    max_percent: int = Field(
        default=50,
        ge=0,
        le=100,
        title="Most per cent",
        description="Per cent of the servers that exist. A single server is always allowed by this limit.",
        examples=[50],
    )
    max_count: int = Field(
        default=10,
        ge=0,
        le=100_000,
        title="Most servers",
        description="Number of servers.",
        examples=[10],
    )
    confirm: bool = Field(
        default=False,
        title="Always confirm",
        description="`true` asks before every removal, however small.",
        examples=[True],
    )


class Policy(Part):
    """What the fleet's owners allow. With several manifests the strictest value counts, field by field."""

    prune: Prune = Field(
        default_factory=Prune,
        title="Prune",
        description="How many servers one change may remove without being asked.",
        examples=[{"max_percent": 50, "max_count": 10, "confirm": False}],
    )


class Manifest(Part):
    """One `catwalk.yaml`. All manifests of a repository together are the fleet."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, title="Catwalk manifest", validate_by_alias=True
    )

    api_version: Literal["catwalk.dev/v1"] = Field(
        alias="apiVersion",
        title="API version",
        description="The version of this format.",
        examples=[API_VERSION],
    )
    fleet: Name = Field(
        title="Fleet",
        description="Name of the fleet, the prefix of its Fly app names: lower-case letters, digits and dashes. "
        "The same in every manifest of a repository.",
        examples=["acme"],
    )
    fly: FlySettings = Field(
        default_factory=FlySettings,
        title="Fly",
        description="Where on Fly the fleet runs.",
        examples=[{"organization": "acme", "regions": ["iad"]}],
    )
    defaults: Defaults = Field(
        default_factory=Defaults,
        title="Defaults",
        description="What every server of this file inherits, field by field.",
        examples=[{"vm": {"memory_mb": 1024}}],
    )
    policy: Policy = Field(
        default_factory=Policy,
        title="Policy",
        description="What the fleet's owners allow.",
        examples=[{"prune": {"max_count": 5}}],
    )
    gateway: Gateway = Field(
        default_factory=Gateway,
        title="Gateway",
        description="Who may use the servers through the gateway of `catwalk serve`.",
        examples=[{"access": {"ci": {"github": ["get_*"]}}}],
    )
    servers: dict[Name, Server] = Field(
        title="Servers",
        description="The servers by name: lower-case letters, digits and dashes, fewer than 63 characters together "
        "with the fleet and a dash.",
        examples=[{"time": {"package": "pypi:mcp-server-time@2026.10.19"}}],
    )
    sops: dict[str, Any] = Field(
        default_factory=dict,
        title="SOPS metadata",
        description="Written by SOPS when the file holds encrypted values. Never edited by hand.",
        examples=[{"version": "3.11.0"}],
    )
