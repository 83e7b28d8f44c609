"""Carries one request to its answer: finds a machine, connects, exchanges, and follows the machine's replays."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from reconciler.engine.clock import Clock
from reconciler.engine.proxy.bodies import RequestBody
from reconciler.engine.proxy.destinations import Destination, Destinations, NoDestination, Search
from reconciler.engine.proxy.heads import Caller, request_bytes
from reconciler.engine.proxy.hops import Hop, NoHop, first_hop, hop_back, next_hop
from reconciler.engine.proxy.loads import Attachment
from reconciler.engine.proxy.messages import BadMessage, Head, StreamEnded
from reconciler.engine.proxy.relay import Answered, Exchange, Truncated
from reconciler.engine.proxy.replays import InvalidReplay, ReplayText, parse
from reconciler.engine.proxy.upstreams import Upstream, Upstreams

RETRY_S = 0.05
"""Between attempts to connect to a machine that has started and does not listen yet."""
NANOSECONDS_IN_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a caller, and the way back to that caller."""

    id: bytes
    head: Head
    body: RequestBody
    caller: Caller
    writer: asyncio.StreamWriter
    attachment: Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replayed:
    """A machine's order, and which machine it was."""

    order: ReplayText
    machine_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    destinations: Destinations
    upstreams: Upstreams
    clock: Clock

    async def carry(self, request: Request) -> Answered:
        """Answers a request.

        Raises:
            NoDestination: nobody did; it is in the app's log.
            BadMessage: it is no request that can be routed.
            Truncated: the answer broke off.
        """
        try:
            hop = first_hop(request.head)
        except NoHop as refusal:
            raise NoDestination(refusal.code, str(refusal)) from refusal
        while True:
            outcome = await self._pass(request, hop)
            if isinstance(outcome, Answered):
                return outcome
            hop = outcome

    async def _pass(self, request: Request, hop: Hop) -> Answered | Hop:
        """One hop: its answer, or the hop that follows from it."""
        began_ns = self.clock.now_ns()
        try:
            outcome = await self._exchange(request, hop)
        except NoDestination as refusal:
            if hop.way_back is None or not request.body.is_replayable:
                raise
            reason = "timeout" if refusal.code == "PM03" else "no_candidate"
            elapsed_ms = (self.clock.now_ns() - began_ns) // NANOSECONDS_IN_MS
            return hop_back(hop, hop.way_back, reason, elapsed_ms)
        return outcome if isinstance(outcome, Answered) else self._followed(request, hop, outcome)

    def _followed(self, request: Request, hop: Hop, replayed: _Replayed) -> Hop:
        source = self.destinations.inventory.machine(replayed.machine_id)
        try:
            if not request.body.is_replayable:
                raise NoHop("PA01", "request body is too large to be replayed")
            if source is None:
                raise NoHop("PA03", "the machine that ordered the replay is gone")
            replay = parse(replayed.order)
            return next_hop(hop, replay, source, self.clock.now_ns(), self.destinations.inventory)
        except NoHop as refusal:
            raise self.destinations.refused(hop.app, refusal.code, str(refusal), replayed.machine_id) from refusal
        except InvalidReplay as error:
            message = f"invalid fly-replay: {error}"
            raise self.destinations.refused(hop.app, "PA03", message, replayed.machine_id) from error

    async def _exchange(self, request: Request, hop: Hop) -> Answered | _Replayed:
        async with self._connected(request, hop) as (destination, upstream):
            exchange = Exchange(
                head=hop.head, body=request.body, upstream=upstream, writer=request.writer, request_id=request.id
            )
            try:
                outcome = await exchange.run(self._first(request, hop, destination))
            except (StreamEnded, ConnectionError, BadMessage) as error:
                raise self._broken(request, hop, destination, exchange) from error
            finally:
                self._release(destination, upstream, exchange)
        if isinstance(outcome, Answered):
            return outcome
        return _Replayed(order=outcome, machine_id=destination.machine_id)

    def _first(self, request: Request, hop: Hop, destination: Destination) -> bytes:
        missed = destination.preferred_missed
        unavailable = (
            [(b"fly-preferred-instance-unavailable", hop.demand.preferred.encode("latin-1"))] if missed else []
        )
        return request_bytes(hop.head, request.caller, request.id, [*hop.told, *unavailable])

    def _broken(
        self, request: Request, hop: Hop, destination: Destination, exchange: Exchange
    ) -> NoDestination | Truncated:
        if exchange.answered and request.writer.is_closing():
            return Truncated()
        message = "request started but not completed"
        refusal = self.destinations.refused(hop.app, "PU02", message, destination.machine_id)
        return Truncated() if exchange.answered else refusal

    def _release(self, destination: Destination, upstream: Upstream, exchange: Exchange) -> None:
        if exchange.upstream_reusable:
            self.upstreams.give_back(destination, upstream)
        else:
            upstream.discard()

    @asynccontextmanager
    async def _connected(self, request: Request, hop: Hop) -> AsyncGenerator[tuple[Destination, Upstream]]:
        """A place in a machine and a connection to it. One that has just started is given time to listen.

        Raises:
            NoDestination: there is no machine, or it does not accept connections.
        """
        search = Search(app=hop.app, demand=hop.demand, attachment=request.attachment, limit_s=hop.limit_s)
        while True:
            destination = await self.destinations.find(search)
            try:
                upstream = await self._upstream(hop, destination)
                if upstream is not None:
                    yield destination, upstream
                    return
            finally:
                self.destinations.leave(destination)
            await self.clock.wait(self.destinations.inventory.next_change(hop.app), RETRY_S)

    async def _upstream(self, hop: Hop, destination: Destination) -> Upstream | None:
        """None: not yet."""
        try:
            return await self.upstreams.take(destination)
        except (OSError, TimeoutError) as error:
            machine = self.destinations.inventory.machine(destination.machine_id)
            if machine is not None and self.destinations.candidates.is_young(machine):
                return None
            message = "instance refused connection. is your app listening on 0.0.0.0?"
            raise self.destinations.refused(hop.app, "PC01", message, destination.machine_id) from error
