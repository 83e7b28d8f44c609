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
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.relay.limits import RelayLimits
from gateway.relay.pool import Address, Relay
from gateway.relay.response import BufferedResponse
from gateway.relay.wire import MalformedHead, RequestHead, ResponseHead

__all__ = [
    "Address",
    "BufferedResponse",
    "Exchange",
    "ExchangeAborted",
    "MalformedHead",
    "Relay",
    "RelayFault",
    "RelayLimits",
    "RequestHead",
    "ResponseHead",
    "ResponseSink",
    "UpstreamBroken",
    "UpstreamBusy",
    "UpstreamTimeout",
    "UpstreamUnreachable",
]
