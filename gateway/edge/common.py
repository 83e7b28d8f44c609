"""The common address `/mcp` on the edge: which calls of tools, prompts and resources it can carry, and how.

By the rules of `gateway.aggregate`, of which it asks all that is known already: the caller's view, the session with the
server, whose a resource is. Nothing is refused here and nothing is found out: whatever is not in perfect order, or
needs a question to a server first, is left to the ASGI application.
"""

from collections.abc import Hashable
from functools import partial

from gateway.aggregate.answering import Asked, legacy_changes, modern_changes
from gateway.aggregate.callers import View
from gateway.aggregate.core import Core
from gateway.aggregate.known import Asker
from gateway.aggregate.sessions import InnerSession, Session
from gateway.aggregate.visit import identity_of, passed_headers
from gateway.decision import PATH_PREFIX, PATH_SUFFIX, ClientHead
from gateway.edge.carriage import Answering, Carriage, CommonHead
from gateway.edge.directing import Directed, direct_in_session, direct_stateless, raw_id, stateless_asker
from gateway.edge.judging import CommonHeads
from gateway.edge.plans import Plan, PlanMemory
from gateway.protocol.headers import encode_header_value
from gateway.relay.wire import Headers
from gateway.settings import GatewaySettings

_STATE, _CONTENTS, _ANYTHING = b'"requestState"', b'"contents"', b""


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
        return Carriage(plan, directed.body, directed.members.call, self._stateless_answering(head, directed))

    def _stateless_answering(self, head: CommonHead, directed: Directed) -> Answering:
        core, view, server = self._core, head.view, directed.place.server
        asked = Asked(
            view=view,
            server=server,
            method=head.method,
            uri=head.name,
            asker=lambda: stateless_asker(view, directed.body),
        )
        return Answering(
            changes=lambda: modern_changes(core, asked),
            marker=_ANYTHING if asked.exposes_contents else _STATE,
            lost=None,
            began=lambda: core.attention.used(view.principal, server),
            ended=_nothing,
        )

    def _in_session(self, head: CommonHead, session: Session, body: bytes) -> Carriage | None:
        directed = direct_in_session(self._core, head, session, body)
        inner = session.inner.get(directed.place.server) if directed is not None else None
        if directed is None or inner is None:
            return None
        key = (head.block, directed.place.server, inner.capsule, inner.revision, len(directed.body))
        plan = self._plan(key, head, directed, inner)
        if plan is None:
            return None
        answering = self._session_answering(head.view, session, inner, directed)
        return Carriage(plan, directed.body, directed.members.call, answering)

    def _session_answering(self, view: View, session: Session, inner: InnerSession, directed: Directed) -> Answering:
        core, server, request_id = self._core, directed.place.server, raw_id(directed.members)
        in_session = inner.capsule is not None
        asked = Asked(
            view=view,
            server=server,
            method=directed.members.call.method,
            uri=directed.written,
            asker=lambda: Asker.of(view, session.capabilities),
        )

        def begin() -> None:
            core.attention.used(session.key, server)
            session.begin(request_id, server)

        return Answering(
            changes=lambda: legacy_changes(core, asked, in_session=in_session),
            marker=_CONTENTS if asked.exposes_contents else None,
            lost=partial(session.forget, server, inner) if in_session else None,
            began=begin,
            ended=lambda: session.end(request_id, server),
        )

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


def _nothing() -> None:
    """Nobody keeps account of calls without a session."""
