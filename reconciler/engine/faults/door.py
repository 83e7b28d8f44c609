"""The door that faults come through: an ASGI application around the API, which spoils calls and answers by rule.

It stands outside the API on purpose. What happens before a call is carried out, instead of it and after it are three
different faults to a client that has to decide whether its change was made, and here they are three different steps.
"""

import asyncio
from dataclasses import replace
from urllib.parse import parse_qsl

from reconciler.engine import identifiers
from reconciler.engine.faults import answers, hosts, spoiling
from reconciler.engine.faults.answers import Recorded
from reconciler.engine.faults.book import Faults, Planted
from reconciler.engine.faults.calls import call_of, subject_of
from reconciler.engine.faults.delivery import Delivery, Receive, Send, record, whole_body
from reconciler.engine.faults.effects import Effect, UnreachableHost
from reconciler.engine.faults.hosts import Reach
from reconciler.engine.faults.rules import Call
from reconciler.engine.faults.world import World, service_of
from reconciler.engine.serving import AsgiApp, Message

CONTROL = "/_engine/"
"""Calls that steer the engine are never spoilt."""


class FaultDoor:
    """Give it the API; it is the API from then on."""

    def __init__(self, api: AsgiApp, faults: Faults, world: World) -> None:
        self._api = api
        self._faults = faults
        self._world = world
        self._hanging: dict[asyncio.Event, str] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if not self._faults.rules() or scope["path"].startswith(CONTROL):
            await self._api(scope, receive, send)
            return
        body, again = await whole_body(receive)
        call = call_of(scope, body, self._world.inventory, self._world.region)
        effects = self._faults.on_call(call)
        self._world.prepare(call, effects)
        delivery = Delivery(scope, receive, send, self._world.clock)
        answer = spoiling.instead(effects, self._world.facts(call, body))
        if answer is None:
            answer = await self._carried_out(call, spoiling.without_cookie(scope, effects), again, delivery)
        if answer is not None:
            answer = spoiling.after(answer, effects, service_of(call.path))
            await delivery.carry(self._signed(answer), effects)

    def release(self) -> None:
        """Lets calls go on that hang for a rule which was removed."""
        for event, rule_id in self._hanging.items():
            if not self._faults.holds(rule_id):
                event.set()

    async def _carried_out(self, call: Call, scope: Message, again: Receive, delivery: Delivery) -> Recorded | None:
        """What the API answers, or the want of the machine's host; None if the caller left meanwhile."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        reach = hosts.reach(call, query)
        if reach is not Reach.ANSWERED and (planted := self._lost_host(call.subject.machine_id, call)):
            if reach is Reach.TIMES_OUT:
                return answers.error(408, answers.HOST_TIMEOUT, service_of(call.path))
            if not await self._until_removed(planted.id, delivery):
                return None
        answer = await record(self._api, scope, again)
        if call.method == "GET" and answer.status == 200 and answer.body and self._any_lost_host():
            body = hosts.without_host(answer.body, lambda machine_id: self._lost_host(machine_id, call) is not None)
            return replace(answer, body=body)
        return answer

    def _any_lost_host(self) -> bool:
        return any(_loses_host(planted.rule.effect) for planted in self._faults.rules())

    def _lost_host(self, machine_id: str, call: Call) -> Planted | None:
        """The rule by which a machine's host is lost to this call."""
        machine = self._world.inventory.machine(machine_id)
        if machine is None:
            return None
        occasion = f"{call.method} {call.path} of machine {machine_id}"
        return self._faults.on_machine(subject_of(machine), _loses_host, occasion)

    async def _until_removed(self, rule_id: str, delivery: Delivery) -> bool:
        """Hangs; whether the rule was removed before the caller left."""
        removed = asyncio.Event()
        self._hanging[removed] = rule_id
        waits = {asyncio.ensure_future(removed.wait()), asyncio.ensure_future(delivery.left())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._hanging[removed]
            for wait in waits:
                wait.cancel()
        return removed.is_set()

    def _signed(self, answer: Recorded) -> Recorded:
        """With the headers that every answer has, and the length that it has by now."""
        kept = {name: value for name, value in answer.headers if name != b"set-cookie"}
        request_id = identifiers.request_id(self._world.clock.now_ns(), self._world.region).encode()
        kept = {b"fly-request-id": request_id, b"server": b"Fly/catwalk-engine", **kept}
        if answer.status != 204:
            kept[b"content-length"] = str(len(answer.body)).encode()
        cookies = tuple(pair for pair in answer.headers if pair[0] == b"set-cookie")
        return replace(answer, headers=(*kept.items(), *cookies))


def _loses_host(effect: Effect) -> bool:
    return isinstance(effect, UnreachableHost)
