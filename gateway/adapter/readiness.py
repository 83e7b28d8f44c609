"""Prove that a server answers: after the handshake, a request that reaches it, and one again whenever it has been
silent.

A process that is alive, and even an answer to `initialize`, say little; `tools/list` is what clients will do first.
"""

import asyncio

import anyio

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.child import CannotWrite
from gateway.adapter.connection import Connection
from gateway.adapter.handshake import UpstreamLost, ask, list_params
from gateway.adapter.log import AdapterLog
from gateway.adapter.upstream import READY_BUDGET_S, Live, Upstream
from gateway.protocol.messages import InvalidMessage, Message
from gateway.protocol.revisions import Era
from gateway.protocol.scan import MalformedJson

_CHECK_EVERY_S = 5.0
_SILENT_S = 8.0
_ANSWER_WITHIN_S = 5.0


async def prove(upstream: Upstream) -> str | None:
    """Wait for the handshake and list the tools; return a weakness worth reporting, or None. Raises AdapterFailure."""
    live = await upstream.live()
    if not live.handshake.succeeded:
        error = live.handshake.answer.members["error"].value
        raise AdapterFailure(Cause.NOT_AN_MCP_SERVER, f"the server refuses initialize: {error}")
    if live.handshake.era is Era.LEGACY and "tools" not in live.handshake.capabilities:
        return "the server offers no tools"
    return await _list_tools(live)


async def _list_tools(live: Live) -> str | None:
    try:
        with anyio.fail_after(READY_BUDGET_S):
            answer = await ask(live.connection, "tools/list", list_params(live.handshake.era))
    except TimeoutError as error:
        raise AdapterFailure(Cause.TIMEOUT, "the server gave no answer to tools/list") from error
    except (UpstreamLost, CannotWrite):
        return "the server ended while its tools were listed"
    except (MalformedJson, InvalidMessage) as error:
        raise AdapterFailure(Cause.NOT_AN_MCP_SERVER, f"the answer to tools/list is no JSON-RPC: {error}") from error
    return _weakness(answer)


def _weakness(answer: Message) -> str | None:
    if "error" in answer.members:
        return f"tools/list fails: {answer.members['error'].value}"[:400]
    result = answer.members["result"].value
    tools = result.get("tools") if isinstance(result, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - JSON
    return None if tools else "the server offers no tools"


async def watch(live: Live, log: AdapterLog) -> None:
    """Wait until the server ends; end one that answers nothing although nothing runs."""
    connection = live.connection
    while not connection.exited.done():
        await asyncio.wait([connection.exited], timeout=_CHECK_EVERY_S)
        idle_s = asyncio.get_running_loop().time() - connection.last_heard_s
        if connection.exited.done() or connection.pending or idle_s < _SILENT_S:
            continue
        if not await _answers(live):
            log.event("server-hangs", pid=connection.child.pid)
            await connection.close(force=True)


async def _answers(live: Live) -> bool:
    """Whether a ping reaches the server; calls that began meanwhile explain a delay, and excuse it."""
    method = "ping" if live.handshake.era is Era.LEGACY else "server/discover"
    try:
        with anyio.fail_after(_ANSWER_WITHIN_S):
            await ask(live.connection, method, list_params(live.handshake.era))
    except (MalformedJson, InvalidMessage):
        return True
    except (UpstreamLost, CannotWrite):
        return True
    except TimeoutError:
        return _is_busy(live.connection)
    return True


def _is_busy(connection: Connection) -> bool:
    return bool(connection.pending)
