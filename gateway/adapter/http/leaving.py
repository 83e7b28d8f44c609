"""Which requests a machine that is about to go sends to its neighbours.

A machine that is replaced is told so (SIGUSR1) some seconds before it is taken out of the proxy's rotation and stopped.
In that time it goes on with the sessions and the parked calls that live in it, and answers whatever could as well be
carried out elsewhere with `fly-replay: elsewhere=true`, which makes the proxy give that request to another machine (Fly
docs, "Dynamic request routing"). So nothing begins in a machine that cannot finish it, and what has begun may end.
"""

from gateway.adapter.http.wire import Exchange
from gateway.protocol.headers import SESSION_HEADER
from gateway.protocol.messages import Message

ELSEWHERE = (b"fly-replay", b"elsewhere=true")
MAX_REPLAYED_BYTES = 1_000_000
"""Larger requests the proxy does not replay."""
_REPLAYED = "fly-replay-src"


def belongs_elsewhere(exchange: Exchange, message: Message) -> bool:
    """Whether nothing ties a request to this machine. One that was already replayed is not sent on again."""
    is_tied = exchange.header(SESSION_HEADER) is not None or "requestState" in message.params
    return not is_tied and exchange.header(_REPLAYED) is None and _length(exchange) <= MAX_REPLAYED_BYTES


def _length(exchange: Exchange) -> int:
    """What the request declares; one that declares nothing may have any length."""
    declared = exchange.header("content-length") or ""
    return int(declared) if declared.isascii() and declared.isdigit() else MAX_REPLAYED_BYTES + 1
