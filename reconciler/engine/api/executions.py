"""`exec` and `ps`: what can be done inside a running machine."""

import asyncio
import shlex
from collections.abc import Iterable

from pydantic import Field

from reconciler.engine import refusals
from reconciler.engine.api.exchange import Answer, ApiRequest, Route
from reconciler.engine.api.lookup import Desk
from reconciler.engine.config import Model, Text
from reconciler.engine.records import Machine, State
from reconciler.engine.refusals import Refusal
from reconciler.engine.runtime import ExecOrder, Inhabited, ProcessFigure

DEFAULT_TIMEOUT_S = 60
LONGEST_TIMEOUT_S = 3600
"""Fly documents neither."""


class ExecRequest(Model):
    command: tuple[Text, ...] | None = Field(default=None, strict=False)
    cmd: Text = ""
    """The older form, one text."""
    stdin: str = ""
    timeout: int | None = Field(default=None, ge=0, le=LONGEST_TIMEOUT_S)
    """Seconds; 0 means the default, as in a client that leaves it out."""
    container: str = ""
    machine: bool = False


class ExecutionRoutes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Iterable[Route]:
        machine = "/v1/apps/{app}/machines/{machine}"
        yield Route(method="POST", template=f"{machine}/exec", handler=self.execute)
        yield Route(method="GET", template=f"{machine}/ps", handler=self.processes)

    async def execute(self, request: ApiRequest) -> Answer:
        """200 however the command ended: its exit code is in the body."""
        wanted = request.read(ExecRequest)
        order = _order(wanted)
        inside = self._inside(self._desk.leased_machine(request))
        try:
            done = await inside.execute(order)
        except TimeoutError as error:
            raise Refusal(408, f"deadline_exceeded: command did not end within {order.timeout_s:g}s") from error
        body = {
            "exit_code": done.exit.code,
            "exit_signal": done.exit.signal,
            "stdout": done.stdout,
            "stderr": done.stderr,
        }
        return Answer(body=body)

    async def processes(self, request: ApiRequest) -> Answer:
        inside = self._inside(self._desk.machine(request))
        return Answer(body=[_process_json(figure) for figure in await asyncio.to_thread(inside.processes)])

    def _inside(self, machine: Machine) -> Inhabited:
        run = self._desk.keeper.run_of(machine.id)
        if machine.state is not State.STARTED or run is None:
            raise refusals.failed_precondition(f"machine not running, currently {machine.state}")
        if not isinstance(run, Inhabited):
            raise Refusal(501, "unimplemented: nothing can be executed in a simulated machine")
        return run


def _order(wanted: ExecRequest) -> ExecOrder:
    if wanted.container:
        raise refusals.invalid("the embedded engine runs no containers")
    try:
        command = wanted.command or tuple(shlex.split(wanted.cmd))
    except ValueError as error:
        raise refusals.invalid(f"cmd: {error}") from error
    if not command:
        raise refusals.invalid("command is required")
    return ExecOrder(command=command, stdin=wanted.stdin.encode(), timeout_s=float(wanted.timeout or DEFAULT_TIMEOUT_S))


def _process_json(figure: ProcessFigure) -> dict[str, object]:
    """The document names no units: memory is in bytes, times are in whole seconds."""
    return {
        "pid": figure.pid,
        "command": figure.command,
        "directory": figure.directory,
        "rss": figure.memory_bytes,
        "rtime": figure.user_s,
        "stime": figure.system_s,
    }
