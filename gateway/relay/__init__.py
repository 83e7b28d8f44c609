"""The relay: one HTTP exchange with an upstream, bytes in and bytes out, with back-pressure both ways.

It knows connections, HTTP/1.1 framing and time limits. It knows nothing of ASGI, of MCP, of routes or of sessions, so
that it can be driven from an ASGI application today and from below ASGI later. Its one entry is `Relay.open`.
"""

from gateway.relay.exchange import Exchange, ResponseSink
from gateway.relay.faults import (
    ExchangeAborted,
    RelayFault,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamForbidden,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.relay.limits import RelayLimits
from gateway.relay.outside import BadURL, OutsideRules, OutsideURL, read_url
from gateway.relay.pool import Address, Relay
from gateway.relay.response import BufferedResponse
from gateway.relay.wire import MalformedHead, RequestHead, ResponseHead

__all__ = [
    "Address",
    "BadURL",
    "BufferedResponse",
    "Exchange",
    "ExchangeAborted",
    "MalformedHead",
    "OutsideRules",
    "OutsideURL",
    "Relay",
    "RelayFault",
    "RelayLimits",
    "RequestHead",
    "ResponseHead",
    "ResponseSink",
    "UpstreamBroken",
    "UpstreamBusy",
    "UpstreamForbidden",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "read_url",
]
