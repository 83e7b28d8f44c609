"""The common address `/mcp` on the edge: which calls of tools, prompts and resources it can carry, and how.

By the rules of `gateway.aggregate`, of which it asks all that is known already: the caller's view, the session with the
server, whose a resource is. Nothing is refused here and nothing is found out: whatever is not in perfect order, or
needs a question to a server first, is left to the ASGI application.
"""

from collections.abc import Hashable

from gateway.aggregate.core import Core
from gateway.aggregate.sessions import InnerSession, Session
from gateway.aggregate.visit import identity_of, passed_headers
from gateway.decision import PATH_PREFIX, PATH_SUFFIX, ClientHead
from gateway.edge.accounts import SessionAnswering, StatelessAnswering
from gateway.edge.carriage import Carriage, CommonHead
from gateway.edge.directing import Directed, direct_in_session, direct_stateless
from gateway.edge.judging import CommonHeads
from gateway.edge.plans import Plan, PlanMemory
from gateway.protocol.headers import encode_header_value
from gateway.relay.wire import Headers
from gateway.settings import GatewaySettings


class CommonAddress:
    """The common address of one gateway."""

    __slots__ = ("_core", "_heads", "_plans")

    def __init__(self, settings: GatewaySettings, core: Core, plans: PlanMemory) -> None:
        self._core = core
        self._plans = plans
        self._heads = CommonHeads(settings, core)

    def find(self, block: bytes) -> CommonHead | None:
        """What is known of a head; None where the edge has nothing to do with it."""
        return self._heads.find(block)

    def carriage(self, head: CommonHead, body: bytes) -> Carriage | None:
        """A request as its server gets it; None where that is not for the edge to say."""
        if not head.session_key:
            return self._stateless(head, body)
        session = self._core.sessions.known(head.session_key)
        return self._in_session(head, session, body) if session is not None else None

    def _stateless(self, head: CommonHead, body: bytes) -> Carriage | None:
        directed = direct_stateless(self._core, head, body)
        if directed is None:
            return None
        place = directed.place
        plan = self._plan((head.block, place.server, place.name), head, directed, None)
        if plan is None:
            return None
        return Carriage(plan, directed.body, directed.members.call, StatelessAnswering(self._core, head.view, directed))

    def _in_session(self, head: CommonHead, session: Session, body: bytes) -> Carriage | None:
        directed = direct_in_session(self._core, head, session, body)
        inner = session.inner.get(directed.place.server) if directed is not None else None
        if directed is None or inner is None:
            return None
        key = (head.block, directed.place.server, inner.capsule, inner.revision, len(directed.body))
        plan = self._plan(key, head, directed, inner)
        if plan is None:
            return None
        answering = SessionAnswering(self._core, head.view, directed, session, inner)
        return Carriage(plan, directed.body, directed.members.call, answering)

    def _plan(self, key: Hashable, head: CommonHead, directed: Directed, inner: InnerSession | None) -> Plan | None:
        """What the server's own address does with it."""

        def part() -> ClientHead:
            path = PATH_PREFIX + directed.place.server.encode("ascii") + PATH_SUFFIX
            length = (b"content-length", b"%d" % len(directed.body))
            return ClientHead(
                method="POST", path=path, headers=[*_headers(head, directed, inner), length], is_aggregate=True
            )

        return self._plans.find_part(key, part, head.view.limits)


def _headers(head: CommonHead, directed: Directed, inner: InnerSession | None) -> Headers:
    if inner is not None:
        return [*identity_of(head.headers), *inner.headers()]
    return passed_headers(head.headers, encode_header_value(directed.place.name))
