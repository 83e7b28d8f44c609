"""Size, number and health of a server's machines."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.v1.part import Part, without_default
from schemas.v1.terms import Duration, Text

MOST_MACHINES: Final = 100


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


class Probe(Part):
    """What an MCP round trip must show, beside an answer with at least one tool."""

    tools: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] = Field(
        default=(),
        json_schema_extra=without_default,
        title="Tools",
        description="Patterns of tools (`*` and `?` as in a shell), each of which must fit a tool that the server "
        "lists. Some servers start without a credential and silently leave out what needs it.",
        examples=[["search_*"]],
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
    probe: Probe = Field(
        default_factory=Probe,
        title="Probe",
        description="What a server must show over MCP to count as ready; without it, at least one tool.",
        examples=[{"tools": ["search_*"]}],
    )
