"""The JSON of `/api`, which is also what the pages are rendered from.

One shape for both means that a page cannot show what the API does not tell. The models are separate from the values of
`core` on purpose: `core` may change with the product, these names are published in `/api/schema` and may only grow.
Times are ISO 8601 in UTC.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    """What all documents share: they are read, never changed, and their fields document themselves."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ProblemDocument(Document):
    """One thing that is wrong, and the next thing to do about it."""

    code: str
    """Stable, for programs: `package-not-found`."""
    message: str
    hint: str
    """The next thing to do; empty when the message says it."""
    remedy: str
    """Who can clear it: `fix-source`, `fix-environment`, `wait` or `report`."""
    server: str
    """The server concerned; empty when it is the whole fleet."""
    file: str | None = None
    line: int | None = None
    """From 1."""
    column: int | None = None
    """From 1."""

    @property
    def place(self) -> str:
        """`file:line:column`, or nothing."""
        return f"{self.file}:{self.line}:{self.column}" if self.file else ""


class RevisionReference(Document):
    """A commit, as far as a link needs it."""

    commit: str
    short: str
    """What people read: seven digits, or `worktree`."""
    branch: str
    subject: str
    """First line of the commit message."""


class UsageDocument(Document):
    """What a server cost and saved since the first of the month (UTC): an estimate, as of the looks at it."""

    since: datetime
    """The first of the month, or when the server was first seen in it."""
    awake_s: float
    asleep_s: float
    wakes: int
    """How often a call woke it."""
    last_wake_s: float | None
    """How long the newest wake took until it answered; null where nobody looked in between."""
    cost: float | None
    """US dollars for the time awake, without transfer and file systems; null for a size without a known price."""
    saved: float | None
    """US dollars that the time asleep would have cost awake."""


class ServerDocument(Document):
    """One server and the verdict on it."""

    name: str
    state: str
    """`pending`, `installing`, `starting`, `ready`, `idle`, `degraded`, `failed`, `held` or `suspended`."""
    since: datetime | None
    """When this state began."""
    cause: str | None
    """Root cause of a server that is unwell: `crash-loop`, `missing-variable`, …"""
    detail: str
    problem: ProblemDocument | None
    package: str
    revision: str
    """The commit whose configuration the machine runs; empty before there is one."""
    machine_id: str
    tools: list[str]
    """Names of the tools that the server listed when it was last asked."""
    mcp_url: str
    """Where MCP clients reach it."""
    usage: UsageDocument | None = None
    """This month; null where nothing is known of it, or where the server is shown as it was for another revision."""
    owner: str = ""
    """Who looks after it, as the manifest says."""
    labels: dict[str, str] = Field(default_factory=dict[str, str])
    """As the manifest has them, by key."""
    description: str = ""
    """What it is for, as the manifest says."""


class FleetDocument(Document):
    """The whole fleet, as the dashboard shows it."""

    fleet: str
    revision: RevisionReference | None
    """The revision that was looked at last; it may have been refused."""
    applied_revision: RevisionReference | None
    """The revision in force."""
    checked_at: datetime | None
    """When the last pass ended; null before the first one."""
    settled: bool
    """Whether the last pass left nothing to do and met no problem."""
    counts: dict[str, int]
    """Number of servers by state; only states that occur."""
    problems: list[ProblemDocument]
    servers: list[ServerDocument]
    """Those that were asked for: by name, or on the page with trouble first."""
    cost: float
    """US dollars of this month so far, of all servers whose price is known."""
    saved: float
    """US dollars that sleeping saved this month."""
    prices_as_of: str
    """The month of the price table."""
    client_configuration: dict[str, object]
    """What an MCP client needs to reach these servers: `{"mcpServers": {…}}`."""


class TransitionDocument(Document):
    """A moment at which the verdict on a server changed."""

    at: datetime
    state: str
    cause: str | None
    detail: str
    revision: RevisionReference | None
    """The commit whose configuration the server ran; branch and subject may be empty."""
    pass_number: int
    """The pass that saw it; 0 where that is not known any more."""


class ServerPageDocument(Document):
    """One server with what a person needs to use and to mend it."""

    server: ServerDocument
    client_configuration: dict[str, object]
    """`{"mcpServers": {…}}`, as Claude Code (`.mcp.json`) and Cursor (`mcp.json`) read it."""
    vscode_configuration: dict[str, object]
    """`{"servers": {…}}`, as VS Code reads it in `.vscode/mcp.json`."""
    history: list[TransitionDocument]
    """Newest first, over the passes that are remembered."""
    since_it_worked: "SinceItWorkedDocument | None" = None
    """Of a server that is unwell and was well before."""


