"""`catwalk lock`: writes down exactly what runs, and finds newer versions of it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import anyio
import click
from rich.console import Console

from reconciler.cli.locking import FleetLocks, Made, make_locks, read_locks
from reconciler.cli.options import AS_JSON, ENVIRONMENT, debug
from reconciler.cli.place import with_dotenv
from reconciler.cli.problems import NO, exit_code, print_problems
from reconciler.cli.secrets_fleet import FLEET
from reconciler.cli.upgrading import Upgrades, find_upgrades, rewritten, upgraded
from reconciler.core.problems import Problem
from reconciler.core.upgrades import Upgrade
from reconciler.errors import SourceError
from reconciler.settings import in_environment, read_settings
from reconciler.sops.writing.disk import read_file, replace_file
from reconciler.sources.manifests import read_manifests
from reconciler.sources.packages import PackageCatalog
from reconciler.sources.packages.catalog import system_now


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a run of the command would write."""

    fleet: FleetLocks
    made: Made
    upgrades: Upgrades
    files: Mapping[str, bytes]
    """Those that change, by path relative to the directory."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        return (*self.upgrades.problems, *self.made.problems)


class Options(TypedDict):
    """The flags of the command."""

    upgrade: bool
    check: bool
    as_json: bool


@click.command("lock")
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@FLEET
@click.option("--upgrade", is_flag=True, help="Move the SERVERs, or all, to their newest versions.")
@click.option(
    "--check", is_flag=True, help="Write nothing: show what would be written, and exit with 1 where that is something."
)
@ENVIRONMENT
@AS_JSON
@debug
def command(*, servers: tuple[str, ...], directory: Path, environment_name: str, **options: Unpack[Options]) -> int:
    """Write catwalk.lock beside each manifest: exact versions, digests, dates and executables of what its servers run.

    The lock is for the commit. With it the same files run tomorrow, and anything else is refused. A version that a
    lock knows is never changed silently; --upgrade writes newer ones into the manifests too.
    """
    upgrade, check = options["upgrade"], options["check"]
    if servers and not upgrade:
        raise click.UsageError("naming servers goes with --upgrade: a lock is always made for all")
    settings = in_environment(read_settings(with_dotenv(directory, os.environ)), environment_name)
    fleet = anyio.run(read_locks, directory, settings.environment)
    plan = anyio.run(_plan, fleet, frozenset(servers), upgrade)
    if not check:
        _write(plan)
    _show(plan, as_json=options["as_json"], writes=not check)
    if plan.problems:
        return max(exit_code(problem) for problem in plan.problems)
    return NO if check and plan.files else 0


async def _plan(fleet: FleetLocks, servers: frozenset[str], upgrade: bool) -> _Plan:
    upgrades, files = Upgrades(), dict[str, bytes]()
    _refuse_unknown(fleet, servers)
    async with PackageCatalog(os.environ) as catalog:
        now = system_now()
        if upgrade:
            upgrades = await find_upgrades(fleet, servers, catalog, now)
            files |= rewritten(fleet, upgrades.found)
            fleet = upgraded(fleet, upgrades.found)
        made = await make_locks(fleet, catalog, now)
    for file, text in made.texts().items():
        content = text.encode("utf-8")
        if fleet.files.get(file) != content:
            files[file] = content
    return _Plan(fleet=fleet, made=made, upgrades=upgrades, files=files)


def _refuse_unknown(fleet: FleetLocks, servers: frozenset[str]) -> None:
    names = {spec.name for spec in fleet.specs}
    for server in sorted(servers - names):
        hint = f"the servers are {', '.join(sorted(names))}"
        raise SourceError("unknown-server", f"no manifest declares a server {server}", hint=hint)


def _write(plan: _Plan) -> None:
    """Locks last: a manifest that is newer than its lock is told, a lock that is newer is too."""
    for file, content in sorted(plan.files.items(), key=lambda item: item[0].endswith(".lock")):
        path = plan.fleet.directory / file
        replace_file(path, content, lambda _: None, before=read_file(path))
    written = dict(plan.fleet.files) | dict(plan.files)
    read_manifests(written, plan.fleet.environment, to_be_locked=True)


def _show(plan: _Plan, *, as_json: bool, writes: bool) -> None:
    if as_json:
        click.echo(json.dumps(_document(plan, writes=writes), indent=2, ensure_ascii=False))
    else:
        for upgrade in plan.upgrades.found:
            click.echo(_upgrade_line(upgrade))
        for file in sorted(plan.files):
            click.echo(f"{'wrote' if writes else 'would write'} {(plan.fleet.directory / file).as_posix()}")
        if not plan.files and not plan.problems:
            click.echo("every lock is up to date")
    print_problems(plan.problems, Console(stderr=True))


def _upgrade_line(upgrade: Upgrade) -> str:
    day = f" ({upgrade.published_at:%Y-%m-%d})" if upgrade.published_at else ""
    reading = f"\n  {upgrade.reading}" if upgrade.reading else ""
    return f"{upgrade.server}: {upgrade.package}{day}, now {upgrade.now or 'unlocked'}{reading}"


def _document(plan: _Plan, *, writes: bool) -> Mapping[str, object]:
    return {
        "written": writes,
        "files": sorted(plan.files),
        "upgrades": [_upgrade_record(upgrade) for upgrade in plan.upgrades.found],
        "problems": [_problem_record(problem) for problem in plan.problems],
    }


def _upgrade_record(upgrade: Upgrade) -> Mapping[str, object]:
    return {
        "server": upgrade.server,
        "package": f"{upgrade.package.registry}:{upgrade.package.name}",
        "from": upgrade.now,
        "to": upgrade.package.version,
        "published": upgrade.published_at.isoformat() if upgrade.published_at else None,
        "changes": upgrade.reading or None,
    }


def _problem_record(problem: Problem) -> Mapping[str, object]:
    place = str(problem.location) if problem.location else None
    return {"code": problem.code, "server": problem.server, "place": place, "message": problem.message}
