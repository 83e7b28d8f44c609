"""MCP servers that many people run, and what Catwalk knows about them that no package index tells.

The list serves the check for look-alikes: a name that is one slip away from one of these is probably meant to be it, or
meant to be taken for it. Names were taken from the reference servers of the MCP project and the most downloaded MCP
servers of both registries (seen in November 2026). Required variables were read in the source of the version named.
"""

from collections.abc import Mapping
from typing import Final

from reconciler.core.types import Registry

NPM: Final = frozenset(
    {
        *(
            f"@modelcontextprotocol/server-{name}"
            for name in (
                *("aws-kb-retrieval", "brave-search", "everart", "everything", "filesystem", "gdrive", "github"),
                *("gitlab", "google-maps", "memory", "pdf", "postgres", "puppeteer", "redis", "sequential-thinking"),
                "slack",
            )
        ),
        *("@angular/cli", "@azure/mcp", "@azure-devops/mcp", "@circleci/mcp-server-circleci", "@composio/mcp"),
        *("@launchdarkly/mcp-server", "@notionhq/notion-mcp-server", "@playwright/mcp", "@salesforce/mcp"),
        *("@sentry/mcp-server", "@stripe/mcp", "@supabase/mcp-server-supabase", "@upstash/context7-mcp"),
        *("@zereight/mcp-gitlab", "chrome-devtools-mcp", "figma-developer-mcp", "firecrawl-mcp", "mcp-proxy"),
        *("mcp-remote", "mongodb-mcp-server", "n8n-mcp", "next-devtools-mcp", "nx-mcp", "tavily-mcp"),
    }
)
PYPI: Final = frozenset(
    {
        *("awslabs-ec2-mcp-server", "awslabs-ecs-mcp-server", "mssql-mcp-server"),
        *("arxiv-mcp-server", "awslabs-aws-api-mcp-server", "awslabs-aws-documentation-mcp-server", "blender-mcp"),
        *("awslabs-aws-pricing-mcp-server", "awslabs-cloudwatch-mcp-server", "awslabs-eks-mcp-server", "chroma-mcp"),
        *("dbt-mcp", "duckduckgo-mcp-server", "elevenlabs-mcp", "excel-mcp-server", "ha-mcp", "jupyter-mcp-server"),
        *("kubernetes-mcp-server", "markitdown-mcp", "mcp-atlassian", "mcp-clickhouse", "mcp-grafana"),
        *("mcp-neo4j-cypher", "mcp-obsidian", "mcp-proxy", "mcp-server-duckdb", "mcp-server-fetch", "mcp-server-git"),
        *("mcp-server-motherduck", "mcp-server-qdrant", "mcp-server-sqlite", "mcp-server-time", "mysql-mcp-server"),
        *("office-powerpoint-mcp-server", "office-word-mcp-server", "openbb-mcp-server", "pagerduty-mcp"),
        *("postgres-mcp", "snowflake-labs-mcp", "workspace-mcp"),
    }
)
NAMES: Final[Mapping[Registry, frozenset[str]]] = {Registry.NPM: NPM, Registry.PYPI: PYPI}

REQUIRED_VARIABLES: Final[Mapping[tuple[Registry, str], tuple[str, ...]]] = {
    # Each of these ends before its first answer where the variable is missing.
    (Registry.NPM, "@modelcontextprotocol/server-brave-search"): ("BRAVE_API_KEY",),  # 0.6.2
    (Registry.NPM, "@modelcontextprotocol/server-everart"): ("EVERART_API_KEY",),  # 0.6.2
    (Registry.NPM, "@modelcontextprotocol/server-gitlab"): ("GITLAB_PERSONAL_ACCESS_TOKEN",),  # 2025.4.25
    (Registry.NPM, "@modelcontextprotocol/server-google-maps"): ("GOOGLE_MAPS_API_KEY",),  # 0.6.2
    (Registry.NPM, "@modelcontextprotocol/server-slack"): ("SLACK_BOT_TOKEN", "SLACK_TEAM_ID"),  # 2025.4.25
}