class LogLineDocument(Document):
    """One line that a machine wrote, redacted."""

    at: datetime
    machine_id: str
    level: str
    message: str


class ExplanationDocument(Document):
    """Why a server does not run, by its log."""

    cause: str
    line: str
    """The line of the log that shows it."""
    fix: str
    """The next thing to do."""


class LogsDocument(Document):
    """The newest lines of a server, oldest first."""

    server: str
    lines: list[LogLineDocument]
    explanation: ExplanationDocument | None = None
    """Of a server that is unwell, where its lines show a cause."""


class FieldChangeDocument(Document):
    """One field of a machine's configuration, before and after, as JSON text."""

    path: str
    before: str
    after: str


class ActionDocument(Document):
    """One thing that a plan does, and what came of it."""

    kind: str
    """`create-app`, `allocate-address`, `set-secrets`, `create`, `update`, `start`, `stop`, `cordon`, `uncordon`,
    `destroy` or `destroy-app`."""
    server: str
    summary: str
    """In words, with the thing it is done to."""
    reason: str
    changes: list[FieldChangeDocument]
    outcome: str | None
    """`applied`, `adopted`, `failed` or `skipped`; null when it was not tried."""
    outcome_detail: str
    problem: ProblemDocument | None


class SinceItWorkedDocument(Document):
    """What changed since an unwell server was last well."""

    worked_until: datetime
    worked_at: str
    """The commit whose configuration it ran then; empty where that is not known."""
    runs_now: str
    """The commit whose configuration it runs now."""
    changes: list[ActionDocument]
    """What was done to its machines for that commit, oldest first; empty where it is the same one."""
    summary: str
    """In a sentence."""


class HeldDocument(Document):
    """Something that a plan would do and does not."""

    server: str
    summary: str
    reason: str
    """Why it is held, and what would release it."""


class PassSummaryDocument(Document):
    """One run of the reconciler, in a line."""

    number: int
    trigger: str
    """`start`, `commit`, `poll`, `health`, `command` or `webhook`."""
    started_at: datetime
    finished_at: datetime
    revision: RevisionReference | None
    settled: bool
    actions: int
    """How many things were to be done."""
    failed: int
    """How many of them failed."""
    problems: int


class PassesDocument(Document):
    """Passes, newest first."""

    passes: list[PassSummaryDocument]


class DeferredDocument(Document):
    """An action that belongs to a plan and follows when what it waits for has come."""

    kind: str
    """As for actions."""
    server: str
    summary: str
    reason: str
    changes: list[FieldChangeDocument]
    until: str
    """What it waits for, in words."""
    not_before: datetime | None
    """The time that it waits for; null where it waits for something else."""


class PruneRequestDocument(Document):
    """A removal above the budget: nothing is removed until a person confirms it."""

    digest: str
    apps: list[str]
    reason: str
    command: str
    """What to type to confirm it."""


class PassDocument(Document):
    """What one pass planned and did."""

    number: int
    trigger: str
    started_at: datetime
    finished_at: datetime
    plan_digest: str
    """What `catwalk apply --plan` compares; empty when nothing was planned."""
    actions: list[ActionDocument]
    """Those of the plan, then those that followed in the same pass."""
    action_count: int = 0
    """How many there are; a page shows the first."""
    deferred: list[DeferredDocument]
    """What still waited when the pass ended."""
    held: list[HeldDocument]
    prune: PruneRequestDocument | None
    """What must be confirmed before anything is removed."""
    unchanged: list[str]
    """Servers that needed nothing."""


class RevisionDocument(Document):
    """What became of one commit."""

    revision: RevisionReference
    committed_at: datetime | None
    commit_url: str = ""
    """The commit at the git host; empty where the repository is none that is known there."""
    in_force: bool
    """Whether this is the revision whose configuration runs now."""
    looked_at: datetime
    """When the newest pass over this revision ended."""
    problems: list[ProblemDocument]
    """Of that newest pass."""
    servers: list[ServerDocument]
    """The verdicts of that newest pass, by name."""
    passes: list[PassDocument]
    """Passes over this revision that had something to do, newest first."""


class ErrorDocument(Document):
    """An error as RFC 9457 has it, sent as `application/problem+json`."""

    type: str
    """Always `about:blank`: the title says what the status code means."""
    title: str
    status: int
    detail: str
    """What happened, in words."""
    code: str
    """Stable, for programs: `unknown-server`."""
    hint: str
    """The next thing to do; may be empty."""
