"""The first exchange with a server process: `initialize`, or `server/discover` with a server that knows no handshake.

`initialize` comes first because every server seen in the field accepts it, while old ones answer a probe with silence.
"""

import asyncio
import json
from dataclasses import dataclass

from gateway.adapter.connection import Connection
from gateway.protocol.messages import Message, ResponseId, decode_line, read_message
from gateway.protocol.revisions import (
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    NEWEST_LEGACY,
    NEWEST_MODERN,
    Era,
)

_CLIENT_INFO = {"name": "catwalk", "version": "1"}
SHARED_PARAMS = json.dumps({"protocolVersion": NEWEST_LEGACY, "capabilities": {}, "clientInfo": _CLIENT_INFO})
"""What a shared process is told about its client: nothing that it could ask for."""

_MODERN_META = {META_VERSION: NEWEST_MODERN, META_CLIENT_CAPABILITIES: {}, META_CLIENT_INFO: _CLIENT_INFO}


class UpstreamLost(Exception):
    """The process ended before it answered."""


class _Waiter:
    """A sink that turns the answer into a value for one of the adapter's own requests."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def response(self, line: bytes, place: ResponseId) -> None:  # noqa: ARG002 - the whole line is wanted
        if not self.answer.done():
            self.answer.set_result(line)

    def notification(self, message: Message) -> None:
        """The adapter asks for no progress."""

    def lost(self, detail: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(UpstreamLost(detail))


async def ask(connection: Connection, method: str, raw_params: str) -> Message:
    """Send a request of the adapter itself and wait for its answer.

    Raises UpstreamLost, CannotWrite, MalformedJson, InvalidMessage; the caller sets the time limit.
    """
    own_id = connection.next_id()
    waiter = _Waiter()
    text = f'{{"jsonrpc":"2.0","id":{own_id},"method":{json.dumps(method)},"params":{raw_params}}}'
    connection.submit(own_id, text, waiter)
    try:
        return read_message(decode_line(await waiter.answer))
    finally:
        connection.forget(own_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """What a server said about itself. `result` is the JSON text of its initialize or discover result."""

    era: Era
    answer: Message

    @property
    def succeeded(self) -> bool:
        """False when the server refused the handshake with an error, which `answer` carries."""
        return "result" in self.answer.members

    @property
    def result(self) -> dict[str, object]:
        """The decoded result, empty after a refusal."""
        value = self.answer.members["result"].value if self.succeeded else None
        return dict(value) if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownArgumentType] - JSON objects have string keys

    @property
    def capabilities(self) -> dict[str, object]:
        """The decoded capabilities."""
        value = self.result.get("capabilities")
        return dict(value) if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownArgumentType] - as above

    @property
    def revision(self) -> str:
        """The legacy revision that was negotiated; meaningless for a modern server."""
        value = self.result.get("protocolVersion")
        return value if isinstance(value, str) else NEWEST_LEGACY


async def shake_hands(connection: Connection, raw_params: str) -> Handshake:
    """Initialize with the given params (JSON text), or discover a server that refuses to. Raises as `ask`."""
    answer = await ask(connection, "initialize", raw_params)
    handshake = Handshake(era=Era.LEGACY, answer=answer)
    if handshake.succeeded:
        return handshake
    discovered = await ask(connection, "server/discover", json.dumps({"_meta": _MODERN_META}))
    modern = Handshake(era=Era.MODERN, answer=discovered)
    return modern if modern.succeeded else handshake


def announce_initialized(connection: Connection) -> None:
    """Tell a legacy server that the handshake is over. Raises CannotWrite."""
    connection.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')


def list_params(era: Era) -> str:
    """The params of a plain list request of the adapter's own, as JSON text."""
    return json.dumps({"_meta": _MODERN_META}) if era is Era.MODERN else "{}"
