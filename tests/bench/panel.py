"""Real MCP servers, validated and deployed: which work, and whether the others are refused with the right cause.

    python -m tests.bench.panel ../shared/data/servers/panel.json --out tests/bench/panel.md

Every entry is checked by `catwalk validate` first, then run by `catwalk up`, a few servers in one fleet at a time, and
called through the gateway with the official client. An entry that should work counts when it lists the tools that it
must and its call says what it should; one that should not counts when it is refused for the reason stated, before or
after its start. Package caches are the machine's.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from reconciler.cli.commands.validate import Asking, _validate
from tests.journeys.harness import Catwalk, Event, running

CALL_TIMEOUT_S = 60.0
READY_WITHIN_S = 420.0
CAUSES = {
    "needs-credential": {"missing-variable", "bad-token"},
    "no-executable": {"no-executable"},
    "install-failed": {"install-failed", "cannot-be-resolved"},
    "package-not-found": {"package-not-found"},
    "version-not-found": {"version-not-found"},
}


@dataclass
class Result:
    """One entry of the panel, and what became of it."""

    entry: Mapping[str, Any]
    codes: tuple[str, ...] = ()
    """Errors that validation found."""
    state: str = "not deployed"
    cause: str = ""
    tools: int = 0
    call: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def should_work(self) -> bool:
        return self.entry["expect"]["outcome"] == "ok"

    @property
    def right(self) -> bool:
        if not self.should_work:
            return bool(CAUSES[self.entry["expect"]["outcome"]] & {*self.codes, self.cause})
        return self.tools >= self.entry["expect"]["min_tools"] and self.call in {"", "right"} and not self.codes


def server_block(entry: Mapping[str, Any], scratch: Path) -> list[str]:
    """The lines of a manifest for one entry."""
    version = entry["version_requested"] or entry["version"]
    package = f"{entry['runtime']}:{entry['package']}@{version}"
    lines = [f"  {entry['id']}:", f"    package: {json.dumps(package)}"]
    if entry["args"]:
        lines.append(f"    args: {json.dumps([word.replace('{tmp}', str(scratch)) for word in entry['args']])}")
    if entry["env"]:
        lines.append(f"    env: {json.dumps(entry['env'])}")
    if entry["entrypoint"]:
        lines.append(f"    entrypoint: {entry['entrypoint']}")
    if native := entry.get("native_http"):
        lines.append(f"    transport: {{type: streamable-http, port: {native['port']}, path: {native['path']}}}")
    return [*lines, "    vm: {memory_mb: 1024}", "    health: {grace: 5m}"]


def write_fleet(folder: Path, results: Sequence[Result], scratch: Path) -> None:
    head = ["apiVersion: catwalk.dev/v1", "fleet: panel", "servers:"]
    lines = [line for result in results for line in server_block(result.entry, scratch)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "catwalk.yaml").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


def validate_all(folder: Path, results: Sequence[Result], scratch: Path) -> float:
    """Fills in what validation finds; gives how long it took."""
    write_fleet(folder, results, scratch)
    started = time.perf_counter()
    findings = anyio.run(_validate, (folder,), Asking.ALL, "")
    by_id = {result.entry["id"]: result for result in results}
    for finding in findings:
        result = by_id.get(finding.problem.server)
        if result is not None and finding.is_error:
            result.codes = (*result.codes, finding.problem.code)
        elif result is not None:
            result.notes.append(finding.problem.code)
    return time.perf_counter() - started


def deploy(folder: Path, results: Sequence[Result], scratch: Path) -> None:
    """Runs some entries in one fleet and fills in what they do."""
    write_fleet(folder, results, scratch)
    started = time.perf_counter()
    with running(folder, "--worktree") as catwalk:
        servers = settled(catwalk)
        for result in results:
            told = servers.get(result.entry["id"], {})
            result.state, result.cause = told.get("state", "missing"), told.get("cause") or ""
            result.seconds = time.perf_counter() - started
            if result.should_work and result.state == "ready":
                anyio.run(call, result, told["url"], scratch)


def settled(catwalk: Catwalk) -> Mapping[str, Any]:
    """The servers when all have come to rest, or as far as they have come when the time is over."""
    try:
        ready: Event = catwalk.until(lambda event: event["event"] == "ready", within_s=READY_WITHIN_S, what="ready")
    except pytest.fail.Exception:
        return {event["server"]: event for event in catwalk.events if event["event"] == "server"}
    return ready["servers"]


async def call(result: Result, url: str, scratch: Path) -> None:
    """Lists the tools and calls the one that the panel names."""
    expected = result.entry["expect"]
    try:
        with anyio.fail_after(CALL_TIMEOUT_S):
            async with Client(url, mode="legacy") as client:
                result.tools = len((await client.list_tools()).tools)
                if expected["a_tool"]:
                    result.call = await _called(client, expected, scratch)
    except Exception as error:  # noqa: BLE001 - Whatever goes wrong is the result of this entry.
        result.call = f"{type(error).__name__}"


async def _called(client: Client, expected: Mapping[str, Any], scratch: Path) -> str:
    arguments = json.loads(json.dumps(expected["a_tool_args"]).replace("{tmp}", str(scratch)))
    answer = await client.call_tool(expected["a_tool"], arguments)
    text = " ".join(getattr(part, "text", "") for part in answer.content)
    return "right" if expected["text_contains"].replace("{tmp}", str(scratch)) in text else "another text"


def table(results: Sequence[Result]) -> Iterator[str]:
    yield "| entry | package | should | validation | state | tools | call | s | right |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for result in results:
        entry, found = result.entry, ", ".join(dict.fromkeys((*result.codes, *result.notes))) or "clean"
        package = f"{entry['runtime']}:{entry['package']}@{entry['version_requested'] or entry['version']}"
        state = f"{result.state}, {result.cause}" if result.cause else result.state
        least = f"{result.tools} of {entry['expect']['min_tools']}" if result.should_work else "-"
        yield (
            f"| {entry['id']} | `{package}` | {entry['expect']['outcome']} | {found} | {state} | {least} "
            f"| {result.call or '-'} | {result.seconds:.0f} | {'yes' if result.right else '**no**'} |"
        )


def report(results: Sequence[Result], validation_s: float) -> str:
    able, others = [r for r in results if r.should_work], [r for r in results if not r.should_work]
    working, refused = sum(r.right for r in able), sum(r.right for r in others)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    when, load = time.strftime("%Y-%m-%d", time.gmtime()), os.getloadavg()[0]
    lines = [
        "# The panel of real servers",
        "",
        "Made by `python -m tests.bench.panel`, which says what the columns mean.",
        "",
        f"{when}, Python {python}, load {load:.0f} on {os.cpu_count()} cores; validation took {validation_s:.1f} s.",
        f"**{working} of {len(able)} that can work do; {refused} of {len(others)} others are refused rightly.**",
        "",
        *table(results),
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def places() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="panel-") as name:
        scratch = Path(name) / "scratch"
        scratch.mkdir()
        yield Path(name), scratch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("panel", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--no-deploy", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    entries = json.loads(options.panel.read_text(encoding="utf-8"))["servers"]
    results = [Result(entry) for entry in entries if not options.only or entry["id"] in options.only]
    with places() as (folder, scratch):
        validation_s = validate_all(folder / "all", results, scratch)
        for start in range(0, 0 if options.no_deploy else len(results), options.at_once):
            deploy(folder / f"fleet-{start}", results[start : start + options.at_once], scratch)
            print(report(results, validation_s), flush=True)
    text = report(results, validation_s)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
