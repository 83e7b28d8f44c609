"""Real servers from the registries that are started without what they need."""

from reconciler.core.log_causes_rules import LogCause
from tests.failures.provoked import Provoked, Source

_NO_VARIABLES = "started without its variables"


def _without(name: str, package: str, source: Source = Source.NPM) -> Provoked:
    return Provoked(name=name, cause=LogCause.MISSING_VARIABLE, how=_NO_VARIABLES, source=source, package=package)


SERVERS = (
    _without("gitlab", "@modelcontextprotocol/server-gitlab@2025.4.25"),
    _without("supabase", "@supabase/mcp-server-supabase@0.13.0"),
    _without("stripe", "@stripe/mcp@0.3.3"),
    _without("elastic", "@elastic/mcp-server-elasticsearch@0.3.1"),
    _without("hubspot", "@hubspot/mcp-server@0.4.0"),
    _without("trello", "@delorenj/mcp-server-trello@1.8.1"),
    _without("obsidian", "mcp-obsidian@0.2.3", Source.PYPI),
    _without("elevenlabs", "elevenlabs-mcp@0.12.2", Source.PYPI),
    _without("minimax", "minimax-mcp@0.0.19", Source.PYPI),
    _without("alchemy", "mcp-alchemy@2026.10.15.202659", Source.PYPI),
    Provoked(
        name="everart", cause=LogCause.INSTALL_FAILED, how="its dependency is younger than its date",
        source=Source.NPM, package="@modelcontextprotocol/server-everart@0.6.2",
    ),
    Provoked(
        name="mssql", cause=LogCause.RUNTIME_UNAVAILABLE, how="without the system library of its driver",
        source=Source.PYPI, package="mssql-mcp-server@1.0.0",
    ),
    Provoked(
        name="mcp-tavily", cause=LogCause.NO_EXECUTABLE, how="a server that installs no executable", source=Source.PYPI,
        package="mcp-tavily@0.1.10",
    ),
    Provoked(
        name="bigquery", cause=LogCause.RUNTIME_UNAVAILABLE, how="a Python that is neither here nor in reach",
        source=Source.PYPI, package="mcp-server-bigquery@0.3.2",
    ),
    Provoked(
        name="sentry-token", cause=LogCause.MISSING_ARGUMENTS, how="without its required option", source=Source.PYPI,
        package="mcp-server-sentry@2025.1.14",
    ),
    Provoked(
        name="duckdb-path", cause=LogCause.MISSING_ARGUMENTS, how="without its required option", source=Source.PYPI,
        package="mcp-server-duckdb@1.1.0",
    ),
    Provoked(
        name="time-unknown-option", cause=LogCause.MISSING_ARGUMENTS, how="an option that it does not know",
        source=Source.PYPI, package="mcp-server-time@2026.10.19", arguments=("--timezone", "UTC"),
    ),
    Provoked(
        name="everything-transport", cause=LogCause.MISSING_ARGUMENTS, how="a subcommand that it does not know",
        source=Source.NPM, package="@modelcontextprotocol/server-everything@2026.8.31", arguments=("websocket",),
    ),
    Provoked(
        name="postgres-no-url", cause=LogCause.MISSING_ARGUMENTS, how="without its argument", source=Source.NPM,
        package="@modelcontextprotocol/server-postgres@0.6.2",
    ),
    Provoked(
        name="cowsay", cause=LogCause.NOT_AN_MCP_SERVER, how="a program that draws a cow and ends", source=Source.NPM,
        package="cowsay@1.6.0", arguments=("hello",),
    ),
    Provoked(
        name="httpie-help", cause=LogCause.NOT_AN_MCP_SERVER, how="a program that is no server", source=Source.PYPI,
        package="cowsay@6.1", arguments=("-t", "hello"),
    ),
    Provoked(
        name="everything-little-memory", cause=LogCause.OUT_OF_MEMORY, how="16 MB of heap", source=Source.NPM,
        package="@modelcontextprotocol/server-everything@2026.8.31",
        environment={"NODE_OPTIONS": "--max-old-space-size=4 --max-semi-space-size=1"},
    ),
)  # fmt: skip
