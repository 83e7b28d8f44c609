"""What the owners of a fleet allow."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.v1.part import Part, without_default
from schemas.v1.terms import Text


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


Patterns = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]


class Policy(Part):
    """What the fleet's owners allow. With several manifests the strictest value counts, field by field."""

    prune: Prune = Field(
        default_factory=Prune,
        title="Prune",
        description="How many servers one change may remove without being asked.",
        examples=[{"max_percent": 50, "max_count": 10, "confirm": False}],
    )
    pinned: Literal["required", "warn"] = Field(
        default="warn",
        title="Pinned",
        description="Whether every package must name its version and every image its digest: `warn` says so, "
        "`required` refuses what does not, and holds what has no entry in `catwalk.lock`. A lock counts as a version.",
        examples=["required"],
    )
    signed_commits: bool | Literal["ssh", "gpg", "github"] = Field(
        default=False,
        title="Signed commits",
        description="Puts a revision in force only when its commit is signed: by an SSH key of "
        "`.catwalk/allowed_signers` (`ssh`), by an OpenPGP key of `.catwalk/allowed_keys.asc` (`gpg`), or as GitHub "
        "verified it (`github`, or `true`). The files of the revision in force count. Several manifests add up.",
        examples=["ssh", True],
    )
    allow: Patterns = Field(
        default=(),
        json_schema_extra=without_default,
        title="Allow",
        description="The only programs that may run, as patterns (`*` and `?` as in a shell) over `npm:NAME`, "
        "`pypi:NAME`, `git:ADDRESS`, `image:REPOSITORY`, each also with `@VERSION`, and `remote:URL`. Folders of the "
        "own repository are always allowed.",
        examples=[["npm:@modelcontextprotocol/*", "image:ghcr.io/acme/*"]],
    )
    deny: Patterns = Field(
        default=(),
        json_schema_extra=without_default,
        title="Deny",
        description="Programs that may not run, as patterns like those of `allow`. What is denied stays so when it is "
        "also allowed.",
        examples=[["npm:*-beta", "pypi:some-package@1.*"]],
    )
    max_monthly_cost: float = Field(
        default=0,
        gt=0,
        le=1_000_000,
        json_schema_extra=without_default,
        title="Most cost a month",
        description="US dollars per 30 days that the whole fleet may cost when every machine is awake all the time, by "
        "Catwalk's price table.",
        examples=[50],
    )
