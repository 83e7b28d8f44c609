"""The first exchange with a server: is it modern (`server/discover`) or legacy (`initialize`)?

Source: "Era detection" of the versioning page of revision 2026-07-28. A server that serves both eras is locked to the
one that it is asked in first, so the probe comes first. Its traps, all seen in the field: old servers answer it with
any error code, with silence (the handshake then follows after a short while, without waiting for more), or by ending,
which is `UpstreamLost` and lets the owner start the server again without a probe.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from gateway.adapter.connection import Connection
from gateway.protocol.errors import UNSUPPORTED_VERSION
from gateway.protocol.messages import Message, ResponseId, decode_line, read_message
from gateway.protocol.revisions import (
    META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    MODERN_REVISIONS,
    NEWEST_LEGACY,
    NEWEST_MODERN,
    Era,
)
from gateway.protocol.scan import json_array, json_object, object_members

_SILENT_PROBE_S = 1.5
_CLIENT_INFO = {"name": "catwalk", "version": "1"}


def client_params(capabilities: Mapping[str, object]) -> str:
    """The params (JSON text) of an `initialize` of the adapter itself, for clients that can do so much."""
    return json.dumps(
        {"protocolVersion": NEWEST_LEGACY, "capabilities": dict(capabilities), "clientInfo": _CLIENT_INFO}
    )


_MODERN_META = {META_VERSION: NEWEST_MODERN, META_CLIENT_CAPABILITIES: {}, META_CLIENT_INFO: _CLIENT_INFO}


class UpstreamLost(Exception):
    """The process ended before it answered."""


class _Waiter:
    is_endless = False

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
        return json_object(self.answer.members["result"].value if self.succeeded else None)

    @property
    def capabilities(self) -> dict[str, object]:
        """The decoded capabilities."""
        return json_object(self.result.get("capabilities"))

    def raw_server_info(self) -> str | None:
        """The JSON text of what the server calls itself, None when it did not say."""
        if not self.succeeded:
            return None
        members, _ = object_members(self.answer.text, self.answer.members["result"].start)
        place = members.get("serverInfo")
        return None if place is None else self.answer.text[place.start : place.end]

    @property
    def refuses_the_handshake(self) -> bool:
        """Whether a server that was initialized said that it speaks only newer revisions."""
        return _error_code(self.answer) == UNSUPPORTED_VERSION

    @property
    def revision(self) -> str:
        """The legacy revision that was negotiated; meaningless for a modern server."""
        value = self.result.get("protocolVersion")
        return value if isinstance(value, str) else NEWEST_LEGACY


class Approach(Enum):
    """Which era a server is asked for: the first time both, later the one that it turned out to speak."""

    PROBE = "probe"
    LEGACY = "legacy"
    MODERN = "modern"


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """How a server is greeted: in which era, and with which `initialize` params (JSON text) if it is the legacy one."""

    approach: Approach
    raw_params: str


async def shake_hands(connection: Connection, greeting: Greeting) -> Handshake:
    """Greet the server, in both eras where it is not known which one it speaks. Raises as `ask`."""
    approach, raw_params = greeting.approach, greeting.raw_params
    if approach is Approach.LEGACY:
        return await _initialize(connection, raw_params)
    probe = asyncio.ensure_future(_discover(connection))
    probe.add_done_callback(_retrieve)
    try:
        await asyncio.wait([probe], timeout=None if approach is Approach.MODERN else _SILENT_PROBE_S)
        if probe.done() and _is_modern(probe.result()):
            return Handshake(era=Era.MODERN, answer=probe.result())
        return await _after_probe(connection, raw_params, probe)
    finally:
        probe.cancel()


def _retrieve(probe: "asyncio.Future[Message]") -> None:
    """A probe that fails after the handshake has failed tells nothing new."""
    if not probe.cancelled():
        probe.exception()


async def _after_probe(connection: Connection, raw_params: str, probe: "asyncio.Future[Message]") -> Handshake:
    """No sign of a modern server yet: initialize. One that refuses is modern if its late answer, or one more, says so.

    A slow server reads a probe and a handshake one after the other: the probe locks it, the handshake is refused.
    """
    handshake = await _initialize(connection, raw_params)
    if handshake.succeeded:
        return handshake
    answers = [probe.result()] if probe.done() else []
    if not answers or _error_code(handshake.answer) == UNSUPPORTED_VERSION:
        answers.append(await _discover(connection))
    modern = next((each for each in answers if _is_modern(each)), None)
    return handshake if modern is None else Handshake(era=Era.MODERN, answer=modern)


async def _initialize(connection: Connection, raw_params: str) -> Handshake:
    return Handshake(era=Era.LEGACY, answer=await ask(connection, "initialize", raw_params))


async def _discover(connection: Connection) -> Message:
    return await ask(connection, "server/discover", json.dumps({"_meta": _MODERN_META}))


def _is_modern(answer: Message) -> bool:
    """Whether a discover result names a revision that the adapter speaks: some legacy servers answer, and name none."""
    result = json_object(answer.members["result"].value if "result" in answer.members else None)
    return any(version in MODERN_REVISIONS for version in json_array(result.get("supportedVersions")))


def _error_code(answer: Message) -> object:
    return json_object(answer.members["error"].value if "error" in answer.members else None).get("code")


def announce_initialized(connection: Connection) -> None:
    """Tell a legacy server that the handshake is over. Raises CannotWrite."""
    connection.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')


def list_params(era: Era, cursor: str | None = None) -> str:
    """The params of a plain list request of the adapter's own, as JSON text."""
    params: dict[str, object] = {"_meta": _MODERN_META} if era is Era.MODERN else {}
    return json.dumps(params if cursor is None else {**params, "cursor": cursor})
