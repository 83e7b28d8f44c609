"""How long `catwalk validate` takes for fifty real servers: with nothing cached, and again.

Each round is a process of its own, with a cache directory of its own: once cold, then cached, then offline, which shows
what the files alone cost. Real registries are asked. "Check" is what happens between the parsed command line and the
report, "process" is everything, the start of Python and its imports included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

NPM = (
    "@angular/cli@22.2.7",
    "@azure-devops/mcp@2.10.0",
    "@azure/mcp@2.0.5",
    "@circleci/mcp-server-circleci@0.20.0",
    "@launchdarkly/mcp-server@0.6.2",
    "@modelcontextprotocol/server-aws-kb-retrieval@0.6.2",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-github@2025.4.8",
    "@modelcontextprotocol/server-memory@2026.8.31",
    "@modelcontextprotocol/server-postgres@0.6.2",
    "@modelcontextprotocol/server-puppeteer@2025.5.12",
    "@modelcontextprotocol/server-redis@2025.4.25",
    "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
    "@notionhq/notion-mcp-server@2.5.2",
    "@playwright/mcp@0.0.83",
    "@salesforce/mcp@0.30.15",
    "@sentry/mcp-server@0.39.0",
    "@stripe/mcp@0.3.3",
    "@supabase/mcp-server-supabase@0.13.0",
    "@upstash/context7-mcp@4.1.1",
    "figma-developer-mcp@0.13.2",
    "firecrawl-mcp@3.26.0",
    "mongodb-mcp-server@3.0.4",
    "tavily-mcp@0.2.22",
)
PYPI = (
    "arxiv-mcp-server@0.8.2",
    "awslabs-aws-api-mcp-server@1.5.6",
    "awslabs-aws-documentation-mcp-server@1.2.3",
    "awslabs-aws-pricing-mcp-server@1.1.1",
    "awslabs-cloudwatch-mcp-server@0.3.1",
    "awslabs-eks-mcp-server@0.2.1",
    "blender-mcp@2.0.0",
    "chroma-mcp@0.2.6",
    "dbt-mcp@2.8.0",
    "duckduckgo-mcp-server@0.7.0",
    "elevenlabs-mcp@0.12.2",
    "excel-mcp-server@2.2.2",
    "ha-mcp@8.7.0",
    "jupyter-mcp-server@2.2.4",
    "kubernetes-mcp-server@0.0.69",
    "mcp-atlassian@0.23.1",
    "mcp-clickhouse@0.7.0",
    "mcp-neo4j-cypher@0.6.0",
    "mcp-server-fetch@2026.10.24",
    "mcp-server-git@2026.10.19",
    "mcp-server-qdrant@0.8.1",
    "mcp-server-sqlite@2025.4.25",
    "mcp-server-time@2026.10.19",
    "office-word-mcp-server@1.1.11",
    "openbb-mcp-server@2.0.1",
)


@dataclass(frozen=True)
class Run:
    process_s: float
    check_s: float
    check_cpu_s: float
    """Without the programs that it starts: npm and uv, where they are asked for their settings."""
    findings: int


def manifest() -> str:
    lines = ["apiVersion: catwalk.dev/v1", "fleet: bench", "servers:"]
    for number, package in enumerate([*(f"npm:{name}" for name in NPM), *(f"pypi:{name}" for name in PYPI)]):
        lines += [f"  server-{number}:", f'    package: "{package}"']
    return "\n".join(lines) + "\n"


def inside(folder: Path, *, offline: bool) -> None:
    """One check in this process; prints what it took."""
    from reconciler.cli.commands import validate as subject  # noqa: PLC0415 - Its import is not part of the check.

    cpu, started = time.process_time(), time.perf_counter()
    asking = subject.Asking.NOBODY if offline else subject.Asking.REGISTRIES
    findings = anyio.run(subject._validate, (folder,), asking, "")
    took = {"check_s": time.perf_counter() - started, "check_cpu_s": time.process_time() - cpu}
    print(json.dumps(took | {"findings": len(findings)}))


def run(folder: Path, cache: Path, *options: str) -> Run:
    command = [sys.executable, "-m", "tests.bench.validate", "--inside", str(folder), *options]
    started = time.perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return Run(process_s=time.perf_counter() - started, **json.loads(finished.stdout))


def measure(rounds: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {"cold": [], "cached": [], "offline": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "fleet"
        folder.mkdir()
        (folder / "catwalk.yaml").write_text(manifest(), encoding="utf-8")
        for number in range(rounds):
            cache = Path(scratch) / f"cache-{number}"
            runs["cold"].append(run(folder, cache))
            runs["cached"].append(run(folder, cache))
            runs["offline"].append(run(folder, cache, "--offline"))
    return runs


def row(name: str, runs: Sequence[Run]) -> str:
    checks = [each.check_s for each in runs]
    cpu, process = (
        statistics.median(values) for values in zip(*((r.check_cpu_s, r.process_s) for r in runs), strict=True)
    )
    found = runs[-1].findings
    return f"| {name} | {min(checks):.2f} | {statistics.median(checks):.2f} | {cpu:.2f} | {process:.2f} | {found} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inside", type=Path)
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args()
    if options.inside:
        inside(options.inside, offline=options.offline)
        return
    load = os.getloadavg()[0]
    print(f"{len(NPM)} npm and {len(PYPI)} PyPI servers, {options.rounds} rounds, load {load:.1f} at the start\n")
    print("| run | least check s | median check s | CPU s of the check | median process s | findings |")
    print("|---|---|---|---|---|---|")
    for name, runs in measure(options.rounds).items():
        print(row(name, runs))


if __name__ == "__main__":
    main()
