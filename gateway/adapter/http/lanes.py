"""Legacy server processes for modern clients that can be asked: one for each principal and set of capabilities.

A legacy server learns once what its client can be asked, so clients that declare different things cannot share it; and
what it keeps in memory between calls belongs to one principal. Which of several calls a question belongs to, stdio does
not tell: a question that could belong to several of them waits a moment for the others to end.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from gateway.adapter.causes import AdapterFailure
from gateway.adapter.handshake import Approach, Greeting, client_params
from gateway.adapter.http.asking import AskableCall
from gateway.adapter.http.common import CommonVoice
from gateway.adapter.http.tenants import Tenancy, Tenant
from gateway.adapter.log import AdapterLog
from gateway.adapter.source import Source
from gateway.adapter.upstream import Upstream
from gateway.protocol.messages import Message
from gateway.protocol.scan import json_object

_UNCLEAR_S = 3.0
_ASKABLE = ("elicitation", "sampling", "roots")
_ASKING_METHODS = frozenset({"tools/call", "prompts/get", "resources/read"})


def askable_part(capabilities: Mapping[str, object]) -> dict[str, object]:
    """What a client can be asked, as a legacy server may learn it: nothing about changes of its roots, or tasks."""
    kept: dict[str, object] = {}
    for name in _ASKABLE:
        if isinstance(capabilities.get(name), dict):
            declared = json_object(capabilities[name])
            kept[name] = {key: each for key, each in declared.items() if key not in {"listChanged", "tasks"}}
    return kept


class Lane(CommonVoice):
    """One such process, the calls that run on it, and who asks what."""

    def __init__(self, principal: str, capabilities: Mapping[str, object]) -> None:
        super().__init__()
        self.principal = principal
        self.capabilities = capabilities
        self.scope = anyio.CancelScope()
        self.calls: list[AskableCall] = []
        self.last_used_s = time.monotonic()
        self._unclear: list[tuple[Message, list[AskableCall]]] = []

    @property
    def is_busy(self) -> bool:
        """Whether a call runs or waits for its client, or somebody listens."""
        return bool(self.calls or self.listens)

    def add(self, call: AskableCall) -> None:
        """A call that is about to be sent."""
        call.capabilities = self.capabilities
        call.on_done = self._done
        self.calls.append(call)

    def server_request(self, message: Message, about: int | None) -> None:
        """Give a question to the call that caused it."""
        asking = [call for call in self.calls if call.method in _ASKING_METHODS]
        certain = [call for call in asking if call.own_id == about]
        candidates = certain or [call for call in asking if call.is_attached] or asking[-1:]
        if not candidates:
            super().server_request(message, about)
        elif len(candidates) == 1:
            candidates[0].ask(message)
        else:
            self._unclear.append((message, candidates))
            asyncio.get_running_loop().call_later(_UNCLEAR_S, self._settle_unclear, message)

    def server_notification(self, message: Message) -> None:
        """See `CommonVoice`; a question that is withdrawn is taken back from its call."""
        if message.method != "notifications/cancelled":
            super().server_notification(message)
            return
        wanted = message.params.get("requestId")
        self._unclear = [each for each in self._unclear if each[0].id_value != wanted]
        for call in self.calls:
            call.withdraw(wanted)

    def _done(self, call: AskableCall) -> None:
        if call not in self.calls:
            return
        self.calls.remove(call)
        self.last_used_s = time.monotonic()
        for message, candidates in list(self._unclear):
            if call in candidates:
                candidates.remove(call)
            if len(candidates) == 1:
                self._settle_unclear(message)

    def _settle_unclear(self, message: Message) -> None:
        """The oldest candidate gets it: they are calls of one principal, and every question gets its answer."""
        for entry in self._unclear:
            if entry[0] is message:
                self._unclear.remove(entry)
                candidates = [call for call in entry[1] if not call.is_waiting] or entry[1]
                if candidates:
                    candidates[0].ask(message)
                else:
                    super().server_request(message, None)
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneKey:
    """What two modern clients must have in common to share a process."""

    principal: str
    raw_capabilities: str


class LanePool:
    """The lanes of a machine; their processes live in `tasks`."""

    def __init__(self, source: Source, tenancy: Tenancy, log: AdapterLog, idle_s: float) -> None:
        self._source = source
        self._tenancy = tenancy
        self._log = log
        self._idle_s = idle_s
        self._tasks: TaskGroup | None = None
        self._lanes: dict[LaneKey, Lane] = {}

    def run_in(self, tasks: TaskGroup) -> None:
        """Give the pool the task group that its processes live in."""
        self._tasks = tasks

    def lane(self, principal: str, capabilities: Mapping[str, object]) -> Lane:
        """The lane for a client, new or not. Raises NoRoom."""
        key = LaneKey(principal=principal, raw_capabilities=json.dumps(capabilities, sort_keys=True))
        lane = self._lanes.get(key)
        if lane is None:
            lane = Lane(principal, capabilities)
            self._tenancy.add(lane)
            self._lanes[key] = lane
            self._start(lane)
        lane.last_used_s = time.monotonic()
        return lane

    def close(self, lane: Tenant) -> None:
        """End a lane and its process; its calls end with it."""
        for key, each in list(self._lanes.items()):
            if each is lane:
                del self._lanes[key]
                each.scope.cancel()
        self._tenancy.remove(lane)

    def owns(self, tenant: Tenant) -> bool:
        """Whether a tenant is one of the lanes."""
        return any(lane is tenant for lane in self._lanes.values())

    def sweep(self, now_s: float) -> None:
        """Close what has been idle for long."""
        for lane in list(self._lanes.values()):
            if not lane.is_busy and now_s - lane.last_used_s > self._idle_s:
                self._log.event("lane-idle")
                self.close(lane)

    def all(self) -> list[Lane]:
        """Every lane."""
        return list(self._lanes.values())

    def _start(self, lane: Lane) -> None:
        assert self._tasks is not None
        greeting = Greeting(approach=Approach.LEGACY, raw_params=client_params(lane.capabilities))
        lane.upstream = Upstream(self._source, lane, greeting, self._log)
        lane.upstream.on_restart = lane.restore
        self._tasks.start_soon(self._run, lane)

    async def _run(self, lane: Lane) -> None:
        with lane.scope:
            try:
                await lane.upstream.run()
            except AdapterFailure as failure:
                self._log.event("lane-failed", cause=failure.cause.value, detail=failure.detail)
        self.close(lane)
