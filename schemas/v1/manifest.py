"""The manifest as people write it: one `catwalk.yaml`.

The models mirror the file, not the program: every field that `defaults` can give has the built-in default here, and
`model_fields_set` tells whether a person wrote it. Merging and checks across fields happen where positions are known.
Terms follow the official MCP registry's `server.json` where both have one.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.v1.gateway import Gateway, ToolPatterns
from schemas.v1.identity import Caller
from schemas.v1.machine import Health, Scale, VirtualMachine
from schemas.v1.part import NotNull, Part, without_default, without_null
from schemas.v1.policy import Policy
from schemas.v1.programs import FilePath, Folder, Git, Image, PlacedFile
from schemas.v1.remotes import Remote
from schemas.v1.serving import Sessions, Transport
from schemas.v1.terms import (
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

SOURCE_KEYS: Final = ("package", "git", "directory", "image", "remote")
"""Where a server's program comes from; each server has exactly one."""


def _one_source_schema(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [key]} for key in SOURCE_KEYS]


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
        json_schema_extra=without_default,
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

    model_config = Part.model_config | {"json_schema_extra": _one_source_schema}

    package: Package = Field(
        default="",
        json_schema_extra=without_default,
        title="Package",
        description="The package that holds the server: `npm:NAME@VERSION` or `pypi:NAME@VERSION`. "
        "Without a version the newest one runs, with a warning.",
        examples=["pypi:mcp-server-time@2026.10.19", "npm:@modelcontextprotocol/server-github@2025.4.8"],
    )
    git: Annotated[Git | None, NotNull] = Field(
        default=None,
        json_schema_extra=without_null,
        title="Git",
        description="In place of a package: a project in another git repository, at one commit.",
        examples=[{"url": "https://github.com/acme/wiki-mcp", "commit": "8f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e"}],
    )
    directory: Folder = Field(
        default="",
        json_schema_extra=without_default,
        title="Directory",
        description="In place of a package: a folder beside or below this file that holds the project. What is "
        "committed there with this manifest is what runs.",
        examples=["./servers/notes"],
    )
    image: Image = Field(
        default="",
        json_schema_extra=without_default,
        title="Image",
        description="In place of a package: a container image that serves MCP over HTTP by itself, on "
        "`transport.port` at `transport.path`. Without a digest whatever the tag stands for runs, with a warning.",
        examples=["ghcr.io/acme/search-mcp@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    remote: Annotated[Remote | None, NotNull] = Field(
        default=None,
        json_schema_extra=without_null,
        title="Remote",
        description="In place of a package: a server that somebody else runs. It gets no machine; the gateway relays "
        "to its address, with credentials of its own and never with the caller's.",
        examples=[{"url": "https://mcp.linear.app/mcp", "headers": {"Authorization": "Bearer ${LINEAR_TOKEN}"}}],
    )
    command: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] = Field(
        default=(),
        json_schema_extra=without_default,
        title="Command",
        description="What runs in place of the executable, each word a text of its own; `args` follow. It finds the "
        "programs of the package or project, and runs in the folder of the project.",
        examples=[["python", "-m", "notes.server"], ["node", "dist/index.js"]],
    )
    files: dict[FilePath, PlacedFile] = Field(
        default_factory=dict,
        title="Files",
        description="Files that the server finds in its machine, by absolute path or below `~/`, its home: credentials "
        "that are no variables, such as key files.",
        examples=[{"~/.config/gcloud/key.json": {"secret": "GOOGLE_KEY"}}],
    )
    access: dict[Caller, ToolPatterns] = Field(
        default_factory=dict,
        title="Access",
        description="Who may use this server: names of tokens and groups, each with patterns of tools. The same as "
        "`gateway.access` for this server, written where the server is.",
        examples=[{"ci": ["get_*", "list_*"]}],
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
        json_schema_extra=without_default,
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

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        stated = [key for key in SOURCE_KEYS if key in self.model_fields_set]
        if len(stated) > 1:
            text = f"has {len(stated)} sources: {', '.join(f'`{key}`' for key in stated)}"
            raise PydanticCustomError("several-sources", "{text}", {"text": text, "hint": "keep exactly one"})
        if not stated:
            hint = f"add `package: npm:NAME@VERSION`, or one of {', '.join(f'`{key}`' for key in SOURCE_KEYS[1:])}"
            raise PydanticCustomError("missing-source", "{text}", {"text": "says not what to run", "hint": hint})
        return self


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
