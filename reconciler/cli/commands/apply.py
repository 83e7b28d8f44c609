"""`catwalk apply`: one pass, watched."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypedDict, Unpack

import anyio
import click
from rich.console import Console

from reconciler.cli.github_access import open_github
from reconciler.cli.options import AS_JSON, DIRECTORY, ENVIRONMENT, WORKTREE, debug
from reconciler.cli.place import Place, find_place, make_state, with_dotenv
from reconciler.cli.present_machines import live_machines
from reconciler.cli.problems import NO, exit_code, print_problems
from reconciler.cli.progress_json import JSONProgress
from reconciler.cli.progress_text import TextProgress
from reconciler.cli.reporting import LAST_POSTS_S, Outside
from reconciler.cli.repository import open_source
from reconciler.cli.telemetry import traces
from reconciler.cli.wiring import Request, Wired, wired
from reconciler.core.actions import Pass
from reconciler.core.audit import AuditDeed, AuditKind, AuditLine, AuditResult
from reconciler.core.problems import Problem
from reconciler.core.types import ServerState, Trigger
from reconciler.loop.clock import SystemClock
from reconciler.loop.progress import Progress
from reconciler.loop.signals import Signals
from reconciler.settings import Settings, in_environment, read_settings

WELL: Final = frozenset({ServerState.READY, ServerState.IDLE, ServerState.SUSPENDED})
LONGEST_NAME: Final = 256
"""Of a person in the audit."""
PATIENCE_S: Final = 60.0
"""How long the process that leads the fleet may take to end its pass and step aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person agreed to, by digest; empty where they agreed to nothing in particular."""

    plan: str
    prune: str


class Agreed(TypedDict):
    plan: str
    prune: str


@click.command("apply")
@DIRECTORY
@WORKTREE
@ENVIRONMENT
@click.option("--plan", default="", metavar="DIGEST", help="Refuse if the plan is no longer this one.")
@click.option("--confirm-prune", "prune", default="", metavar="DIGEST", help="Agree to a removal above the budget.")
@AS_JSON
@debug
def command(*, directory: Path, worktree: bool, as_json: bool, environment_name: str, **agreed: Unpack[Agreed]) -> int:
    """Make the fleet what the newest commit of DIR asks for, once, and wait until it is healthy.

    The machines are those of the `catwalk up` that runs for DIR; without one, those on Fly, by FLY_API_TOKEN. A process
    that runs the fleet steps aside meanwhile.
    """
    settings = in_environment(read_settings(with_dotenv(directory, os.environ)), environment_name)
    place = find_place(directory, settings)
    make_state(place)
    request = _request(place, settings, worktree, _progress(as_json=as_json))
    finished = anyio.run(_apply, request, Wish(**agreed))
    if not as_json:
        print_problems((*finished.problems, *_left_over(finished, agreed["prune"])), Console(stderr=True))
    return _verdict(finished)


def _progress(*, as_json: bool) -> Progress:
    if as_json:
        return JSONProgress(click.echo)
    return TextProgress(Console(), lambda: SystemClock().now().astimezone())


def _request(place: Place, settings: Settings, worktree: bool, progress: Progress) -> Request:
    return Request(
        place=place,
        settings=settings,
        address=live_machines(place, settings),
        source=open_source(place.directory, settings, worktree=worktree),
        progress=progress,
        holder="catwalk apply",
        asks_to_lead=True,
    )


async def _apply(request: Request, wish: Wish) -> Pass:
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(traces(os.environ))
        access = await opened.enter_async_context(open_github(request.settings))
        outside = Outside(settings=request.settings, access=access)
        told = replace(
            request,
            report=outside.report,
            checks_signatures=True,
            host_verifier=access.verifier if access is not None else None,
        )
        connected = await opened.enter_async_context(wired(told))
        if wish.prune:
            await _agree(connected, wish.prune)
        assert connected.lead is not None
        await opened.enter_async_context(connected.lead.held(patience_s=PATIENCE_S))
        signals = Signals(may_act=connected.lead.may_act)
        finished = await connected.reconciler.run_pass(Trigger.COMMAND, signals=signals, expected_digest=wish.plan)
        await connected.reporting.drain(timeout_s=LAST_POSTS_S)
        return finished


async def _agree(connected: Wired, digest: str) -> None:
    """Agrees to a removal, and writes down who did."""
    await connected.store.confirm_prune(digest)
    who = f"{getpass.getuser()} on {socket.gethostname()}"
    deed = AuditDeed(
        kind=AuditKind.PRUNE, who=who[:LONGEST_NAME], result=AuditResult.OK, method="catwalk apply", detail=digest[:64]
    )
    await connected.store.note([AuditLine(at=connected.ports.clock.now(), deed=deed)])


def _left_over(finished: Pass, confirmed: str) -> Iterator[Problem]:
    """That the removal still waits for a word: none was given, or for another one."""
    request = finished.plan.prune if finished.plan else None
    if request is None:
        return
    other = f"; {confirmed[:12]} is another removal" if confirmed and confirmed != request.digest else ""
    message = f"{request.reason}: {', '.join(request.apps)} stay{other}"
    yield Problem(code="prune-unconfirmed", message=message, hint=f"agree with `{request.command}`")


def _verdict(finished: Pass) -> int:
    """0 when the commit is in force, nothing waits for a word, and every server is well."""
    if finished.problems:
        return max(exit_code(problem) for problem in finished.problems)
    waits = finished.plan is not None and finished.plan.prune is not None
    return 0 if not waits and all(status.state in WELL for status in finished.statuses) else NO
